"""What the charts of the overview show: some numbers, read once a second."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from hookd_daemon.errors import StoreUnavailableError
from hookd_daemon.store.tx import Store
from hookd_daemon.telemetry.metrics import Metrics

#: So many are kept: three minutes.
MOST_SAMPLES = 181
PERIOD_S = 1.0


@dataclass(frozen=True, slots=True)
class Reading:
    """The daemon's numbers at one moment; those that count do so since the start.

    Attributes:
        at: seconds that only grow.
        active_runs: runs that have not ended.
        tokens: tokens that are taken.
        claims: claims that created a hook.
        conflicts: claims that lost.
        flushes: how often the disk was synced.
        flush_seconds: how long that took, in all.
    """

    at: float
    active_runs: int
    tokens: int
    claims: int
    conflicts: int
    flushes: int
    flush_seconds: float


@dataclass(frozen=True, slots=True)
class Series:
    """The values of a chart, the oldest first; None where there is nothing to say."""

    name: str
    unit: str
    values: list[float | None]


def reader(
    metrics: Metrics, active_runs: Callable[[], int], tokens: Callable[[], int]
) -> Callable[[], Reading]:
    """Makes what reads the daemon's numbers.

    Args:
        metrics: what is counted and timed.
        active_runs: how many runs have not ended.
        tokens: how many tokens are taken.
    """

    def read() -> Reading:
        flushes = metrics.flush_seconds
        return Reading(
            time.monotonic(),
            active_runs(),
            tokens(),
            metrics.claims,
            metrics.conflicts,
            sum(flushes.counts),
            flushes.total,
        )

    return read


class Samples:
    """Reads the numbers and keeps the last ones.

    Reading takes a few microseconds: it goes on while nobody looks, so that
    whoever looks sees what has been.

    Args:
        read: reads them.
        store: tells when the daemon goes down.

    Attributes:
        count: how many were read.
    """

    def __init__(self, read: Callable[[], Reading], store: Store) -> None:
        self._read = read
        self._store = store
        self._kept: deque[Reading] = deque([read()], maxlen=MOST_SAMPLES)
        self.count = 1

    async def run(self) -> None:
        """Reads once a second until the daemon goes down."""
        try:
            with self._store.subscribe() as closing:
                while True:
                    await closing.wait(PERIOD_S)
                    self._kept.append(self._read())
                    self.count += 1
        except StoreUnavailableError:
            return

    def series(self) -> list[Series]:
        """The charts."""
        kept = list(self._kept)
        return [
            Series("Active runs", "", [float(one.active_runs) for one in kept]),
            Series("Active tokens", "", [float(one.tokens) for one in kept]),
            Series("Claims", "per second", _rates(kept, lambda one: one.claims)),
            Series("Conflicts", "per second", _rates(kept, lambda one: one.conflicts)),
            Series("Flush time", "ms", _flush_times(kept)),
        ]


def _rates(kept: list[Reading], count: Callable[[Reading], int]) -> list[float | None]:
    return [(count(new) - count(old)) / max(new.at - old.at, 0.001) for old, new in pairwise(kept)]


def _flush_times(kept: list[Reading]) -> list[float | None]:
    """Milliseconds of the flushes within each second; None when there was none."""
    return [
        (new.flush_seconds - old.flush_seconds) * 1000 / (new.flushes - old.flushes)
        if new.flushes > old.flushes
        else None
        for old, new in pairwise(kept)
    ]
