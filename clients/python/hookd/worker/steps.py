"""Executes steps, and reports how they went."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hookd.durations import seconds
from hookd.errors import ClientClosedError, HookdError, InvalidArgumentError, LimitExceededError
from hookd.v1 import worker_service_pb2 as pb
from hookd.worker.attempts import Failed, execute
from hookd.worker.link import is_overtaken
from hookd.worker.spans import span
from hookd.worker.words import in_words
from hookd.workflows.step_context import StepContext, current_step

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookd.run import Run
    from hookd.v1 import common_pb2
    from hookd.worker.catalog import Catalog
    from hookd.worker.link import Link
    from hookd.worker.threads import Threads
    from hookd.workflows.definition import RetryPolicy

_log = logging.getLogger("hookd.worker")


class _Attempt:
    """An attempt at a step that is being executed here."""

    __slots__ = ("context", "dropped", "handing_back", "reporting", "task", "work")

    def __init__(self, task: pb.StepTask, run: Run) -> None:
        self.task = task
        self.context = StepContext(
            run=run,
            run_id=task.run_id,
            workflow=task.workflow,
            step_id=task.step_id,
            step_name=task.name,
            attempt=task.attempt,
            last_attempt=task.last_attempt,
            started_at=datetime.now(UTC),
            cancelled=threading.Event(),
            loop=asyncio.get_running_loop(),
        )
        self.work: asyncio.Task[None] | None = None
        self.dropped = False
        self.handing_back = False
        self.reporting = False

    def __str__(self) -> str:
        return f"run {self.task.run_id}: step {self.task.name} ({self.task.step_id})"

    @property
    def ref(self) -> pb.StepRef:
        return pb.StepRef(
            run_id=self.task.run_id, step_id=self.task.step_id, attempt=self.task.attempt
        )

    def interrupt(self) -> None:
        """Tells the function to stop: in a thread it has to look, a coroutine is cancelled."""
        self.context.cancelled.set()
        if self.work is not None and not self.reporting:
            self.work.cancel()


def _delay_after(attempt: int, policy: RetryPolicy) -> float:
    """Gives about how long the daemon waits: it may have counted lost workers, too."""
    first = seconds(policy.initial_interval, "initial_interval")
    most = seconds(policy.max_interval, "max_interval")
    try:
        return min(first * policy.backoff ** (attempt - 1), most)
    except OverflowError:
        return most


class Steps:
    """The steps that a worker is executing.

    Attributes:
        is_warm: Tells whether a run is in memory; that run's turn is taken
            with the answer to a report.
        take_turn: What to do with such a turn.
        stopping: Nothing new is taken.
    """

    def __init__(self, link: Link, catalog: Catalog, threads: Threads, most: int) -> None:
        self._link = link
        self._catalog = catalog
        self._threads = threads
        self._most = most
        self._attempts: dict[tuple[str, str, int], _Attempt] = {}
        self.is_warm: Callable[[str, int], bool] = lambda _run_id, _incarnation: False
        self.take_turn: Callable[[pb.TurnTask], None] | None = None
        self.stopping = False
        self._elsewhere: set[str] = set()

    def start(self, task: pb.StepTask) -> None:
        """Begins with an attempt."""
        key = (task.run_id, task.step_id, task.attempt)
        if key in self._attempts:
            return
        attempt = self._attempts[key] = _Attempt(task, self._link.run(task.run_id))
        attempt.work = asyncio.get_running_loop().create_task(self._work(attempt))
        attempt.work.add_done_callback(lambda _: self._attempts.pop(key))

    def drop(self, ref: pb.StepRef) -> None:
        """Stops an attempt whose result nobody needs any more."""
        attempt = self._attempts.get((ref.run_id, ref.step_id, ref.attempt))
        if attempt is not None and not attempt.dropped:
            attempt.dropped = True
            _log.info("%s is cancelled: nobody needs its result any more", attempt)
            attempt.interrupt()

    def hand_back(self) -> None:
        """Stops all attempts, and gives them to other workers."""
        for attempt in self._attempts.values():
            attempt.handing_back = True
            attempt.interrupt()

    def is_news(self, name: str) -> bool:
        """Whether a step is not executed here, and nobody has asked that before."""
        if name in self._catalog.steps or name in self._elsewhere:
            return False
        self._elsewhere.add(name)
        return True

    @property
    def free(self) -> int:
        """How many more steps may be executed here now."""
        return 0 if self.stopping else max(0, self._most - len(self._attempts))

    @property
    def held(self) -> list[pb.StepRef]:
        """The attempts whose results are to come."""
        return [attempt.ref for attempt in self._attempts.values() if not attempt.dropped]

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """The attempts, to wait for them."""
        return [attempt.work for attempt in self._attempts.values() if attempt.work is not None]

    async def _work(self, attempt: _Attempt) -> None:
        result: common_pb2.Payload | Failed | None = None
        try:
            result = await self._execute(attempt)
        except asyncio.CancelledError:
            if not (attempt.dropped or attempt.handing_back):
                raise
        except Exception:  # noqa: BLE001 - it is logged
            # A mistake in what executes steps: the lease lapses.
            _log.exception("%s was given up", attempt)
            return
        if not attempt.dropped:
            attempt.reporting = True
            await self._report(attempt, result)

    async def _execute(self, attempt: _Attempt) -> common_pb2.Payload | Failed:
        task = attempt.task
        step = self._catalog.steps.get(task.name)
        if step is None:
            raise LookupError(f'there is no step "{task.name}" here')
        _log.debug("%s begins, attempt %d", attempt, task.attempt)
        current_step.set(attempt.context)
        begun = time.monotonic()
        with span(
            "hookd.worker.step", task.traceparent, run_id=task.run_id, step=task.name
        ) as failed:
            result = await execute(step, task.input, self._threads)
            if isinstance(result, Failed):
                failed(result.error)
        if not isinstance(result, Failed):
            _log.info("%s has completed in %.3f s", attempt, time.monotonic() - begun)
        else:
            _log.warning(
                "%s has failed at attempt %d: %s; %s",
                attempt,
                task.attempt,
                in_words(result.error),
                self._what_follows(task, result),
            )
        return result

    def _what_follows(self, task: pb.StepTask, failed: Failed) -> str:
        if failed.final:
            return "another attempt would fail as well"
        if task.last_attempt:
            return "that was the last attempt"
        delay = failed.retry_after
        if delay is None:
            delay = _delay_after(task.attempt, self._catalog.steps[task.name].retry)
        return f"it is tried again in about {delay:.3g} s"

    async def _report(self, attempt: _Attempt, result: common_pb2.Payload | Failed | None) -> None:
        """Tells the daemon how it went; None hands the step back."""
        task = attempt.task
        request = pb.CompleteStepRequest(
            project=self._link.project,
            worker_id=self._link.worker_id,
            step=attempt.ref,
            incarnation=task.incarnation,
        )
        if result is None:
            request.hand_back.SetInParent()
            _log.info("%s is handed back", attempt)
        elif isinstance(result, Failed):
            request.failure.CopyFrom(result.to_wire())
        else:
            request.output.CopyFrom(result)
        request.take_turn = not self.stopping and self.is_warm(task.run_id, task.incarnation)
        try:
            answer = await self._link.complete_step(request)
        except (InvalidArgumentError, LimitExceededError) as error:
            if isinstance(result, Failed) or result is None:
                _log.error("%s was given up: %s", attempt, error)
                return
            # What it returned is more than the daemon takes.
            _log.warning("%s has failed: its result is refused: %s", attempt, error)
            await self._report(attempt, Failed(error, final=True))
        except ClientClosedError:
            pass
        except HookdError as error:
            if is_overtaken(error):
                _log.info("%s: its result is not needed any more: %s", attempt, error)
            else:
                _log.error("%s was given up: %s", attempt, error)
        else:
            if answer.HasField("turn") and self.take_turn is not None:
                self.take_turn(answer.turn)
