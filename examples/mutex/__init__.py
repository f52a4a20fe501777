"""Runs that take turns: a token is a lock."""
