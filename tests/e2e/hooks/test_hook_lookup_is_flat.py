"""What a call by token costs does not grow with the number of hooks, or of runs before."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

import pytest
from hookd.v1.admin_service_pb2 import GetStatsRequest
from hookd.v1.common_pb2 import HookSpec
from hookd.v1.hook_service_pb2 import CreateHooksRequest, HookClaim

from tests.support.api import Api
from tests.support.daemon import running

FEW = 1_000
#: A million with HOOKD_TEST_HOOKS=1000000; less by itself, to stay quick.
MANY = int(os.environ.get("HOOKD_TEST_HOOKS", "100000"))
ENDED = MANY // 100
ROUNDS = 250
BATCH = 1_000


def fill(api: Api, hooks: int, ended: int) -> None:
    """Makes active hooks, a thousand a run, and runs that have ended."""

    def fill_run(number: int) -> None:
        run_id = api.start(f"bulk-{number}").run.run_id
        claims = [
            HookClaim(run_id=run_id, hook=HookSpec(hook_id=f"h-{n}", token=f"bulk-{number}-{n}"))
            for n in range(BATCH)
        ]
        results = api.hooks.CreateHooks(CreateHooksRequest(hooks=claims)).results
        assert all(result.HasField("claimed") for result in results)

    def end_run(number: int) -> None:
        run_id = api.start(f"ended-{number}", claims=[HookSpec(token=f"ended-{number}")])
        api.complete(run_id.run.run_id)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fill_run, range(hooks // BATCH)))
        list(pool.map(end_run, range(ended)))
    api.start("measured")


def measure(api: Api, number: int, times: dict[str, list[float]]) -> None:
    """One round of all operations on one token, each timed."""
    token, hook_id = f"measured-{number}", f"m-{number}"
    steps: dict[str, Callable[[], object]] = {
        "claim": lambda: api.claim("measured", token, hook_id),
        "look up": lambda: api.hook(token),
        "resume": lambda: api.resume(token),
        "release": lambda: api.dispose("measured", hook_id),
    }
    for name, step in steps.items():
        begin = perf_counter()
        step()
        times.setdefault(name, []).append(perf_counter() - begin)


@pytest.mark.long
@pytest.mark.timeout(120 + MANY // 2_000)
def test_hook_lookup_is_flat(tmp_path: Path) -> None:
    (tmp_path / "few").mkdir()
    (tmp_path / "many").mkdir()
    with running(tmp_path / "few") as small, running(tmp_path / "many") as large:
        few, many = Api(small.channel()), Api(large.channel())
        fill(few, FEW, 0)
        fill(many, MANY, ENDED)
        assert few.admin.GetStats(GetStatsRequest()).active_tokens == FEW
        assert many.admin.GetStats(GetStatsRequest()).active_tokens == MANY
        times_few: dict[str, list[float]] = {}
        times_many: dict[str, list[float]] = {}
        for number in range(ROUNDS):
            # Turn by turn, so that whatever else the machine does meets both.
            first, second = ((few, times_few), (many, times_many))[:: 1 if number % 2 else -1]
            measure(first[0], number, first[1])
            measure(second[0], number, second[1])
    for name, slow in times_many.items():
        base, found = statistics.median(times_few[name]), statistics.median(slow)
        assert found < 2 * base, f"{name}: {base * 1e6:.0f} µs became {found * 1e6:.0f} µs"
