"""The URLs of hooks that are reached by one."""

from __future__ import annotations

from urllib.parse import quote

#: What the path of every such URL has after the base.
PATH = "/webhooks"


def webhook_url(base: str, project: str, token: str) -> str:
    """The URL that reaches the hook with a token, as secret as the token.

    Args:
        base: what all URLs of the daemon begin with, as ``https://hooks.example.com``.
        project: the hook's project.
        token: its token, one that ``has_url``.
    """
    return f"{base}{PATH}/{quote(project, safe='')}/{quote(token, safe='')}"


def has_url(token: str) -> bool:
    """Whether a URL can have this token: whoever sends ``.`` or ``..`` in a path resolves it."""
    return token not in (".", "..")
