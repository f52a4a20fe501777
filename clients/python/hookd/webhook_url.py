"""The URLs of hooks that are reached by one: for workflow code, clients and the daemon."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

PATH: Final = "/webhooks"
"""What the path of every such URL has after the base."""


def webhook_url(base: str, project: str, token: str) -> str:
    """Gives the URL that reaches the hook with a token, as secret as the token.

    Project and token are one segment of the path each, percent-encoded as
    UTF-8 (RFC 3986) but for letters, digits and ``-._~``.

    Args:
        base: What all URLs of the daemon begin with, as "https://hooks.example.com",
            without a slash at its end.
        project: The hook's project.
        token: Its token, one that ``has_url``.
    """
    return f"{base}{PATH}/{quote(project, safe='')}/{quote(token, safe='')}"


def has_url(token: str) -> bool:
    """Tells whether a URL can have this token: ``.`` and ``..`` are resolved by who sends them."""
    return token not in (".", "..")
