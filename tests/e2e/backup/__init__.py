"""Backups of a real daemon, and what is restored from them."""
