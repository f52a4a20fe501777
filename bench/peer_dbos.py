"""The peer: the same workflows on DBOS with SQLite, all in one process.

It runs in an environment of its own (see ``peer``), which has neither hookd nor
the rest of this package: it takes a plan in JSON as its argument and prints what
it measured in one line of JSON.
"""

from __future__ import annotations

import collections
import itertools
import json
import random
import sqlite3
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dbos import DBOS

TOPIC = "hook"
PATIENCE = 60
parked: list[str] = []


@DBOS.step()
def add_one(number: int) -> int:
    """Adds one: a step that costs nothing itself."""
    return number + 1


@DBOS.step()
def moment() -> int:
    """Tells when it began, on the clock that all processes of the machine share."""
    return time.monotonic_ns()


@DBOS.workflow()
def three_steps(number: int) -> int:
    """One step after the other."""
    first = add_one(number)
    second = add_one(first)
    return add_one(second)


@DBOS.workflow()
def goes_on(run: str) -> int:
    """Waits for a payload and then executes a step."""
    parked.append(run)
    DBOS.recv(TOPIC, PATIENCE)
    return moment()


@DBOS.workflow()
def ends(run: str) -> Any:
    """Waits for a payload and ends with it."""
    parked.append(run)
    return DBOS.recv(TOPIC, PATIENCE)


@DBOS.workflow()
def long_life(steps: int) -> list[int]:
    """Executes many steps, and tells when each began."""
    return [moment() for _ in range(steps)]


def one_at_a_time(runs: int) -> list[float]:
    """The milliseconds from the start of a run to its result, run after run."""
    times = []
    for number in range(runs):
        begin = time.monotonic_ns()
        result = DBOS.start_workflow(three_steps, number).get_result()
        times.append((time.monotonic_ns() - begin) / 1e6)
        if result != number + 3:
            raise RuntimeError(f"the peer's workflow came to {result}")
    return times


def many(runs: int, in_flight: int) -> float:
    """Runs per second, with so many started and not awaited yet."""
    begin = time.perf_counter()
    started: collections.deque[Any] = collections.deque()
    for number in range(runs):
        started.append(DBOS.start_workflow(three_steps, number))
        if len(started) == in_flight:
            started.popleft().get_result()
    for handle in started:
        handle.get_result()
    return runs / (time.perf_counter() - begin)


def resumed(workflow: Any, runs: int, poll: float) -> tuple[list[float], list[float]]:
    """Milliseconds from ``send`` to what the run returns, if a time, and to its result.

    One run waits at a time: the listener looks at all that wait, one by one. The
    pause before the ``send`` is at random, lest it keep step with the listener.
    """
    begun, ended = [], []
    for number in range(runs):
        run = str(number)
        parked.clear()
        handle = DBOS.start_workflow(workflow, run)
        while run not in parked:
            time.sleep(0.001)
        time.sleep(0.03 + random.random() * poll)
        begin = time.monotonic_ns()
        DBOS.send(handle.get_workflow_id(), begin, TOPIC)
        result = handle.get_result()
        ended.append((time.monotonic_ns() - begin) / 1e6)
        begun.append((result - begin) / 1e6)
    return begun, ended


def life(steps: int) -> list[float]:
    """Milliseconds from the beginning of each step to that of the next."""
    times = DBOS.start_workflow(long_life, steps).get_result()
    return [(later - earlier) / 1e6 for earlier, later in itertools.pairwise(times)]


def pragmas(file: str) -> dict[str, Any]:
    """How SQLite syncs, for the report."""
    engine = sqlite3.connect(file)
    names = ("journal_mode", "synchronous")
    facts = {name: engine.execute(f"PRAGMA {name}").fetchone()[0] for name in names}
    engine.close()
    return facts


def main(plan: dict[str, Any]) -> dict[str, Any]:
    """Measures what the plan asks for."""
    file = str(Path(plan["folder"]) / "peer.sqlite")
    if plan["wal"]:
        # The mode is kept in the file.
        engine = sqlite3.connect(file)
        engine.execute("PRAGMA journal_mode=WAL")
        engine.close()
    DBOS(
        config={
            "name": "peer",
            "system_database_url": f"sqlite:///{file}",
            "notification_listener_polling_interval_sec": plan["poll"],
            "log_level": "WARNING",
        }
    )
    DBOS.launch()
    one_at_a_time(plan["warm_up"])
    report: dict[str, Any] = {
        "version": version("dbos"),
        "sqlite": sqlite3.sqlite_version,
        **pragmas(file),
        "one_at_a_time_ms": one_at_a_time(plan["runs"]),
        "per_second": many(plan["many"], plan["in_flight"]),
        "goes_on_ms": resumed(goes_on, plan["resumes"], plan["poll"])[0],
        "ends_ms": resumed(ends, plan["resumes"], plan["poll"])[1],
    }
    if plan["life"]:
        report["life_ms"] = life(plan["life"])
    DBOS.destroy()
    return report


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
