"""Workflows from start to result, many at a time, and woken by a hook; the peer beside them."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hookd

from bench import curve, definitions, peer, servers
from bench.processes import cpu_seconds

#: Seconds that a run of the benchmark may take.
PATIENCE = 60


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        rounds: of everything but the long life, by turns with the peer.
        warm_up: runs before anything is measured.
        runs: runs of three steps, one at a time, in a round.
        many: runs of three steps, many at a time, in a round.
        in_flight: how many at a time.
        resumes: payloads in a round, for each of two kinds of runs.
        steps: the steps of the long run; each is two events.
        with_peer: whether the peer is measured.
    """

    rounds: int = 3
    warm_up: int = 50
    runs: int = 200
    many: int = 1000
    in_flight: int = 64
    resumes: int = 50
    steps: int = 2500
    with_peer: bool = True


#: Enough to see that everything works.
QUICK = Size(1, 2, 4, 12, 4, 2, 40, with_peer=False)


async def measure(folder: Path, size: Size) -> dict[str, Any]:
    """Measures everything; the result goes into the report as it is.

    Args:
        folder: for data directories and logs.
        size: how much.
    """
    rounds: list[dict[str, Any]] = []
    peers: dict[str, list[dict[str, Any]]] = {}
    settings = (peer.TUNED, peer.AS_IT_COMES) if size.with_peer and peer.installed() else ()
    with servers.hookd(folder / "workflows") as daemon:
        with servers.worker(daemon.address, folder / "worker.log") as worker:
            async with hookd.connect(daemon.address) as client:
                await one_at_a_time(client, size.warm_up)
                for number in range(size.rounds):
                    rounds.append(await _round(client, size, number, daemon.pid, worker))
                    for setting in settings:
                        life = size.steps if setting is peer.TUNED and number == 0 else 0
                        measured = await asyncio.to_thread(
                            peer.measure,
                            setting,
                            folder / f"peer-{number}-{setting.wal}",
                            warm_up=size.warm_up,
                            runs=size.runs // 2,
                            many=size.many // 10,
                            in_flight=size.in_flight,
                            life=life,
                        )
                        peers.setdefault(setting.name, []).append(measured)
        life_report = await curve.measure(daemon, folder / "worker.log", size.steps)
    report = _together(rounds)
    report["in_flight"] = size.in_flight
    report["curve"] = life_report
    report["peer"] = {name: _peer(measured, rounds) for name, measured in peers.items()} or None
    return report


async def _round(
    client: hookd.Client, size: Size, number: int, daemon: int, worker: int
) -> dict[str, Any]:
    alone = await one_at_a_time(client, size.runs)
    daemon_cpu, worker_cpu = cpu_seconds(daemon), cpu_seconds(worker)
    per_second = await many(client, size.many, size.in_flight)
    daemon_cpu, worker_cpu = cpu_seconds(daemon) - daemon_cpu, cpu_seconds(worker) - worker_cpu
    begun, _ = await resumed(client, definitions.goes_on, f"begun-{number}", size.resumes)
    _, ended = await resumed(client, definitions.ends, f"ended-{number}", size.resumes)
    return {
        "one_at_a_time_ms": alone,
        "per_second": per_second,
        "daemon_ms": daemon_cpu / size.many * 1000,
        "worker_ms": worker_cpu / size.many * 1000,
        "goes_on_ms": begun,
        "ends_ms": ended,
    }


async def one_at_a_time(client: hookd.Client, runs: int) -> list[float]:
    """The milliseconds from the start of a run to its result, run after run."""
    times = []
    for number in range(runs):
        begin = time.monotonic_ns()
        await _three_steps(client, number)
        times.append((time.monotonic_ns() - begin) / 1e6)
    return times


async def many(client: hookd.Client, runs: int, in_flight: int) -> float:
    """Runs per second, from the first start to the last result."""
    numbers = iter(range(runs))

    async def work() -> None:
        for number in numbers:
            await _three_steps(client, number)

    begin = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(in_flight)))
    return runs / (time.perf_counter() - begin)


async def resumed(
    client: hookd.Client, workflow: object, name: str, runs: int
) -> tuple[list[float], list[float]]:
    """Milliseconds from ``resume_hook`` to what the run returns, if a time, and to its result.

    One run waits at a time, and has been put aside before it is resumed.
    """
    begun, ended = [], []
    for number in range(runs):
        token = f"{name}-{number}"
        run = await client.start(workflow, token)
        await client.get_hook_by_token(token, wait=30)
        waiting = asyncio.create_task(run.return_value(PATIENCE))
        await asyncio.sleep(0.03)
        begin = time.monotonic_ns()
        await client.resume_hook(token, begin)
        result = await waiting
        ended.append((time.monotonic_ns() - begin) / 1e6)
        begun.append((result - begin) / 1e6)
    return begun, ended


async def _three_steps(client: hookd.Client, number: int) -> None:
    run = await client.start(definitions.three_steps, number)
    result = await run.return_value(PATIENCE)
    if result != number + 3:
        raise RuntimeError(f"a run of the benchmark came to {result}")


def spread(times: Sequence[float]) -> dict[str, float]:
    """The median and the 99th percentile."""
    in_order = sorted(times)
    return {"median": statistics.median(in_order), "p99": in_order[int(len(in_order) * 0.99)]}


def _together(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """One figure from those of all rounds: of all times, and of the median round otherwise."""
    report: dict[str, Any] = {}
    for name, first in rounds[0].items():
        values = [measured[name] for measured in rounds]
        if isinstance(first, list):
            report[name] = spread([one for times in values for one in times])
        elif isinstance(first, float):
            report[name] = statistics.median(values)
        else:
            report[name] = first
    return report


def _peer(measured: list[dict[str, Any]], ours: list[dict[str, Any]]) -> dict[str, Any]:
    """The peer's figures, and how many times as fast as it hookd was: above 1, hookd is faster."""
    life = measured[0].pop("life_ms", None)
    report = _together(measured)
    if life is not None:
        report["life_ms"] = spread(life)
    ratios = {
        name: statistics.median(
            statistics.median(theirs[name]) / statistics.median(own[name])
            for theirs, own in zip(measured, ours, strict=True)
        )
        for name in ("one_at_a_time_ms", "goes_on_ms", "ends_ms")
    }
    ratios["per_second"] = statistics.median(
        own["per_second"] / _best_rate(theirs) for theirs, own in zip(measured, ours, strict=True)
    )
    report["best_per_second"] = statistics.median(_best_rate(theirs) for theirs in measured)
    report["times_as_fast"] = ratios
    return report


def _best_rate(theirs: dict[str, Any]) -> float:
    """Runs per second of the peer: with one or with many in flight, whichever is more."""
    alone = 1000 / statistics.mean(theirs["one_at_a_time_ms"])
    rate: float = max(theirs["per_second"], alone)
    return rate
