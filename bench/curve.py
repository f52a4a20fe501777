"""The long life of one run: what a turn costs as its log grows."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from pathlib import Path
from typing import Any

import hookd

from bench import definitions, servers
from bench.processes import Server

WINDOWS = 10
#: How often the log is replayed by a new worker.
COLD = 3
#: Seconds that the whole life may take.
PATIENCE = 600


async def measure(daemon: Server, log_file: Path, steps: int) -> dict[str, Any]:
    """Lets a run execute steps, wakes it warm, and wakes it in a new worker.

    Args:
        daemon: an unoccupied daemon, without a worker.
        log_file: for the log of the workers.
        steps: how many; each is two events and one turn.
    """
    warm, *cold = tokens = ["warm", *(f"cold-{number}" for number in range(COLD))]
    woken = []
    async with asyncio.timeout(PATIENCE), hookd.connect(daemon.address) as client:
        with servers.worker(daemon.address, log_file):
            await _warm_up(client)
            run = await client.start(definitions.long_life, steps, tokens)
            woken.append(await _wake(client, warm))
            await _parked(client, cold[0])
        events = (await run.info()).last_seq
        for number, token in enumerate(cold, 1):
            with servers.worker(daemon.address, log_file):
                await _warm_up(client)
                woken.append(await _wake(client, token))
                if number < len(cold):
                    await _parked(client, cold[number])
                else:
                    result = await run.return_value()
    times = result["begun"]
    turns = [(later - earlier) / 1e6 for earlier, later in itertools.pairwise(times)]
    windows = _windows(turns)
    wakes = [(then - now) / 1e6 for now, then in zip(woken, result["woken"], strict=True)]
    return {
        "events": events,
        "windows": windows,
        "end_to_start": windows[-1]["median_ms"] / windows[0]["median_ms"],
        "warm_wake_ms": wakes[0],
        "cold_wake_ms": statistics.median(wakes[1:]),
    }


async def _warm_up(client: hookd.Client) -> None:
    for number in range(20):
        await (await client.start(definitions.three_steps, number)).return_value()


async def _parked(client: hookd.Client, token: str) -> None:
    """Waits until the run waits for this hook, and for nothing else."""
    while True:
        try:
            await client.get_hook_by_token(token, wait=30)
        except hookd.HookNotFoundError:
            continue
        break
    await asyncio.sleep(0.05)


async def _wake(client: hookd.Client, token: str) -> int:
    await _parked(client, token)
    begin = time.monotonic_ns()
    await client.resume_hook(token)
    return begin


def _windows(turns: list[float]) -> list[dict[str, float]]:
    """The times of the turns, by the tenth of the life."""
    bounds = [len(turns) * tenth // WINDOWS for tenth in range(WINDOWS + 1)]
    windows = []
    for first, last in itertools.pairwise(bounds):
        part = sorted(turns[first:last])
        windows.append(
            {
                "from_event": 2 * first + 2,
                "to_event": 2 * last + 2,
                "median_ms": statistics.median(part),
                "p99_ms": part[int(len(part) * 0.99)],
            }
        )
    return windows
