"""Workflows that the tests have workers execute in processes of their own."""
