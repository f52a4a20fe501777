"""The runs that a worker has in memory, so that a turn costs what is new."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookd.v1.events_pb2 import Event
    from hookd.workflows.execution import Execution

Key = tuple[str, int]
"""A run: its id, and its incarnation."""


class WarmRun:
    """A run in memory: its execution, and events that it has not been fed yet.

    Attributes:
        execution: The code of the workflow, as far as it has got.
        backlog: Events that come before all others. The code has nothing to do
            with them, so that they can wait for the next turn.
    """

    __slots__ = ("backlog", "execution")

    def __init__(self, execution: Execution) -> None:
        self.execution = execution
        self.backlog: Sequence[Event] = ()

    @property
    def position(self) -> int:
        """The last event that is known here."""
        return self.backlog[-1].seq if self.backlog else self.execution.seen_seq

    def fresh(self, events: Sequence[Event]) -> Sequence[Event]:
        """Gives the backlog, and those events that follow it without a gap."""
        position = self.position
        backlog, self.backlog = self.backlog, ()
        following = [event for event in events if event.seq > position]
        if not following or following[0].seq != position + 1:
            return backlog
        return [*backlog, *following] if backlog else following

    def keep(self, events: Sequence[Event]) -> None:
        """Keeps events for later."""
        self.backlog = self.fresh(events)


class Memory:
    """The runs that nobody is at, the least recently used first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._runs: OrderedDict[Key, WarmRun] = OrderedDict()

    def __len__(self) -> int:
        return len(self._runs)

    def __contains__(self, key: Key) -> bool:
        return key in self._runs

    def take(self, key: Key) -> WarmRun | None:
        """Gives a run to whoever goes on with it; it is not here any more."""
        return self._runs.pop(key, None)

    def put(self, key: Key, run: WarmRun) -> None:
        """Keeps a run, and forgets others if there are too many."""
        self._runs[key] = run
        while len(self._runs) > self._most:
            _, oldest = self._runs.popitem(last=False)
            oldest.execution.discard()

    def clear(self) -> None:
        """Forgets all runs."""
        for run in self._runs.values():
            run.execution.discard()
        self._runs.clear()
