"""The same log makes the code do the same, in whatever process."""

import asyncio
import contextvars
import os
import random
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hookd.v1 import events_pb2
from hookd.workflows.deterministic import now, uuid4
from hookd.workflows.deterministic import random as run_random
from hookd.workflows.timers import sleep

from tests.unit.runtime.busy import play_at_random
from tests.unit.runtime.story import START, Story

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("number", range(6))
def test_every_order_of_events_is_replayed(number):
    """After each of its events, the log leads a fresh execution to the same commands."""
    story = play_at_random(random.Random(number), replays=True)
    assert story.result
    assert story.live.take_warnings() == []


def test_the_context_of_the_worker_plays_no_part():
    name = contextvars.ContextVar("name", default="none")

    async def w():
        before = name.get()
        name.set("workflow")
        await sleep(1)
        return [before, name.get()]

    name.set("worker")
    assert Story(w).advance(1).result == ["none", "workflow"]
    assert name.get() == "worker"


def test_hashes_and_addresses_play_no_part():
    def played(seed: str, ballast: int) -> str:
        return subprocess.run(
            [sys.executable, "-m", "tests.unit.runtime.busy", str(ballast)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    assert (
        len({played(seed, ballast) for seed, ballast in (("0", 0), ("1", 999), ("2", 54321))}) == 1
    )


def test_now_is_the_time_of_the_log():
    async def w():
        first = now()
        await sleep("1h")
        return [first.timestamp(), (now() - first).total_seconds(), now().tzinfo is UTC]

    begun, passed, aware = Story(w).advance(3600).result
    assert begun * 1000 == START + 2
    assert 3600 <= passed < 3601
    assert aware


def test_time_does_not_go_back():
    async def w():
        times = [now()]
        await sleep(1)
        times.append(now())
        return times == sorted(times)

    story = Story(w)
    story.now_ms -= 60_000
    story.append("timer-1", timer_fired=events_pb2.TimerFired())
    story.settle()
    assert story.result is True


def test_random_and_uuid_belong_to_the_run():
    async def w():
        return [run_random().random(), run_random().randint(0, 10**12), str(uuid4()), str(uuid4())]

    one, again = Story(w).result, Story(w).result
    other = Story(w, seed=bytes(32)).result
    assert one == again
    assert not set(one) & set(other)
    assert len(set(one)) == 4


def test_uuids_take_nothing_from_random():
    async def plain():
        return [run_random().random(), run_random().random()]

    async def between():
        first = run_random().random()
        uuid4()
        return [first, run_random().random()]

    assert Story(plain).result == Story(between).result


def test_elsewhere_they_are_real():
    assert abs((datetime.now(UTC) - now()).total_seconds()) < 60
    assert uuid4() != uuid4()
    assert uuid4().version == 4
    assert run_random().random() != run_random().random()


def test_all_tasks_come_in_an_order_that_other_loops_do_not_change():
    async def endless():
        await asyncio.get_running_loop().create_future()

    async def w():
        tasks = [asyncio.create_task(endless(), name=str(n)) for n in range(65)]
        await asyncio.sleep(0)
        for number, task in enumerate(tasks):
            # Those that stay are neighbours in a small set.
            if number % 8:
                task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return [task.get_name() for task in asyncio.all_tasks()]

    orders = set()
    loop = asyncio.new_event_loop()
    others = []
    for _ in range(12):
        orders.add(tuple(Story(w, replays=False).result))
        others += [loop.create_task(asyncio.sleep(0)) for _ in range(40)]
    loop.run_until_complete(asyncio.gather(*others))
    loop.close()
    assert len(orders) == 1
    assert len(orders.pop()) == 10
