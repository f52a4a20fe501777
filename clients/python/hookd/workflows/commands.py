"""What the code of a workflow asks for, in the order in which it does."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hookd.workflows import places
from hookd.workflows.matching import is_echo

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from hookd.v1.events_pb2 import Event
    from hookd.v1.worker_service_pb2 import Command
    from hookd.workflows.loop import WorkflowLoop
    from hookd.workflows.places import Place


@dataclass(slots=True, eq=False)
class Pending:
    """A command, until the log has its event."""

    command: Command
    kind: str
    id: str
    """The id of what it is about; empty when it is about the run."""
    name: str
    """What its event must have besides: a name, a token, a namespace."""
    place: Place | None
    slice: int
    """During which event of the log it was given."""
    on_echo: Callable[[Event], None] | None
    awaited: Callable[[], bool] | None
    """Whether somebody waits for its event, besides ``waiters``."""
    echo: Event | None = None
    withdrawn: bool = False
    waiters: list[asyncio.Future[None]] = field(default_factory=list)


class Commands:
    """The commands that have no event yet."""

    def __init__(self) -> None:
        self._pending: deque[Pending] = deque()
        self._counts: dict[str, int] = {}
        self.slice = 0
        """Counts the events that were fed."""

    def next_id(self, word: str) -> str:
        """Gives the next id of its kind: "step-1", "step-2"."""
        count = self._counts.get(word, 0) + 1
        self._counts[word] = count
        return f"{word}-{count}"

    def give(
        self,
        command: Command,
        id: str = "",
        name: str = "",
        *,
        place: Place | None = None,
        on_echo: Callable[[Event], None] | None = None,
        awaited: Callable[[], bool] | None = None,
    ) -> Pending:
        """Takes a command.

        Args:
            command: The command.
            id: The id of what it is about.
            name: What its event must have besides the id.
            place: Where the code asks for it; found when None.
            on_echo: Called with its event.
            awaited: Tells whether the code waits for its event.
        """
        pending = Pending(
            command=command,
            kind=command.WhichOneof("command") or "",
            id=id,
            name=name,
            place=place or places.here(),
            slice=self.slice,
            on_echo=on_echo,
            awaited=awaited,
        )
        self._pending.append(pending)
        return pending

    def withdraw(self, pending: Pending) -> bool:
        """Takes a command back as if it had never been given.

        That can only be done before the next event: then no worker can have
        sent it, neither this one nor one that was here before.
        """
        if pending.slice != self.slice or pending.echo is not None:
            return False
        pending.withdrawn = True
        return True

    def oldest(self) -> Pending | None:
        """Gives the oldest command."""
        while self._pending and self._pending[0].withdrawn:
            self._pending.popleft()
        return self._pending[0] if self._pending else None

    def echo(self, kind: str, event: Event) -> bool:
        """Takes the event that the oldest command has become; False if it is not its event."""
        pending = self.oldest()
        if pending is None or not is_echo(pending, kind, event):
            return False
        self._pending.popleft()
        pending.echo = event
        if pending.on_echo is not None:
            pending.on_echo(event)
        for waiter in pending.waiters:
            if not waiter.done():
                waiter.set_result(None)
        pending.waiters.clear()
        return True

    async def echo_of(self, pending: Pending, loop: WorkflowLoop) -> Event:
        """Waits for the event of a command."""
        while pending.echo is None:
            waiter = loop.create_future()
            pending.waiters.append(waiter)
            await waiter
        return pending.echo

    def all(self) -> list[Pending]:
        """Gives the commands in their order."""
        return [pending for pending in self._pending if not pending.withdrawn]

    @property
    def awaited(self) -> bool:
        """Whether the code waits for the event of one of them."""
        return any(
            any(not waiter.done() for waiter in pending.waiters)
            or (pending.awaited is not None and pending.awaited())
            for pending in self._pending
            if not pending.withdrawn
        )

    def clear(self) -> None:
        """Forgets all commands."""
        self._pending.clear()
