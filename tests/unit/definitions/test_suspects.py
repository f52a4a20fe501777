"""What workflow code must not call is seen without running it."""

import datetime
import datetime as dt
import functools
import os
import random
import time
import uuid
from datetime import date
from random import randint
from time import time as clock

import hookd.workflows
import pytest
from hookd.workflows.definition import step, workflow
from hookd.workflows.guards import install, unguarded, warnings_for


async def uses_datetime():
    return datetime.datetime.now(), dt.datetime.utcnow(), dt.date.today(), date.today()


async def uses_time():
    return time.time() + clock()


async def uses_random():
    return random.random() + randint(1, 2)


async def uses_uuid():
    return uuid.uuid4(), uuid.uuid5(uuid.NAMESPACE_DNS, "x")


async def uses_environment():
    return os.environ["X"], os.getenv("Y")


async def imports_inside():
    import random as dice
    from time import monotonic, sleep
    from uuid import uuid4

    sleep(1)  # noqa: ASYNC251
    return monotonic(), dice.choice([1]), uuid4()


async def has_functions_inside():
    def inner():
        return [random.random() for _ in range(3)]

    return inner(), [clock() for _ in ()]


def helper():
    return deeper()


def deeper():
    return time.time_ns()


async def calls_a_helper():
    return helper()


def repeated(function):
    @functools.wraps(function)
    async def wrapper(*args):
        return await function(*args)

    return wrapper


@repeated
async def decorated():
    return random.shuffle([])


@step
def charge():
    return time.time()


@workflow
async def inner_workflow():
    return uuid.uuid1()


@workflow
async def calls_step_and_workflow():
    return await charge(), await inner_workflow()


def calls(lines):
    """Gives the calls that the lines are about."""
    return [line.partition(": ")[2].partition(" in ")[0] for line in lines]


@pytest.fixture(autouse=True, params=["before", "after"])
def _watched(request):
    """It sees the same before and after `guards` has replaced things."""
    if request.param == "after":
        install()


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (uses_datetime, ["datetime.now()", "datetime.utcnow()", "date.today()", "date.today()"]),
        (uses_time, ["time.time()", "time.time()"]),
        (uses_random, ["random.random()", "random.randint()"]),
        (uses_uuid, ["uuid.uuid4()"]),
        (uses_environment, ["os.environ", "os.getenv()"]),
        (
            imports_inside,
            ["time.sleep()", "time.monotonic()", "random.choice()", "uuid.uuid4()"],
        ),
        (has_functions_inside, ["random.random()", "time.time()"]),
        (calls_a_helper, ["time.time_ns()"]),
        (decorated, ["random.shuffle()"]),
        (calls_step_and_workflow, ["uuid.uuid1()"]),
    ],
)
def test_seen(function, expected):
    found = calls(warnings_for(function))
    # Two uses in one line that are the same are one warning.
    assert sorted(set(found)) == sorted(set(expected))


def test_the_line():
    (line,) = warnings_for(uses_uuid)
    place = uses_uuid.__code__.co_firstlineno + 1
    assert line == (
        f"test_suspects.py:{place}: uuid.uuid4() in uses_uuid gives something else in a replay "
        "of the workflow: use hookd.uuid4()"
    )


async def is_fine(order: dict):
    numbers = random.Random(5)
    when = datetime.datetime(2026, 1, 1)
    later = datetime.datetime.fromisoformat("2026-01-01")
    order.time = time.strftime("%Y", time.gmtime(0))
    order.random()
    return numbers.random(), when, later, os.path.join("a", "b"), dt.timedelta(1), order["time"]


async def promises():
    with unguarded():
        return time.time()


async def promises_by_its_full_name():
    with hookd.workflows.guards.unguarded():
        return time.time()


@pytest.mark.parametrize(
    "function", [is_fine, promises, promises_by_its_full_name, charge, len, None, 5, object()]
)
def test_nothing_to_say(function):
    assert warnings_for(function) == []


def test_what_is_not_there_yet():
    def outer():
        async def code():
            return later() + undefined  # noqa: F821

        found = warnings_for(code)

        def later():
            return time.time()

        return found, later

    assert outer()[0] == []


def test_functions_that_name_each_other():
    assert calls(warnings_for(ping)) == ["time.time()", "random.random()"]
    assert calls(warnings_for(pong)) == ["random.random()", "time.time()"]


def ping():
    return time.time(), pong()


def pong():
    return random.random(), ping()
