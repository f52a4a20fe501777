"""Workers that are connected."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hookd.v1.worker_service_pb2 import QueueKind

from hookd_daemon.core.queues import STEP, WORKFLOW
from hookd_daemon.dispatch.work import Grant, Item, QueueKey, State, Work
from hookd_daemon.store.tx import Subscription

if TYPE_CHECKING:
    from hookd_daemon.dispatch.queues import Lane


@dataclass(frozen=True, slots=True)
class Offer:
    """What a worker takes.

    Attributes:
        project: whose work.
        worker_id: tells it from all others.
        name: for people.
        workflows: the workflows whose turns it takes, with the versions of its code.
        steps: the names of the steps that it takes.
        max_turns: how many turns it takes at a time.
        max_steps: how many steps.
        held_steps: how many steps it says that it is executing already.
    """

    project: str
    worker_id: str
    name: str
    workflows: Mapping[str, str]
    steps: frozenset[str]
    max_turns: int
    max_steps: int
    held_steps: int = 0


class Session:
    """A worker for as long as its stream is open.

    Attributes:
        offer: what it takes.
        limits: how much it takes at a time, by kind.
        used: how much of it is picked for it or leased to it, by kind.
        promised: how much more it may be about to get, by kind.
        blocked: the lanes that had work when this session had no room, by
            kind, in the order in which it turns to them.
        holds: what was picked for it, and what it leases.
        picks: what was picked for it and is to be leased.
        leasing: somebody leases its picks.
        heard_s: when the worker last said anything, by the clock of the event loop.
        over: it is to end.
    """

    def __init__(self, offer: Offer, news: Subscription) -> None:
        self.offer = offer
        self.limits = {WORKFLOW: offer.max_turns, STEP: offer.max_steps}
        self.used = {WORKFLOW: 0, STEP: 0}
        self.promised = {WORKFLOW: 0, STEP: offer.held_steps}
        self.blocked: dict[QueueKind.ValueType, dict[Lane, None]] = {WORKFLOW: {}, STEP: {}}
        self.holds: set[Work] = set()
        self.picks: deque[Work] = deque()
        self.leasing = False
        self.over = False
        self.heard_s = 0.0
        self.hear()
        self._outbox: deque[Item] = deque()
        self._news = news

    @property
    def worker_id(self) -> str:
        """Tells the worker from all others."""
        return self.offer.worker_id

    def room(self, kind: QueueKind.ValueType) -> int:
        """How much more it takes; 0 or less when it is full."""
        return self.limits[kind] - self.used[kind] - self.promised[kind]

    def queues(self) -> Iterator[tuple[QueueKey, str]]:
        """The queues it serves, with the version of its code; steps have none."""
        project = self.offer.project
        for name, version in self.offer.workflows.items():
            yield (project, WORKFLOW, name), version
        for name in self.offer.steps:
            yield (project, STEP, name), ""

    def serves_step(self, name: str) -> bool:
        """Whether it takes steps of this name."""
        return name in self.offer.steps

    def take(self, work: Work) -> None:
        """Notes that work is picked for it, or leased to it."""
        work.session = self
        work.worker_id = self.worker_id
        self.holds.add(work)
        self.used[work.entry.kind] += 1

    def give_back(self, work: Work) -> None:
        """Notes that work is so no more."""
        work.session = None
        self.holds.discard(work)
        self.used[work.entry.kind] -= 1

    def send(self, item: Item) -> None:
        """Has the worker told."""
        self._outbox.append(item)
        self._news.nudge()

    def hear(self) -> None:
        """Notes that the worker has said something."""
        self.heard_s = asyncio.get_running_loop().time()

    def end(self) -> None:
        """Ends it; whoever serves the worker's stream ends that."""
        self.over = True
        self._news.nudge()

    def replace(self, later: Session) -> None:
        """Ends it, for the same worker has opened another, which gets everything."""
        later.picks.extend(self.picks)
        later.holds.update(self.holds)
        for kind, count in self.used.items():
            later.used[kind] += count
        for work in self.holds:
            work.session = later
        while self._outbox:
            later.send(self._outbox.popleft())
        self.picks.clear()
        self.holds.clear()
        self.end()

    async def next_items(self) -> list[Item] | None:
        """Waits for something to tell the worker; None when the session is over.

        Raises:
            StoreUnavailableError: the daemon is going down.
        """
        while not self.over:
            items = [item for item in self._outbox if self._is_due(item)]
            self._outbox.clear()
            if items:
                return items
            await self._news.wait(None)
        return None

    def _is_due(self, item: Item) -> bool:
        """A grant may have been taken back while it was on its way."""
        if not isinstance(item, Grant):
            return True
        return item.work.state is State.LEASED and item.work.session is self
