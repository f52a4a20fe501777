"""Python client of hookd."""
