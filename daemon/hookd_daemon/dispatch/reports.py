"""What workers report: turns and steps that are completed."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace

from hookd.v1.worker_service_pb2 import ScheduleStepCommand

from hookd_daemon.api.backend import Backend
from hookd_daemon.core import topics
from hookd_daemon.core.queues import STEP, WORKFLOW, entry_of_step, entry_of_turn
from hookd_daemon.core.steps import StepOutcome, StepSpec, complete_step
from hookd_daemon.core.turns import TurnOutcome, TurnSpec, complete_turn
from hookd_daemon.dispatch.dispatcher import Dispatcher
from hookd_daemon.dispatch.work import Key, Work
from hookd_daemon.errors import RunNotActiveError, RunNotFoundError, StaleTurnError


class Reports:
    """Has reports applied, and keeps in step who has what.

    Args:
        dispatcher: hands out.
        backend: the store.
    """

    def __init__(self, dispatcher: Dispatcher, backend: Backend) -> None:
        self._board = dispatcher.board
        self._leases = dispatcher.leases
        self._backend = backend

    async def complete_turn(
        self, metadata: Mapping[str, str], project: str, worker_id: str, spec: TurnSpec
    ) -> TurnOutcome:
        """Completes a turn; the worker is leased what the outcome hands to it.

        Args:
            metadata: what the worker sent beside its report.
            project: where the run is.
            worker_id: the worker.
            spec: its report; it takes at most ``take_steps`` steps, and no more
                than it has room for.

        Raises:
            HookdError: see ``core.turns.complete_turn``.
        """
        board = self._board
        turn = (project, spec.run_id, "")
        session = board.heard(project, worker_id)
        scheduled = [c for c in spec.commands if isinstance(c, ScheduleStepCommand)]
        steps = [(project, spec.run_id, command.step_id) for command in scheduled]
        take = 0
        if session is not None:
            served = sum(session.serves_step(command.name) for command in scheduled)
            take = min(spec.take_steps, served, max(session.room(STEP), 0))
            spec = replace(spec, take_from=session.offer.steps, take_steps=take)
        with (
            board.promise(session, STEP, take),
            board.reserve([turn, *(steps if take else ())]),
            self._backend.store.subscribe(topics.run_ended(spec.incarnation)) as end,
        ):
            try:
                outcome = await self._backend.run(complete_turn, metadata, project, spec)
            except (StaleTurnError, RunNotActiveError, RunNotFoundError) as error:
                self._turn_refused(turn, worker_id, error)
                raise
            if end.named():
                # It was ended while this commit was on its way to the disk.
                outcome.goes_on = False
                outcome.steps = []
            if outcome.repeated:
                self._offer_lost(steps, worker_id, spec.turn_id)
            self._turn_completed(turn, worker_id, spec, outcome)
        return outcome

    def _turn_refused(self, turn: Key, worker_id: str, error: Exception) -> None:
        board = self._board
        work = board.works.get(turn)
        if work is not None and work.is_leased_to(worker_id):
            if isinstance(error, StaleTurnError):
                board.put_back(work)
            else:
                board.finish(work)
        warm = board.affinity.get(turn[0], turn[1])
        if warm is not None and warm.worker_id == worker_id:
            board.affinity.forget(turn[0], turn[1])

    def _turn_completed(
        self, turn: Key, worker_id: str, spec: TurnSpec, outcome: TurnOutcome
    ) -> None:
        board, run = self._board, outcome.run
        work = board.works.get(turn)
        if outcome.repeated and work is not None and not work.is_leased_to(worker_id):
            # What follows the turn was handed to somebody else meanwhile.
            outcome.goes_on = False
            return
        if outcome.goes_on:
            self._leases.give(entry_of_turn(run), worker_id, given_with=spec.turn_id)
        elif work is not None:
            board.finish(work)
        for step in outcome.steps:
            self._leases.give(
                entry_of_step(run, step.step_id, step.record),
                worker_id,
                attempt=step.record.attempt,
                given_with=spec.turn_id,
            )
        if run.active:
            seen = outcome.events[-1].seq if outcome.events else spec.seen_seq
            board.affinity.note(run.project, run.run_id, worker_id, seen)
        else:
            board.affinity.forget(run.project, run.run_id)

    def _offer_lost(self, keys: list[Key], worker_id: str, given_with: Hashable) -> None:
        """Offers what the worker does not know that it has: it did not get the answer."""
        for key in keys:
            work = self._board.works.get(key)
            if work is None or not work.is_leased_to(worker_id):
                continue
            if work.given_with == given_with:
                self._board.put_back(work)

    async def complete_step(
        self,
        metadata: Mapping[str, str],
        project: str,
        worker_id: str,
        spec: StepSpec,
        *,
        take_turn: bool,
    ) -> StepOutcome:
        """Completes an attempt at a step; the worker may be leased the turn that follows.

        Args:
            metadata: what the worker sent beside its report.
            project: where the run is.
            worker_id: the worker.
            spec: its report.
            take_turn: it takes that turn if it has the run in memory.

        Raises:
            HookdError: see ``core.steps.complete_step``.
        """
        board = self._board
        step = (project, spec.run_id, spec.step_id)
        turn = (project, spec.run_id, "")
        session = board.heard(project, worker_id)
        warm = board.affinity.get(project, spec.run_id)
        takes = (
            take_turn
            and session is not None
            and session.room(WORKFLOW) > 0
            and warm is not None
            and warm.worker_id == worker_id
            and board.is_free(turn)
        )
        if takes and warm is not None:
            spec = replace(spec, take_turn_after=warm.seen_seq)
        ref = (spec.step_id, spec.attempt)
        with (
            board.promise(session, WORKFLOW, int(takes)),
            board.reserve([step, *([turn] if takes else ())]),
        ):
            try:
                outcome = await self._backend.run(complete_step, metadata, project, spec)
            except (StaleTurnError, RunNotActiveError, RunNotFoundError) as error:
                self._step_over(step, worker_id, spec, again=isinstance(error, StaleTurnError))
                raise
            self._step_over(step, worker_id, spec, again=spec.hand_back)
            if outcome.duplicate:
                self._offer_lost([turn], worker_id, ref)
            if outcome.turn is not None and outcome.entry is not None:
                self._leases.give(outcome.entry, worker_id, given_with=ref)
        return outcome

    def _step_over(self, step: Key, worker_id: str, spec: StepSpec, *, again: bool) -> None:
        """The worker is not at this attempt any more."""
        work: Work | None = self._board.works.get(step)
        if work is None or not work.is_leased_to(worker_id) or work.attempt != spec.attempt:
            return
        if again:
            self._board.put_back(work)
        else:
            self._board.finish(work)
