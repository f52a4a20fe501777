"""A run that this program drives itself, for as long as a block of code."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hookd.ending import ending_error, run_ended
from hookd.enums import RunStatus
from hookd.errors import (
    HookClosedError,
    HookdError,
    RunCancelledError,
    RunFailedError,
    RunNotActiveError,
    RunNotFoundError,
    UnavailableError,
)
from hookd.retry import Backoff
from hookd.run import Run
from hookd.starting import start_run
from hookd.v1 import run_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import TracebackType

    from hookd.transport import Transport

# What a cancelled task may still spend on telling the daemon.
_LAST_WORDS = 5.0
_ABOUT_A_RUN = (RunNotActiveError, HookClosedError, RunCancelledError, RunFailedError)


class DrivenRun(Run):
    """The handle that an OpenRun gives: it knows whether this program ended the run."""

    ended_here = False

    async def complete(self, value: Any = None) -> None:
        """Ends the run with an output. The block may go on; nothing is left to complete."""
        await self._end(super().complete(value))

    async def fail(
        self, error: BaseException | str, *, type: str | None = None, details: Any = None
    ) -> None:
        """Ends the run with an error."""
        await self._end(super().fail(error, type=type, details=details))

    async def cancel(self, reason: str = "") -> None:
        """Cancels the run, without cancelling the block that drives it."""
        await self._end(super().cancel(reason))

    async def _end(self, call: Coroutine[Any, Any, None]) -> None:
        self.ended_here = True
        try:
            await call
        except BaseException:
            self.ended_here = False
            raise


class OpenRun:
    """Starts an external run, keeps its lease alive, and ends it on the way out.

    See ``Client.open_run``.
    """

    def __init__(self, transport: Transport, request: pb.StartRunRequest) -> None:
        self._transport = transport
        self._request = request
        self._run: DrivenRun | None = None
        self._body: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self._told: HookdError | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Run:
        body = asyncio.current_task()
        if self._run is not None or body is None:
            raise RuntimeError("an open run is entered once, and in a task")
        before = time.monotonic()
        run = await start_run(self._transport, self._request, DrivenRun)
        started = run.started
        if not isinstance(run, DrivenRun) or started is None:
            raise TypeError("a start gave another handle than it was asked for")
        if started.run.status.ended:
            # A run id that was used before, and its work is done.
            raise RunNotActiveError(run.run_id, started.run.status)
        self._run = run
        self._body, self._cancelling = body, body.cancelling()
        self._tasks.append(asyncio.ensure_future(self._watch(run)))
        if started.run.lease_ttl is not None:
            ttl = started.run.lease_ttl.total_seconds()
            self._tasks.append(asyncio.ensure_future(self._keep_alive(run, ttl, before)))
        return run

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        run, body = self._run, self._body
        if run is None or body is None:
            raise RuntimeError("an open run is left after it was entered")
        self._body = None  # From here on the block is told nothing.
        try:
            if self._told is not None:
                others = body.uncancel() > self._cancelling
                if others and isinstance(error, asyncio.CancelledError):
                    return  # Somebody else wants the task to end, too.
                raise self._told from error
            await self._finish(run, error)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _finish(self, run: DrivenRun, error: BaseException | None) -> None:
        if run.ended_here or isinstance(error, GeneratorExit):
            return
        if error is None:
            try:
                await run.complete()
            except RunNotActiveError as refused:
                raise (await self._ending(run) or refused) from None
        elif not isinstance(error, Exception):
            # The task was cancelled, or the program ends.
            with suppress(HookdError):
                await self._cancel(run, error)
        else:
            if isinstance(error, _ABOUT_A_RUN) and error.run_id == run.run_id:
                ending = await self._ending(run)
                if ending is not None:
                    raise ending from error
            try:
                await run.fail(error)
            except RunNotActiveError:
                pass
            except HookdError as refused:
                error.add_note(f"Run {run.run_id} could not be failed either: {refused}")

    async def _cancel(self, run: DrivenRun, error: BaseException) -> None:
        if isinstance(error, asyncio.CancelledError):
            reason = "the task that drove the run was cancelled"
        else:
            reason = f"the program that drove the run ended: {type(error).__name__}"
        await self._transport.call(
            self._transport.runs.CancelRun,
            pb.CancelRunRequest(project=self._transport.project, run_id=run.run_id, reason=reason),
            timeout=min(_LAST_WORDS, self._transport.timeout),
        )

    async def _ending(self, run: DrivenRun) -> HookdError | None:
        """Tells how somebody else ended the run; None when it has not ended."""
        try:
            wire = await run_ended(self._transport, run.run_id, 0)
        except HookdError:
            return None
        return ending_error(wire) or RunNotActiveError(run.run_id, RunStatus.COMPLETED)

    def _tell(self, run: DrivenRun, error: HookdError) -> None:
        """Cancels the block, unless its end is known there."""
        if self._body is None or self._told is not None or run.ended_here:
            return
        self._told = error
        self._body.cancel()

    async def _watch(self, run: DrivenRun) -> None:
        try:
            wire = await run_ended(self._transport, run.run_id, None)
        except HookdError as error:
            self._tell(run, error)
        else:
            ending = ending_error(wire)
            self._tell(run, ending or RunNotActiveError(run.run_id, RunStatus.COMPLETED))

    async def _keep_alive(self, run: DrivenRun, ttl: float, renewed: float) -> None:
        request = pb.KeepAliveRequest(project=self._transport.project, run_id=run.run_id)
        interval = ttl / 3
        backoff = Backoff()
        while True:
            await asyncio.sleep(max(0.0, renewed + interval - time.monotonic()))
            sent = time.monotonic()
            try:
                await self._transport.call(
                    self._transport.runs.KeepAlive, request, timeout=interval, retry=False
                )
            except (RunNotActiveError, RunNotFoundError):
                return  # The watch tells, and knows how it ended.
            except HookdError as error:
                if time.monotonic() >= renewed + ttl:
                    self._tell(run, _lapsed(run, ttl, error))
                    return
                await backoff.wait()
            else:
                renewed = sent
                backoff.reset()


def _lapsed(run: Run, ttl: float, error: HookdError) -> UnavailableError:
    return UnavailableError(
        f"The lease of run {run.run_id} could not be renewed for {ttl:g} s "
        f"and may have lapsed: {error}",
        reason=error.reason,
        metadata=error.metadata,
    )
