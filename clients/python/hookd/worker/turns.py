"""Takes turns at runs: feeds their logs to their code, and reports what it wants done."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from hookd.errors import (
    ClientClosedError,
    HookdError,
    IdReusedError,
    InvalidArgumentError,
    LimitExceededError,
)
from hookd.v1 import worker_service_pb2 as pb
from hookd.worker.commands import first_batch, refusal
from hookd.worker.link import is_overtaken
from hookd.worker.memory import Memory, WarmRun
from hookd.worker.spans import span
from hookd.worker.watch import TurnEndedError
from hookd.worker.words import in_words, said
from hookd.workflows.errors import NonDeterminismError, WorkflowRuleError
from hookd.workflows.execution import Execution
from hookd.workflows.failures import to_failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookd.v1.events_pb2 import Event
    from hookd.worker.catalog import Catalog
    from hookd.worker.link import Link
    from hookd.worker.memory import Key
    from hookd.worker.steps import Steps
    from hookd.worker.watch import TurnWatch

_log = logging.getLogger("hookd.worker")

# What the daemon says to commands that it will never take.
_REFUSALS = (InvalidArgumentError, IdReusedError, LimitExceededError)


class Turns:
    """The turns that a worker is at."""

    def __init__(
        self, link: Link, catalog: Catalog, watch: TurnWatch, steps: Steps, memory: Memory
    ) -> None:
        self._link = link
        self._catalog = catalog
        self._watch = watch
        self._steps = steps
        self._memory = memory
        self._active: dict[Key, asyncio.Task[None]] = {}
        # What came for a run while it was at a turn.
        self._next: dict[Key, pb.TurnTask] = {}
        self._closed = False

    def take(self, task: pb.TurnTask) -> None:
        """Begins with a turn, at once or after the one that its run is at."""
        key = (task.run_id, task.incarnation)
        if self._closed:
            return
        if key in self._active:
            self._next[key] = task
            return
        turn = asyncio.get_running_loop().create_task(self._take(key, task))
        self._active[key] = turn
        turn.add_done_callback(lambda _: self._done(key))

    def is_warm(self, run_id: str, incarnation: int) -> bool:
        """Whether a run is in memory and at no turn."""
        return (run_id, incarnation) in self._memory

    @property
    def run_ids(self) -> list[str]:
        """The runs that are at a turn."""
        return [run_id for run_id, _ in self._active]

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """The turns, to wait for them."""
        return list(self._active.values())

    def close(self) -> None:
        """Takes no more turns, and gives up those that it is at."""
        self._closed = True
        for turn in self._active.values():
            turn.cancel()

    def _done(self, key: Key) -> None:
        del self._active[key]
        task = self._next.pop(key, None)
        if task is not None:
            self.take(task)

    async def _take(self, key: Key, task: pb.TurnTask) -> None:
        workflow = self._catalog.workflows.get(task.workflow)
        if workflow is None:
            _log.error('run %s: there is no workflow "%s" here', task.run_id, task.workflow)
            return
        run = self._memory.take(key)
        if run is None:
            run = WarmRun(
                Execution(workflow, run_id=task.run_id, project=self._link.project, seed=task.seed)
            )
        turn = _Turn(self._link, self._watch, self._steps, task, run, workflow.version)
        stays = False
        try:
            facts = {"run_id": task.run_id, "workflow": task.workflow}
            with span("hookd.worker.turn", task.traceparent, **facts):
                stays = await turn.conduct()
        finally:
            if stays:
                self._memory.put(key, run)
            elif not turn.lost:
                run.execution.discard()


class _Turn:
    """One turn, from its first event to the last report.

    Attributes:
        lost: A thread may still be at the execution, and discards it itself.
    """

    def __init__(
        self,
        link: Link,
        watch: TurnWatch,
        steps: Steps,
        task: pb.TurnTask,
        run: WarmRun,
        version: str,
    ) -> None:
        self._link = link
        self._watch = watch
        self._steps = steps
        self._run_id = task.run_id
        self._task = task
        self._run = run
        self._version = version
        self._last_seq = task.last_seq
        self.lost = False

    async def conduct(self) -> bool:
        """Goes through the turn; tells whether the run is worth keeping in memory."""
        error: Exception
        try:
            return await self._conduct()
        except TurnEndedError:
            error = WorkflowRuleError(
                f'Workflow "{self._task.workflow}" never awaits: it ran on and on and was ended',
                hint="put what takes long into a step",
            )
        except (NonDeterminismError, *_REFUSALS) as raised:
            error = raised
        except ClientClosedError:
            return False
        except HookdError as raised:
            if is_overtaken(raised):
                _log.info("run %s: the turn was dropped: %s", self._run_id, raised)
            else:
                _log.error("run %s: the turn was given up: %s", self._run_id, raised)
            return False
        except Exception:  # noqa: BLE001 - it is logged
            # A mistake in what runs the workflows. The lease lapses, and the
            # turn is offered again after a while: it must not spin.
            _log.exception("run %s: the turn was given up", self._run_id)
            return False
        await self._fail(error)
        return False

    async def _conduct(self) -> bool:
        execution = self._run.execution
        events: Sequence[Event] = self._task.events
        while True:
            commands = await self._catch_up(events)
            for warning in execution.take_warnings():
                _log.warning("run %s: %s", self._run_id, warning)
            if execution.finished and not commands:
                return False
            self._note_unserved(commands)
            batch = first_batch(commands)
            more = len(batch) < len(commands)
            # The daemon keeps the turn for those that are still to come, too.
            request = self._request(batch, execution.seen_seq, more or execution.awaits_claims)
            try:
                answer = await self._link.complete_turn(request)
            except InvalidArgumentError as error:
                raise refusal(error, batch) from None
            for step in answer.steps:
                self._steps.start(step)
            if batch and self._ended_by(batch[-1]):
                return False
            events, self._last_seq = answer.events, answer.last_seq
            if not (answer.goes_on or more):
                self._run.keep(events)
                return True

    def _note_unserved(self, commands: Sequence[pb.Command]) -> None:
        """Says which steps this worker does not execute itself: one may have been forgotten."""
        for command in commands:
            name = command.schedule_step.name
            if name and self._steps.is_news(name):
                _log.info(
                    'run %s: the step "%s" is not among those of this worker; '
                    "it waits for one that serves it",
                    self._run_id,
                    name,
                )

    async def _catch_up(self, events: Sequence[Event]) -> list[pb.Command]:
        """Feeds the log up to its end; gives what the code wants done then."""
        run = self._run
        fresh = run.fresh(events)
        while True:
            commands = await self._feed(fresh)
            if run.position >= self._last_seq:
                return commands
            fresh = run.fresh(await self._link.events(self._run_id, run.position))
            if not fresh:
                raise RuntimeError(
                    f"the log ends at {run.position}, it should go up to {self._last_seq}"
                )

    async def _feed(self, events: Sequence[Event]) -> list[pb.Command]:
        try:
            return await self._watch.feed(self._run_id, self._run.execution, events)
        except (TurnEndedError, asyncio.CancelledError):
            self.lost = True
            raise

    def _request(
        self, commands: Sequence[pb.Command], seen_seq: int, awaits: bool
    ) -> pb.CompleteTurnRequest:
        return pb.CompleteTurnRequest(
            project=self._link.project,
            run_id=self._run_id,
            incarnation=self._task.incarnation,
            worker_id=self._link.worker_id,
            turn_id=self._link.new_turn_id(),
            seen_seq=seen_seq,
            commands=commands,
            awaits_claims=awaits,
            version=self._version,
            take_steps=self._steps.free,
        )

    def _ended_by(self, command: pb.Command) -> bool:
        """Whether a command has ended the run; logs that."""
        workflow = self._task.workflow
        match command.WhichOneof("command"):
            case "complete_run":
                _log.info('run %s: workflow "%s" has completed', self._run_id, workflow)
            case "fail_run":
                failure = command.fail_run.failure
                why = said(failure.type, failure.message)
                _log.warning('run %s: workflow "%s" has failed: %s', self._run_id, workflow, why)
            case _:
                return False
        for name in self._run.execution.forgotten_tasks:
            _log.warning(
                'run %s: workflow "%s" has ended without its task %s, which was never awaited',
                self._run_id,
                workflow,
                name,
            )
        return True

    async def _fail(self, error: Exception) -> None:
        """Ends the run because of what its code does."""
        command = pb.Command(fail_run=pb.FailRunCommand(failure=to_failure(error)))
        try:
            await self._link.complete_turn(self._request([command], self._last_seq, awaits=False))
        except HookdError as refused:
            _log.error("run %s: %s; it was not failed: %s", self._run_id, error, refused)
        else:
            text = 'run %s: workflow "%s" has failed: %s'
            _log.error(text, self._run_id, self._task.workflow, in_words(error))
