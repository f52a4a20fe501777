"""What all handlers share: the store, the time, and what is told about conflicts."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar

from hookd_daemon.api.quotas import Admission, CallRates
from hookd_daemon.api.recent import RecentConflicts
from hookd_daemon.api.sharing import Sharing
from hookd_daemon.clock import Clock
from hookd_daemon.config import Settings
from hookd_daemon.core.firing import fire_timer
from hookd_daemon.core.limits import Limits
from hookd_daemon.core.moment import Moment
from hookd_daemon.core.overdue import OverdueError
from hookd_daemon.errors import Conflict, LimitExceededError, status_name
from hookd_daemon.logs import get_logger, token_field
from hookd_daemon.records.v1.records_pb2 import TIMER_KIND_LEASE, TimerRecord
from hookd_daemon.store.tx import Store, Tx
from hookd_daemon.telemetry.metrics import Metrics
from hookd_daemon.telemetry.tracing import Tracing

P = ParamSpec("P")
T = TypeVar("T")

log = get_logger(__name__)

#: A run of a project that retains nothing stays this long all the same: who
#: waits for its end, or has to retry what ended it, must find it.
LEAST_RETENTION_MS = 1_000


class Backend:
    """Runs transaction functions for the handlers.

    Args:
        store: the engine.
        clock: the time.
        settings: what the operator chose.
        tracing: makes spans.
        metrics: counts.

    Attributes:
        webhook_base_url: what the URLs of hooks begin with; empty as long as
            the daemon does not serve HTTP.
    """

    def __init__(
        self, store: Store, clock: Clock, settings: Settings, tracing: Tracing, metrics: Metrics
    ) -> None:
        self.store = store
        self.clock = clock
        self.settings = settings
        self.tracing = tracing
        self.metrics = metrics
        self.booted_ms = clock.now_ms()
        self.webhook_base_url = ""
        self.conflicts = RecentConflicts()
        self._retention: dict[str, int | None] = {}
        self._limits = {name: _limits_of(settings, name) for name in settings.projects}
        self._usual_limits = _limits_of(settings, "")
        self.admission = Admission(
            CallRates(partial(settings.quota, "max_calls_per_second"), metrics),
            Sharing(metrics, settings.max_calls_in_flight),
        )

    def moment(self, project: str, metadata: Mapping[str, str] | None = None) -> Moment:
        """The moment of a call of a project.

        Args:
            project: the project, for its retention.
            metadata: what the caller sent, for its trace context.
        """
        traceparent = "" if metadata is None else self.tracing.current_traceparent(metadata)
        return Moment(
            self.clock.now_ms(),
            self.booted_ms,
            self._retention_ms(project),
            traceparent,
            self.limits(project),
            self.webhook_base_url,
        )

    def limits(self, project: str) -> Limits:
        """How much a project may have."""
        return self._limits.get(project, self._usual_limits)

    def _retention_ms(self, project: str) -> int | None:
        try:
            return self._retention[project]
        except KeyError:
            chosen = self.settings.retention_ms(project)
            if chosen is not None:
                chosen = max(chosen, LEAST_RETENTION_MS)
            if len(self._retention) < 10_000:
                self._retention[project] = chosen
            return chosen

    async def run(
        self,
        fn: Callable[Concatenate[Tx, Moment, str, P], Awaitable[T]],
        metadata: Mapping[str, str] | None,
        project: str,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Runs ``fn(tx, moment, project, …)``, again when a timer has to fire first."""
        while True:
            moment = self.moment(project, metadata)
            try:
                return await self.store.transact(fn, moment, project, *args, **kwargs)
            except OverdueError as overdue:
                timer = overdue.timer
                note_fired(timer, await self.store.transact(fire_timer, moment, None, timer))
            except LimitExceededError as error:
                self.metrics.over_quota[error.limit] += 1  # nothing was committed, nor counted
                raise

    def note_conflict(
        self,
        run_id: str,
        conflict: Conflict,
        metadata: Mapping[str, str],
        *,
        one_of_many: bool = False,
    ) -> None:
        """Tells traces, logs and whoever looks at the console of a lost claim.

        Args:
            run_id: the run that lost; of a start, the run that was not started.
            conflict: what it was told.
            metadata: what the caller sent, for its trace context.
            one_of_many: it was one claim of a batch: logged at debug level only.
        """
        detail = conflict.detail
        self.conflicts.note(
            self.clock.now_ms(),
            run_id,
            detail,
            self.tracing.current_traceparent(metadata),
            conflict.traceparent,
        )
        if self.tracing.enabled:
            age_ms = self.clock.now_ms() - detail.claimed_at.ToMilliseconds()
            self.tracing.hook_conflict(
                project=detail.project,
                token=detail.token,
                run_id=run_id,
                owner_run_id=detail.run_id,
                owner_hook_id=detail.hook_id,
                owner_status=status_name(detail.run_status),
                owner_workflow=detail.workflow,
                owner_age_ms=max(age_ms, 0),
                revision=detail.revision,
                owner_traceparent=conflict.traceparent,
            )
        level = logging.DEBUG if one_of_many else logging.INFO
        if log.is_enabled_for(level):
            log.log(
                level,
                "hook conflict",
                project=detail.project,
                run_id=run_id,
                owner_run_id=detail.run_id,
                owner_status=status_name(detail.run_status),
                **token_field(detail.project, detail.token),
            )


def _limits_of(settings: Settings, project: str) -> Limits:
    return Limits(
        active_hooks=settings.quota("max_active_hooks", project),
        active_runs=settings.quota("max_active_runs", project),
        payload_bytes=settings.quota("max_payload_bytes", project),
    )


def note_fired(timer: TimerRecord, done: str) -> None:
    """Logs what a timer did, if anything; a lapsed lease is a crash that operators look for."""
    if done:
        lapsed = timer.kind == TIMER_KIND_LEASE
        token = token_field(timer.project, timer.token) if timer.token else {}
        level = logging.INFO if lapsed else logging.DEBUG
        log.log(level, done, project=timer.project, run_id=timer.run_id, **token)


def random_text() -> str:
    """22 URL-safe characters from 128 random bits of the operating system."""
    while True:
        text = secrets.token_urlsafe(16)
        # A leading dash would read as an option on a command line.
        if text[0] != "-":
            return text


class Patience:
    """How long a call may still wait.

    Args:
        seconds: how long from now on.
    """

    __slots__ = ("_end",)

    def __init__(self, seconds: float) -> None:
        self._end = asyncio.get_running_loop().time() + seconds

    def left(self) -> float:
        """Seconds that are left; 0 when time is up."""
        return max(self._end - asyncio.get_running_loop().time(), 0.0)
