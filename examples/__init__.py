"""Workflows to read, to run and to copy; README.md lists them."""
