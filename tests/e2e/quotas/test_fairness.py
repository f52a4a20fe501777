"""A project that floods waits for itself; one that asks for little hardly notices.

Times depend on the machine and on what else it does. So a time is only held
against another of the same minutes: that of the flood itself, whose calls would
be as slow as everybody's if all stood in one queue.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.api import Api
from tests.support.daemon import PATIENCE, Daemon, running

#: So many calls are measured; few, for each waits for the flood if there is no fairness.
CALLS = 60


class Flood:
    """A flood that has begun.

    Attributes:
        mean: seconds that each of its calls took, when it is over.
    """

    mean = 0.0


@contextmanager
def flood(daemon: Daemon, kind: str, calls: int) -> Iterator[Flood]:
    """Floods the daemon while the block runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.quotas.flood", daemon.address, "flood", kind, str(calls)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    begun = Flood()
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "go\n"
        yield begun
        process.stdin.close()
        begun.mean = float(process.stdout.readline())
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait(PATIENCE)
        if process.stdout is not None:
            process.stdout.close()


def time_of_claims(api: Api, name: str) -> float:
    """Seconds that each claim takes, one after the other."""
    times = []
    for i in range(CALLS):
        begin = time.perf_counter()
        api.claim("run", f"{name}-{i}")
        times.append(time.perf_counter() - begin)
    return statistics.fmean(times)


@pytest.mark.parametrize(
    ("kind", "calls", "times_faster"), [("claims", 256, 5), ("batches", 16, 5)]
)
def test_a_flood_waits_for_itself(
    tmp_path: Path, kind: str, calls: int, times_faster: float
) -> None:
    """In one queue with the flood, a call would take as long as the flood's own."""
    with running(tmp_path) as daemon:
        victim = Api(daemon.channel(), "victim")
        victim.start("run")
        time_of_claims(victim, "warm")
        with flood(daemon, kind, calls) as begun:
            time_of_claims(victim, "settle")
            flooded = time_of_claims(victim, "flooded")
        assert flooded * times_faster < begun.mean, (flooded, begun.mean)


def test_a_flood_over_its_calls_per_second_is_hardly_noticed(tmp_path: Path) -> None:
    """Its refusals come slowly, so that it cannot keep the daemon busy with them."""
    file = tmp_path / "hookd.toml"
    file.write_text("[projects.flood]\nmax_calls_per_second = 50\n")
    with running(tmp_path, f"--config={file}") as daemon:
        victim = Api(daemon.channel(), "victim")
        victim.start("run")
        time_of_claims(victim, "warm")
        with flood(daemon, "claims", 256) as begun:
            time_of_claims(victim, "settle")
            flooded = time_of_claims(victim, "flooded")
        alone = time_of_claims(victim, "alone")
        assert flooded * 5 < begun.mean, (flooded, begun.mean)
        assert flooded < alone * 25, (flooded, alone)
