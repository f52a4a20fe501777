"""The daemon's metrics.

Everything counted on the path of a call is a plain integer here; observable
instruments read it when a reader collects. OpenTelemetry names; in Prometheus
``hookd.claims`` is ``hookd_claims_total``, units become suffixes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from hookd_daemon.telemetry.histogram import SECONDS, SIZES, Histogram, RequestTimes, Series

RELEASE_CAUSES: Final = (
    "disposed",
    "expired",
    "completed",
    "failed",
    "cancelled",
    "lease_expired",
    "hold_ended",
    "superseded",
)
END_STATUSES: Final = ("completed", "failed", "cancelled")
REJECTIONS: Final = ("calls", "streams", "draining")
QUOTAS: Final = ("active_hooks", "active_runs", "payload_bytes", "calls_per_second")
STEP_OUTCOMES: Final = ("started", "completed", "failed", "retried", "lost")

_Read = Callable[[], int]
_ReadEach = Callable[[], Iterable[tuple[str, int]]]
_Callback = Callable[[CallbackOptions], Iterable[Observation]]
#: Name, unit, description and how to read it.
_Counter = tuple[str, str, str, _Callback]


class Metrics:
    """Counters to add to, histograms to record into, gauges to be told how to read.

    Counters are written by the event loop alone and read from any thread.

    Attributes:
        claims: Claims that created a hook.
        conflicts: Claims that lost.
        releases: Claims that ended, by cause (`RELEASE_CAUSES`).
        resumes: Payloads accepted.
        resume_duplicates: Payloads answered as already accepted.
        runs_started: Runs started.
        runs_ended: Runs ended, by status (`END_STATUSES`).
        turns: Turns completed by workers.
        steps: Attempts at steps, by what happened (`STEP_OUTCOMES`).
        timers_fired: Timers of workflows that fired.
        rejected: Calls refused because of a limit: ``calls`` in flight,
            ``streams`` open, or ``draining``.
        over_quota: Calls, and claims of batches, refused because of a quota of
            their project (`QUOTAS`).
        calls_in_flight: Unary calls being answered now.
        streams_open: Streams and long waits open now.
        commit_group_size: Writes that one flush made durable; ``record(n)``.
        flush_seconds: Time of one flush; ``record(seconds)``.
        request_seconds: Time per call; ``request_seconds(method, code, seconds)``.
    """

    __slots__ = (
        "_flush_times",
        "_group_sizes",
        "_meter",
        "calls_in_flight",
        "claims",
        "commit_group_size",
        "conflicts",
        "flush_seconds",
        "over_quota",
        "rejected",
        "releases",
        "request_seconds",
        "resume_duplicates",
        "resumes",
        "runs_ended",
        "runs_started",
        "steps",
        "streams_open",
        "timers_fired",
        "turns",
    )

    def __init__(self, meter: Meter) -> None:
        self.claims = 0
        self.conflicts = 0
        self.releases = dict.fromkeys(RELEASE_CAUSES, 0)
        self.resumes = 0
        self.resume_duplicates = 0
        self.runs_started = 0
        self.runs_ended = dict.fromkeys(END_STATUSES, 0)
        self.turns = 0
        self.steps = dict.fromkeys(STEP_OUTCOMES, 0)
        self.timers_fired = 0
        self.rejected = dict.fromkeys(REJECTIONS, 0)
        self.over_quota = dict.fromkeys(QUOTAS, 0)
        self.calls_in_flight = 0
        self.streams_open = 0
        self._group_sizes = Histogram(
            "hookd.commit.group.size", "{write}", "Writes made durable by one flush.", SIZES
        )
        self.commit_group_size: Series = self._group_sizes.new_series({})
        self._flush_times = Histogram(
            "hookd.flush.duration", "s", "Time to bring one group of writes to disk.", SECONDS
        )
        self.flush_seconds: Series = self._flush_times.new_series({})
        self.request_seconds = RequestTimes("hookd.request.duration", "Time to answer one call.")
        self._meter = meter
        self._observe_counters()

    def histograms(self) -> tuple[Histogram, ...]:
        """Returns the histograms, which no instrument of the SDK knows."""
        return (self._group_sizes, self._flush_times, self.request_seconds)

    def observe(
        self,
        *,
        active_tokens: _ReadEach | None = None,
        index_bytes: _Read | None = None,
        store_bytes: _Read | None = None,
        active_runs: _ReadEach | None = None,
        workers: _Read | None = None,
        leases: _ReadEach | None = None,
    ) -> None:
        """Registers how to read the gauges; each at most once.

        The functions are called by the threads of scrapes and pushes, never by
        the event loop: they must be safe from any thread, and quick. A view of a
        dict, as ``counts.items()``, is safe to return; it is copied at once. One
        that raises is logged and its gauge left out.

        Args:
            active_tokens: Tokens that are taken, per project.
            index_bytes: Memory of the token index.
            store_bytes: Size of the store on disk.
            active_runs: Runs that have not ended, by status.
            workers: Workers that are connected.
            leases: Turns and steps that workers are at, by kind.
        """
        gauge = self._meter.create_observable_gauge
        if active_tokens is not None:
            gauge(
                "hookd.tokens.active",
                [_each(active_tokens, "hookd.project")],
                unit="{token}",
                description="Tokens that are taken.",
            )
        if index_bytes is not None:
            gauge(
                "hookd.index.size",
                [_one(index_bytes)],
                unit="By",
                description="Memory of the token index.",
            )
        if store_bytes is not None:
            gauge(
                "hookd.store.size",
                [_one(store_bytes)],
                unit="By",
                description="Size of the store on disk.",
            )
        if active_runs is not None:
            gauge(
                "hookd.runs.active",
                [_each(active_runs, "status")],
                unit="{run}",
                description="Runs that have not ended.",
            )
        if workers is not None:
            gauge(
                "hookd.workers.connected",
                [_one(workers)],
                unit="{worker}",
                description="Workers that are connected.",
            )
        if leases is not None:
            gauge(
                "hookd.leases.active",
                [_each(leases, "kind")],
                unit="{lease}",
                description="Turns and steps that workers are at.",
            )

    def _observe_counters(self) -> None:
        counters: tuple[_Counter, ...] = (
            ("hookd.claims", "{claim}", "Claims that created a hook.", _one(lambda: self.claims)),
            ("hookd.conflicts", "{claim}", "Claims that lost.", _one(lambda: self.conflicts)),
            ("hookd.releases", "{claim}", "Claims that ended.", _each_of(self.releases, "cause")),
            ("hookd.resumes", "{payload}", "Payloads accepted.", _one(lambda: self.resumes)),
            (
                "hookd.resume.duplicates",
                "{payload}",
                "Payloads that had been accepted before.",
                _one(lambda: self.resume_duplicates),
            ),
            ("hookd.runs.started", "{run}", "Runs started.", _one(lambda: self.runs_started)),
            ("hookd.runs.ended", "{run}", "Runs ended.", _each_of(self.runs_ended, "status")),
            ("hookd.turns", "{turn}", "Turns completed.", _one(lambda: self.turns)),
            *_step_counters(self.steps),
            (
                "hookd.timers.fired",
                "{timer}",
                "Timers of workflows that fired.",
                _one(lambda: self.timers_fired),
            ),
            (
                "hookd.calls.rejected",
                "{call}",
                "Calls refused because of a limit.",
                _each_of(self.rejected, "limit"),
            ),
            (
                "hookd.quota.refusals",
                "{refusal}",
                "Calls and claims refused because of a quota of their project.",
                _each_of(self.over_quota, "limit"),
            ),
        )
        for name, unit, description, read in counters:
            self._meter.create_observable_counter(name, [read], unit=unit, description=description)
        up_down = self._meter.create_observable_up_down_counter
        up_down(
            "hookd.calls.in_flight",
            [_one(lambda: self.calls_in_flight)],
            unit="{call}",
            description="Unary calls being answered.",
        )
        up_down(
            "hookd.streams.open",
            [_one(lambda: self.streams_open)],
            unit="{stream}",
            description="Streams and long waits open.",
        )


def _one(read: _Read) -> _Callback:
    return lambda _: (Observation(read()),)


def _each(read: _ReadEach, label: str) -> _Callback:
    # list() copies a dict's view in one step, while the event loop may change it.
    return lambda _: [Observation(value, {label: key}) for key, value in list(read())]


def _each_of(counts: Mapping[str, int], label: str) -> _Callback:
    # The keys are fixed from the start, so reading needs no lock.
    return _each(counts.items, label)


def _step_counters(steps: Mapping[str, int]) -> list[_Counter]:
    """The counters of what happens to steps, one for each."""
    descriptions = {
        "started": "Attempts at steps that workers began.",
        "completed": "Steps that completed.",
        "failed": "Steps that failed for good.",
        "retried": "Attempts that failed and are followed by another.",
        "lost": "Attempts whose worker was lost.",
    }
    return [
        (
            f"hookd.steps.{which}",
            "{step}",
            descriptions[which],
            _one(partial(steps.__getitem__, which)),
        )
        for which in STEP_OUTCOMES
    ]
