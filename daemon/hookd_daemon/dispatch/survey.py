"""What waits for workers and who serves it, for people."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from hookd_daemon.api.backend import Backend
from hookd_daemon.core.backlog import Backlog, measure_queue
from hookd_daemon.core.queues import STEP, WORKFLOW, read_queue_names
from hookd_daemon.dispatch.board import Board
from hookd_daemon.dispatch.work import QueueKey, State, queue_of

#: A queue is counted up to here.
COUNTED = 1_000
MOST_QUEUES = 1_000
MOST_WORKERS = 100


@dataclass(slots=True)
class QueueView:
    """A queue as it stands.

    Attributes:
        key: names it.
        backlog: what is in it.
        leased: how much of it workers are at.
        workers: the names of some of the workers that serve it.
    """

    key: QueueKey
    backlog: Backlog = field(default_factory=lambda: Backlog(0, 0))
    leased: int = 0
    workers: list[str] = field(default_factory=list)


class Survey:
    """Tells how the queues stand.

    Args:
        board: who is connected, and who has what.
        backend: the store.
    """

    def __init__(self, board: Board, backend: Backend) -> None:
        self._board = board
        self._backend = backend

    def serves_workflow(self, project: str, name: str) -> bool:
        """Whether a worker that is connected takes turns of this workflow."""
        return (project, WORKFLOW, name) in self._board.queues

    def serves_step(self, project: str, name: str) -> bool:
        """Whether a worker that is connected takes steps of this name."""
        return (project, STEP, name) in self._board.queues

    def attempt(self, project: str, run_id: str, step_id: str) -> int:
        """The attempt at a step that a worker is at; 0 when none is known to be."""
        work = self._board.works.get((project, run_id, step_id))
        return work.attempt if work is not None and work.state is State.LEASED else 0

    async def queues(self, project: str) -> list[QueueView]:
        """The queues of a project that have work or workers, workflows first, by name."""
        board = self._board
        there = await self._backend.store.transact(read_queue_names, project)
        served = [key for key in board.queues if key[0] == project]
        every = sorted({*there, *served}, key=lambda key: key[1:])[:MOST_QUEUES]
        leased = Counter(queue_of(work.entry) for work in board.holding.leased)
        views = []
        for key in every:
            view = QueueView(key, leased=leased[key])
            view.backlog = await self._backend.store.transact(measure_queue, *key, COUNTED)
            queue = board.queues.get(key)
            if queue is not None:
                names = sorted({session.offer.name for session in queue.sessions})
                view.workers = names[:MOST_WORKERS]
            views.append(view)
            await asyncio.sleep(0)
        return views
