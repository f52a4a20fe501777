"""What hookd and hookctl say of command lines in the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cyclopts import UnusedCliTokensError


def too_many_words(program: str, error: UnusedCliTokensError) -> str:
    """Gives what is said of words that a command has no use for.

    Cyclopts calls words "tokens", which are something else here.
    """
    command = " ".join((program, *(error.command_chain or ())))
    words = " ".join(error.unused_tokens or ())
    return f"{command} takes no {words}; see {command} --help"
