"""How many calls the daemon takes at once; what is over is refused at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TypeVar

from hookd_daemon.api.sharing import KEPT, Place
from hookd_daemon.errors import LimitExceededError, StoreUnavailableError
from hookd_daemon.telemetry.metrics import Metrics

T = TypeVar("T")

#: A daemon that goes down looks so often whether calls still come.
LOOK_S = 0.05
#: So often it looks at most once it has nothing left to do: a caller that asks
#: again and again must not keep it from ending.
MAX_LOOKS = 20


class Gate:
    """Counts calls and streams, and refuses those over the limits.

    Args:
        metrics: holds the counts, and is told of refusals.
        max_calls: calls that are being answered.
        max_streams: streams, and calls that wait for something.
    """

    def __init__(self, metrics: Metrics, max_calls: int, max_streams: int) -> None:
        self._metrics = metrics
        self._max_calls = max_calls
        self._max_streams = max_streams
        self._kept_streams = max_streams // KEPT
        self._streams: Counter[str] = Counter()
        self._draining = asyncio.Event()

    def drain(self) -> None:
        """Refuses every new call from now on, and ends what waits for its caller."""
        self._draining.set()

    async def until_drained(self, sent: AsyncIterator[T]) -> AsyncIterator[T]:
        """Gives what a caller sends, one after the other.

        Raises:
            StoreUnavailableError: the daemon is going down.
        """
        draining = asyncio.ensure_future(self._draining.wait())
        message: asyncio.Future[T | None] | None = None
        try:
            while True:
                message = asyncio.ensure_future(anext(sent, None))
                await asyncio.wait({message, draining}, return_when=asyncio.FIRST_COMPLETED)
                self._check_open()
                received = await message
                if received is None:
                    return
                yield received
        finally:
            draining.cancel()
            if message is not None:
                message.cancel()

    async def quiet(self, patience: float) -> None:
        """Waits until all calls are answered, and none was refused for a moment.

        Args:
            patience: seconds to wait at most.
        """
        clock = asyncio.get_running_loop().time
        end = clock() + patience
        metrics, seen, looks = self._metrics, -1, 0
        while clock() < end and looks < MAX_LOOKS:
            if not metrics.calls_in_flight and not metrics.streams_open:
                looks += 1
                if seen == metrics.rejected["draining"]:
                    return
            seen = metrics.rejected["draining"]
            await asyncio.sleep(min(LOOK_S, max(end - clock(), 0)))

    def _check_open(self) -> None:
        if self._draining.is_set():
            self._metrics.rejected["draining"] += 1
            raise StoreUnavailableError("the daemon is going down")

    def enter(self) -> None:
        """Lets one call in; ``leave`` ends it.

        Raises:
            LimitExceededError: there are too many.
            StoreUnavailableError: the daemon is going down.
        """
        self._check_open()
        metrics = self._metrics
        if metrics.calls_in_flight >= self._max_calls:
            metrics.rejected["calls"] += 1
            raise LimitExceededError("calls_in_flight", self._max_calls, "try again later")
        metrics.calls_in_flight += 1

    def leave(self) -> None:
        """Notes that a call that was let in is over."""
        self._metrics.calls_in_flight -= 1

    @contextmanager
    def stream(self, project: str = "") -> Iterator[None]:
        """Lets one stream in.

        Args:
            project: whose it is; empty if that is not known.

        Raises:
            LimitExceededError: there are too many, or the project has many, and
                what is left is kept for others.
            StoreUnavailableError: the daemon is going down.
        """
        self._check_open()
        metrics, advice = self._metrics, "close streams, or raise --max-streams"
        most = self._max_streams
        if project and 0 < self._kept_streams <= self._streams[project]:
            most -= self._kept_streams
            advice = f"the rest is kept for other projects; {advice}"
        if metrics.streams_open >= most:
            metrics.rejected["streams"] += 1
            raise LimitExceededError("streams", most, advice)
        metrics.streams_open += 1
        self._streams[project] += 1
        try:
            yield
        finally:
            metrics.streams_open -= 1
            self._streams[project] -= 1
            if not self._streams[project]:
                del self._streams[project]

    @contextmanager
    def long_wait(self, place: Place | None = None) -> Iterator[None]:
        """Counts a call that was let in as a stream while it waits.

        Args:
            place: its place among the calls of its project, if it has one.
        """
        with self.stream("" if place is None else place.project):
            self._metrics.calls_in_flight -= 1
            if place is not None:
                place.end()
            try:
                yield
            finally:
                self._metrics.calls_in_flight += 1
                if place is not None:
                    place.again()
