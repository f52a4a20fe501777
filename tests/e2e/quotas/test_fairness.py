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
from typing import Any

import pytest
from hookd.v1.hook_service_pb2 import GetHookRequest
from hookd.v1.run_service_pb2 import StartRunRequest, WatchRunRequest
from hookd_daemon.api.sharing import KEPT

from tests.e2e.doors.keys import bearing, create
from tests.support.api import Api, refusal, seconds
from tests.support.concurrency import eventually
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


def test_streams_and_waits_of_one_project_leave_room_for_others(tmp_path: Path) -> None:
    """As many as there may be, but for what is kept for those who have few."""
    most = 4 * KEPT
    kept = most // KEPT
    with running(tmp_path, "--require-keys", f"--max-streams={most}") as daemon:
        api = Api(daemon.channel())
        waits = GetHookRequest(project="flood", token="never", wait=seconds(PATIENCE))
        flood, victim = (
            {"metadata": bearing(create(daemon.data_dir, project)), "timeout": PATIENCE}
            for project in ("flood", "victim")
        )
        for project, more in (("flood", flood), ("victim", victim)):
            run = StartRunRequest(project=project, run_id="run", workflow="w", external=True)
            api.runs.StartRun(run, **more)

        def watch(project: str, more: dict[str, Any]) -> Any:
            stream = api.runs.WatchRun(WatchRunRequest(project=project, run_id="run"), **more)
            assert next(stream).event.seq == 1
            return stream

        open_ = [watch("flood", flood) for _ in range(most - kept - 2)]
        open_ += [api.hooks.GetHook.future(waits, **flood) for _ in range(2)]
        told = eventually(lambda: _refused(api, waits, flood))
        assert told == {"limit": "streams", "allowed": str(most - kept)}
        assert refusal(watch, "flood", flood).metadata == told
        theirs = [watch("victim", victim) for _ in range(kept)]
        assert refusal(watch, "victim", victim).reason == "LIMIT_EXCEEDED"
        # What is given back is for everybody.
        open_[0].cancel()
        eventually(lambda: _refused(api, waits, victim) == {})
        for call in (*open_, *theirs):
            call.cancel()


def _refused(api: Api, waits: GetHookRequest, more: dict[str, Any]) -> dict[str, str]:
    """What a wait that is over at once is told of a limit; nothing if it is let in."""
    short = GetHookRequest(project=waits.project, token=waits.token, wait=seconds(0.01))
    told = refusal(api.hooks.GetHook, short, **more)
    return told.metadata if told.reason == "LIMIT_EXCEEDED" else {}
