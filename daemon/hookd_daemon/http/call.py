"""A call of the API that came by HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from starlette.types import Receive

from hookd_daemon.api.context import CallContext
from hookd_daemon.api.gate import Gate
from hookd_daemon.api.sharing import Place
from hookd_daemon.auth.door import Caller

T = TypeVar("T")


class HttpCall(CallContext):
    """A call that came by HTTP; see ``CallContext``.

    Args:
        headers: of the request, names in lower case: its metadata.
        gate: how many calls and waits there may be.
        accepted: see ``CallContext.accepted``.

    Attributes:
        caller: who calls; set when he was let in.
    """

    __slots__ = ("_accepted", "_gate", "_headers", "_place", "caller")

    caller: Caller

    def __init__(
        self,
        headers: Mapping[str, str],
        gate: Gate,
        accepted: Callable[[], None] = lambda: None,
    ) -> None:
        self._accepted = accepted
        self._headers = headers
        self._gate = gate
        self._place: Place | None = None

    @property
    def metadata(self) -> Mapping[str, str]:
        """See ``CallContext.metadata``."""
        return self._headers

    @property
    def project(self) -> str:
        """See ``CallContext.project``."""
        return self.caller.project

    def time_remaining(self) -> float | None:
        """See ``CallContext.time_remaining``; HTTP has no deadlines."""
        return None

    @contextmanager
    def long_wait(self) -> Iterator[None]:
        """See ``CallContext.long_wait``."""
        with self._gate.long_wait(self._place), self.caller.stay():
            yield

    def accepted(self) -> None:
        """See ``CallContext.accepted``."""
        self._accepted()

    def has_place(self, place: Place) -> None:
        """See ``CallContext.has_place``."""
        self._place = place


class DisconnectedError(Exception):
    """The client has gone, and nobody waits for the answer."""


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Awaits work for a client whose request was read whole, and cancels it when he goes.

    Args:
        receive: of the request; nothing else may read from it meanwhile.
        work: what he waits for.

    Raises:
        DisconnectedError: he has gone.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(disconnected(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise DisconnectedError
        return await task
    finally:
        for each in (task, gone):
            each.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def disconnected(receive: Receive) -> None:
    """Returns when the client of a request that was read whole has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
