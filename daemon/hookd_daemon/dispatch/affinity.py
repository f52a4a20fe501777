"""Which worker has a run in memory."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

#: So many runs are remembered; the one that was not touched for longest goes.
MOST_RUNS = 100_000


class Warm(NamedTuple):
    """A worker that has a run in memory.

    Attributes:
        worker_id: the worker.
        seen_seq: the last event that it was told.
    """

    worker_id: str
    seen_seq: int


class Affinity:
    """Remembers who has completed the last turn of a run.

    A hint: when it is wrong, a worker is told more of the log than it needs, or
    has to ask for the rest.

    Args:
        most: how many runs are remembered.
    """

    def __init__(self, most: int = MOST_RUNS) -> None:
        self._most = most
        self._runs: OrderedDict[tuple[str, str], Warm] = OrderedDict()

    def __len__(self) -> int:
        return len(self._runs)

    def get(self, project: str, run_id: str) -> Warm | None:
        """Who has a run in memory; None when nobody is known to."""
        return self._runs.get((project, run_id))

    def note(self, project: str, run_id: str, worker_id: str, seen_seq: int) -> None:
        """A worker has completed a turn, and was told of the events up to a position."""
        self._runs[project, run_id] = Warm(worker_id, seen_seq)
        self._runs.move_to_end((project, run_id))
        if len(self._runs) > self._most:
            self._runs.popitem(last=False)

    def forget(self, project: str, run_id: str) -> None:
        """The run has ended, or its worker has thrown it away."""
        self._runs.pop((project, run_id), None)
