"""Whoever comes second hands over what it brought, and gets the owner's result."""
