"""Something to await that is done already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator


class Done:
    """What a call gives that has done its work, for those who write ``await`` before it.

    Other than a coroutine it can be dropped without being awaited.
    """

    def __await__(self) -> Generator[Any, None, None]:
        yield from ()
