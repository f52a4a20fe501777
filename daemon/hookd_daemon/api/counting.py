"""Counts what commits did, from what they tallied."""

from __future__ import annotations

from hookd.v1.common_pb2 import RUN_STATUS_PENDING, RUN_STATUS_RUNNING

from hookd_daemon.errors import status_name
from hookd_daemon.store.tx import Tally
from hookd_daemon.telemetry.metrics import Metrics

PENDING = status_name(RUN_STATUS_PENDING)
RUNNING = status_name(RUN_STATUS_RUNNING)


class Counting:
    """Hands tallies to the metrics, and keeps the number of active runs.

    Args:
        metrics: where the counters are.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.runs: dict[str, int] = {PENDING: 0, RUNNING: 0}

    def active_runs(self) -> tuple[int, int]:
        """How many runs are pending, and how many are running."""
        return self.runs[PENDING], self.runs[RUNNING]

    def observe(self, tally: Tally) -> None:
        """Takes what a commit did."""
        metrics = self._metrics
        for what, times in tally.items():
            kind, _, which = what.partition(".")
            match kind:
                case "claims":
                    metrics.claims += times
                case "conflicts":
                    metrics.conflicts += times
                case "resumes":
                    metrics.resumes += times
                case "releases":
                    metrics.releases[which] += times
                case "runs_started":
                    metrics.runs_started += times
                case "runs_ended":
                    metrics.runs_ended[which] += times
                case "turns":
                    metrics.turns += times
                case "steps":
                    metrics.steps[which] += times
                case "timers_fired":
                    metrics.timers_fired += times
                case "refused":
                    metrics.over_quota[which] += times
                case "runs" if which in self.runs:
                    self.runs[which] += times
