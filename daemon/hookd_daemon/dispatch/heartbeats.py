"""What workers say that they are still at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hookd.v1.worker_service_pb2 import StepRef

from hookd_daemon.api.backend import Backend
from hookd_daemon.core.moment import Moment
from hookd_daemon.core.queues import Entry
from hookd_daemon.core.steps import adopt_step
from hookd_daemon.dispatch.dispatcher import Dispatcher
from hookd_daemon.dispatch.work import Dropped, Key, State
from hookd_daemon.store.tx import Tx

#: How many steps are looked up in one commit.
STEPS_AT_ONCE = 256


class Heartbeats:
    """Extends leases, and takes up those that are not known here any more.

    Args:
        dispatcher: knows the leases.
        backend: the store.
    """

    def __init__(self, dispatcher: Dispatcher, backend: Backend) -> None:
        self._board = dispatcher.board
        self._leases = dispatcher.leases
        self._backend = backend

    async def keep(
        self, project: str, worker_id: str, steps: Iterable[StepRef], run_ids: Iterable[str] = ()
    ) -> list[Dropped]:
        """Keeps what a worker is at.

        Args:
            project: where.
            worker_id: the worker.
            steps: the attempts that it is executing.
            run_ids: the runs in whose turns it is.

        Returns:
            The attempts that nobody needs, or that are another's now.
        """
        self._board.heard(project, worker_id)
        for run_id in run_ids:
            work = self._board.works.get((project, run_id, ""))
            if work is not None and work.is_leased_to(worker_id):
                self._leases.renew(work)
        unknown: list[Dropped] = []
        dropped: list[Dropped] = []
        for step in steps:
            ref = Dropped(step.run_id, step.step_id, step.attempt)
            work = self._board.works.get((project, step.run_id, step.step_id))
            if work is None or work.state in (State.WAITING, State.PARKED):
                unknown.append(ref)
            elif work.is_leased_to(worker_id) and work.attempt == step.attempt:
                self._leases.renew(work)
            else:
                dropped.append(ref)
        for begin in range(0, len(unknown), STEPS_AT_ONCE):
            dropped += await self._adopt(project, worker_id, unknown[begin : begin + STEPS_AT_ONCE])
        return dropped

    async def _adopt(self, project: str, worker_id: str, refs: Sequence[Dropped]) -> list[Dropped]:
        """Leases steps again to the worker that is at them, as far as they are needed."""
        keys: list[Key] = [(project, ref.run_id, ref.step_id) for ref in refs]
        with self._board.reserve(keys):
            entries = await self._backend.run(_adopt_all, None, project, refs)
            dropped = []
            for ref, key, entry in zip(refs, keys, entries, strict=True):
                if entry is None or not self._is_theirs(key, worker_id):
                    dropped.append(ref)
                else:
                    self._leases.give(entry, worker_id, attempt=ref.attempt)
        return dropped

    def _is_theirs(self, key: Key, worker_id: str) -> bool:
        """Whether nobody else was given it meanwhile."""
        work = self._board.works.get(key)
        return work is None or work.is_leased_to(worker_id)


async def _adopt_all(
    tx: Tx, moment: Moment, project: str, refs: Sequence[Dropped]
) -> list[Entry | None]:
    return [
        await adopt_step(tx, moment, project, ref.run_id, ref.step_id, ref.attempt) for ref in refs
    ]
