"""Names of methods, as the API has them and as the code has them."""

from __future__ import annotations


def snake(name: str) -> str:
    """``CreateHook`` as ``create_hook``."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
