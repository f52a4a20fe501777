"""A file descriptor that is kept for what must be opened."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_NONE = -1


class Spare:
    """Room for one file, also when connections have taken all descriptors.

    Anybody can open connections. Whoever holds a key that is about to be revoked
    must not be able to keep the daemon from reading so.
    """

    def __init__(self) -> None:
        self._descriptor = _NONE
        self._take()

    def _take(self) -> None:
        with suppress(OSError):
            self._descriptor = os.open(os.devnull, os.O_RDONLY)

    def _give(self) -> None:
        if self._descriptor != _NONE:
            os.close(self._descriptor)
            self._descriptor = _NONE

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Inside of the block it is free for somebody else, who has to give it back."""
        self._give()
        try:
            yield
        finally:
            self._take()

    def __del__(self) -> None:
        """Gives it up for good."""
        self._give()
