"""What a run of the suite measures, and about how long that takes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from bench import workflows

#: What can be named with ``--only``, in the order in which it is measured.
PARTS = ("disk", "index", "loads", "growth", "footprint", "workflows")

CONCURRENCY = (1, 16, 64, 256)
CONNECTIONS = (1, 4, 8)
#: Where only one point of a load is measured.
USUAL = (64, 4)
#: Claims in a batch.
BATCH = 256
#: What a measurement takes besides its seconds: start, set-up, end.
SET_UP_S = 0.6


@dataclass(frozen=True)
class Load:
    """One load, and where it is measured.

    Attributes:
        name: as the load generator knows it.
        title: for people.
        targets: who is measured, by turns; the names of ``servers`` and ``peers``.
        points: calls in flight, and over how many connections.
        count: operations to make, where the load is no matter of time.
    """

    name: str
    title: str
    targets: tuple[str, ...] = ("hookd",)
    points: tuple[tuple[int, int], ...] = (USUAL,)
    count: int = 0


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        name: ``quick``, ``default`` or ``full``.
        loads: the loads.
        seconds: how long each is measured, each time.
        warm_up: seconds before that.
        rounds: how often, by turns; the median round counts.
        levels: numbers of active tokens.
        level_loads: the loads that are measured at each level.
        tokens_per_run: how many tokens each run holds there.
        compaction_seconds: how long claims are measured while the store is compacted.
        events: how long the log of a run is.
        index_tokens: active tokens beside which the index is measured.
        index_seconds: how long.
        syncs: how many syncs of the bare disk are measured.
        workflows: how much of the workflows.
    """

    name: str
    loads: tuple[Load, ...]
    seconds: float = 1.0
    warm_up: float = 0.4
    rounds: int = 3
    levels: tuple[int, ...] = (10_000, 1_000_000)
    level_loads: tuple[str, ...] = (
        "get",
        "conflict",
        "claim-release",
        "resume-many",
        "start-claim",
        "mixed",
        "claim",
        "claim-batch",
        "claim-stream",
    )
    tokens_per_run: int = 10
    compaction_seconds: float = 10.0
    events: tuple[int, ...] = (100, 10_000)
    index_tokens: int = 1_000_000
    index_seconds: float = 2.0
    syncs: int = 400
    workflows: workflows.Size = field(default_factory=workflows.Size)

    def measurements(self) -> int:
        """How many measurements the loads take."""
        return self.rounds * sum(len(load.points) * len(load.targets) for load in self.loads)

    def minutes(self, parts: tuple[str, ...]) -> float:
        """About how many minutes the parts take; what was seen, not what is promised."""
        cell = self.seconds + self.warm_up + SET_UP_S
        tokens = self.levels[-1]
        # Starting and ending the runs that hold the tokens takes most of the time.
        fill = tokens / self.tokens_per_run / 1000 + tokens / 100_000
        seconds = {
            "disk": self.syncs * 0.01,
            "index": self.index_seconds * 8 + self.index_tokens / 50_000,
            "loads": self.measurements() * cell + 6 * len(self.loads),
            "growth": len(self.levels)
            * (self.rounds * len(self.level_loads) * cell + 2 * self.compaction_seconds)
            + sum(self.events) / 1000,
            "footprint": fill + len(self.levels) * 15,
            "workflows": 0.12 * self.workflows.rounds * self.workflows.runs
            + 0.06 * self.workflows.steps,
        }
        if {"growth", "footprint"} & set(parts):
            seconds["fill"] = fill
            parts = (*parts, "fill")
        return sum(seconds[part] for part in parts) / 60


def _at(connections: int, *concurrency: int) -> tuple[tuple[int, int], ...]:
    return tuple((one, connections) for one in concurrency)


#: Who claims single tokens.
BESIDE = ("hookd", "empty", "redis", "redis-pool", "postgres", "etcd")
_REGISTRIES = ("hookd", "redis", "postgres", "etcd")

LOADS = (
    Load("claim", "Claims, one a call", BESIDE),
    Load("claim-batch", f"Claims, {BATCH} a call", ("hookd", "empty", "redis", "postgres")),
    Load("claim-stream", f"Claims, {BATCH} a message of a stream", ("hookd", "empty")),
    Load("conflict", "Conflicts on one hot token", _REGISTRIES),
    Load("conflict-batch", f"Conflicts, {BATCH} a call"),
    Load("conflict-stream", f"Conflicts, {BATCH} a message of a stream"),
    Load("claim-release", "Claim and release, a pair", _REGISTRIES),
    Load("resume-one", "Resumes into one run"),
    Load("resume-many", "Resumes into a hundred runs"),
    Load("start-claim", "Starts that claim a token"),
    Load("start-complete", "Start with a claim, then the end"),
    # The waiters; few enough for the limit of streams.
    Load("wait-result", "Ends of runs, 10,000 waiting for results", count=10_000),
    Load("get", "Look-ups by token"),
    Load("mixed", "Mixed"),
)

_POINTS = {
    "claim": (*_at(4, *CONCURRENCY), (64, 1), (64, 8)),
    "claim-batch": _at(4, 1, 16, 64),
    "claim-stream": _at(4, 1, 16, 64),
    "conflict": _at(4, *CONCURRENCY),
    "claim-release": _at(4, *CONCURRENCY),
}
DEFAULT = Plan(
    "default",
    tuple(replace(load, points=_POINTS.get(load.name, load.points)) for load in LOADS),
)
FULL = Plan(
    "full",
    tuple(
        replace(load, points=tuple((c, n) for c in CONCURRENCY for n in CONNECTIONS if n <= c))
        for load in LOADS
    ),
    seconds=2.0,
    levels=(10_000, 1_000_000, 5_000_000),
    compaction_seconds=30.0,
)
#: Enough to see that everything works: its figures say nothing.
QUICK = Plan(
    "quick",
    (
        Load("claim", "Claims, one a call", BESIDE, ((1, 1), (8, 2))),
        Load("claim-batch", f"Claims, {BATCH} a call", ("hookd", "empty"), ((4, 2),)),
        Load("claim-stream", f"Claims, {BATCH} a message of a stream", ("hookd",), ((4, 2),)),
        Load("conflict", "Conflicts on one hot token", ("hookd",), ((8, 2),)),
    ),
    seconds=0.2,
    warm_up=0.05,
    rounds=1,
    levels=(500, 2_000),
    level_loads=("claim", "claim-batch"),
    compaction_seconds=0.5,
    events=(10, 50),
    index_tokens=20_000,
    index_seconds=0.1,
    syncs=20,
    workflows=workflows.QUICK,
)
