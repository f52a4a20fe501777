"""Wakes who waits for something to be committed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from hookd_daemon.errors import StoreUnavailableError
from hookd_daemon.store.tx import Topic


class HubSubscription:
    """One waiter, listening to some topics; see ``store.tx.Subscription``."""

    __slots__ = ("_event", "_hub", "_named", "_topics")

    def __init__(self, hub: Hub, topics: tuple[Topic, ...]) -> None:
        self._hub = hub
        self._topics = dict.fromkeys(topics)
        self._named: dict[Topic, None] = {}
        self._event = asyncio.Event()

    def __enter__(self) -> HubSubscription:
        self._hub.raise_if_closed()
        self._hub.open.add(self)
        for topic in self._topics:
            self._hub.add(topic, self)
        return self

    def __exit__(self, *exc: object) -> None:
        self._hub.open.discard(self)
        for topic in self._topics:
            self._hub.remove(topic, self)

    def fire(self, topic: Topic) -> None:
        """Notes that a topic was named."""
        self._named[topic] = None
        self._event.set()

    def nudge(self) -> None:
        """Ends a wait, now or the next one; see ``store.tx.Subscription``."""
        self._event.set()

    def listen(self, topic: Topic) -> None:
        """Listens to one more topic; see ``store.tx.Subscription``."""
        self._topics[topic] = None
        if self in self._hub.open:
            self._hub.add(topic, self)

    def ignore(self, topic: Topic) -> None:
        """Listens to a topic no more; see ``store.tx.Subscription``."""
        self._topics.pop(topic, None)
        self._named.pop(topic, None)
        self._hub.remove(topic, self)

    def named(self) -> list[Topic]:
        """The topics that were named since this was asked; see ``store.tx.Subscription``."""
        topics, self._named = self._named, {}
        return list(topics)

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
    """The waiters of one process, by their topics.

    Attributes:
        open: the subscriptions that listen, also those to no topic.
    """

    def __init__(self) -> None:
        self.open: set[HubSubscription] = set()
        self._waiters: dict[Topic, set[HubSubscription]] = {}
        self._closed = False

    def subscribe(self, *topics: Topic) -> HubSubscription:
        """Makes a subscription; it listens from ``__enter__`` on."""
        return HubSubscription(self, topics)

    def add(self, topic: Topic, waiter: HubSubscription) -> None:
        """Has a waiter woken by a topic."""
        self._waiters.setdefault(topic, set()).add(waiter)

    def remove(self, topic: Topic, waiter: HubSubscription) -> None:
        """Has a waiter woken by a topic no more."""
        waiters = self._waiters.get(topic)
        if waiters is not None:
            waiters.discard(waiter)
            if not waiters:
                del self._waiters[topic]

    @property
    def waited_for(self) -> bool:
        """Whether anybody waits for anything."""
        return bool(self._waiters)

    def publish(self, topics: Iterable[Topic]) -> None:
        """Wakes all who listen to one of the topics."""
        if not self._waiters:
            return
        for topic in topics:
            for waiter in self._waiters.get(topic, ()):
                waiter.fire(topic)

    def close(self) -> None:
        """Wakes all waiters for good: their ``wait`` raises StoreUnavailableError."""
        self._closed = True
        for waiter in self.open:
            waiter.nudge()

    def raise_if_closed(self) -> None:
        """Raises StoreUnavailableError once the hub is closed."""
        if self._closed:
            raise StoreUnavailableError("the daemon is going down")
