"""Wakes who waits for something to be committed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from hookd_daemon.errors import StoreUnavailableError
from hookd_daemon.store.tx import Topic


class HubSubscription:
    """One waiter, listening to some topics; see ``store.tx.Subscription``."""

    __slots__ = ("_event", "_hub", "_topics")

    def __init__(self, hub: Hub, topics: tuple[Topic, ...]) -> None:
        self._hub = hub
        self._topics = topics
        self._event = asyncio.Event()

    def __enter__(self) -> HubSubscription:
        for topic in self._topics:
            self._hub.waiters.setdefault(topic, set()).add(self)
        self._hub.raise_if_closed()
        return self

    def __exit__(self, *exc: object) -> None:
        for topic in self._topics:
            waiters = self._hub.waiters.get(topic)
            if waiters is not None:
                waiters.discard(self)
                if not waiters:
                    del self._hub.waiters[topic]

    def fire(self) -> None:
        """Notes that a topic was named."""
        self._event.set()

    async def wait(self, timeout: float | None) -> bool:
        """Waits for the next commit that names a topic; see ``store.tx.Subscription``."""
        self._hub.raise_if_closed()
        try:
            async with asyncio.timeout(timeout):
                await self._event.wait()
        except TimeoutError:
            self._hub.raise_if_closed()
            return False
        self._event.clear()
        self._hub.raise_if_closed()
        return True


class Hub:
    """The waiters of one process, by their topics."""

    def __init__(self) -> None:
        self.waiters: dict[Topic, set[HubSubscription]] = {}
        self._closed = False

    def subscribe(self, *topics: Topic) -> HubSubscription:
        """Makes a subscription; it listens from ``__enter__`` on."""
        return HubSubscription(self, topics)

    def publish(self, topics: Iterable[Topic]) -> None:
        """Wakes all who listen to one of the topics."""
        if not self.waiters:
            return
        for topic in topics:
            for waiter in self.waiters.get(topic, ()):
                waiter.fire()

    def close(self) -> None:
        """Wakes all waiters for good: their ``wait`` raises StoreUnavailableError."""
        self._closed = True
        for waiters in self.waiters.values():
            for waiter in waiters:
                waiter.fire()

    def raise_if_closed(self) -> None:
        """Raises StoreUnavailableError once the hub is closed."""
        if self._closed:
            raise StoreUnavailableError("the daemon is going down")
