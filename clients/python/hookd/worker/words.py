"""How errors read in a line of the log."""

from __future__ import annotations

_MOST = 500


def in_words(error: BaseException) -> str:
    """Gives the kind of an exception and its text, in one line."""
    try:
        return said(type(error).__name__, str(error))
    except Exception:  # noqa: BLE001 - whatever a user's class does
        return type(error).__name__


def said(kind: str, message: str) -> str:
    """Gives the kind of a failure and its message, in one line."""
    text = " ".join(message.split())
    if len(text) > _MOST:
        text = f"{text[:_MOST]}…"
    return f"{kind}: {text}" if text else kind
