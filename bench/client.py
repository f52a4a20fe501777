"""One measurement: a load, put on a server by the load generator."""

from __future__ import annotations

import itertools
import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench import tools
from bench.plan import BATCH
from bench.processes import Server

#: Seconds that a load may take besides what it was given: set-up, and 5 million tokens.
PATIENCE = 1800
#: No two loads of a run, nor of two runs, have a token in common.
_seeds = itertools.count(time.time_ns() // 1_000_000 * 1000)


@dataclass(frozen=True)
class Call:
    """What the load generator is asked for.

    Attributes:
        target: the kind of server.
        load: the load.
        concurrency: calls in flight.
        connections: over how many connections.
        seconds: how long is measured.
        warm_up: seconds before that.
        count: operations to make, instead of seconds.
        runs: over how many runs the load is spread; the load's own choice if 0.
        threads: of the load generator.
        seed: makes the tokens; the same seed, the same tokens.
    """

    target: str
    load: str
    concurrency: int
    connections: int
    seconds: float
    warm_up: float
    count: int = 0
    runs: int = 0
    threads: int = 1
    seed: int = field(default_factory=lambda: next(_seeds))


@dataclass(frozen=True)
class Measured:
    """What a load came to.

    Attributes:
        per_second: operations per second.
        operations: how many were measured.
        latency_ms: of a call: min, p50, p90, p99, p999, max, mean.
        by_outcome_ms: the same for each outcome of a call.
        timeline_max_ms: the slowest call of each tenth of a second.
        server_us: processor time of the server for one operation, in microseconds.
        client_us: the same of the load generator.
        server_cores: how many processors the server kept busy.
        client_cores: the same of the load generator.
        outcomes: how many operations came to what.
    """

    per_second: float
    operations: int
    latency_ms: dict[str, float]
    by_outcome_ms: dict[str, dict[str, float]]
    timeline_max_ms: list[float]
    server_us: float
    client_us: float
    server_cores: float
    client_cores: float
    outcomes: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self)


class LoadError(RuntimeError):
    """A load had an outcome that it must not have: its figures would say nothing."""


#: Puts a load on a server; None if the server has nothing like it.
Client = Callable[[Server, Call], Measured | None]


def load_generator(binary: Path = tools.LOADGEN) -> Client | None:
    """The compiled load generator; None if it is not built."""
    if not binary.exists():
        return None

    def measure(server: Server, call: Call) -> Measured | None:
        options = {
            "target": call.target,
            "address": server.address,
            "load": call.load,
            "concurrency": call.concurrency,
            "connections": min(call.connections, call.concurrency),
            "seconds": call.seconds,
            "warmup": call.warm_up,
            "threads": call.threads,
            "seed": call.seed,
            "batch": BATCH,
            "pipeline": BATCH,
            "pid": server.pid,
        }
        if call.count:
            options["count"] = call.count
        if call.runs:
            options["runs"] = call.runs
        command = [str(binary), *(f"--{name}={value}" for name, value in options.items())]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        try:
            answer = json.loads(done.stdout)
        except json.JSONDecodeError:
            answer = {"errors": {done.stderr.strip()[-2000:] or "no answer": 1}}
        return from_answer(call, answer)

    return measure


def from_answer(call: Call, answer: dict[str, Any]) -> Measured | None:
    """Reads what the load generator has printed.

    Raises:
        LoadError: calls had other outcomes than they should.
    """
    if answer.get("unsupported"):
        return None
    if any(answer.get("errors", {}).values()):
        raise LoadError(f"{call.load} on {call.target}: {answer['errors']}")
    operations, seconds = answer["operations"], answer["seconds"]
    if not operations:
        raise LoadError(f"{call.load} on {call.target}: no call was answered in time")
    server, client = answer["server_cpu_seconds"] or 0.0, answer["client_cpu_seconds"]
    return Measured(
        per_second=answer["per_second"],
        operations=operations,
        latency_ms=answer["latency_ms"],
        by_outcome_ms=answer.get("latency_ms_by_outcome", {}),
        timeline_max_ms=answer["timeline_max_ms"],
        server_us=server / operations * 1e6,
        client_us=client / operations * 1e6,
        server_cores=server / seconds,
        client_cores=client / seconds,
        outcomes=answer["outcomes"],
    )
