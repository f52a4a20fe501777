"""What workflow code must not do is caught while it runs, and nothing else is."""

# Functions are looked up when they are called: here they are replaced after the import.
# ruff: noqa: PLW0108

import asyncio
import contextvars
import logging
import os
import pathlib
import pickle
import random
import secrets
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import types
import urllib.request
import uuid
import warnings

import hookd
import pydantic
import pytest
from hookd.workflows import guards
from hookd.workflows.errors import WorkflowRuleError
from hookd.workflows.guards import unguarded, workflow_code


@pytest.fixture(autouse=True, scope="module")
def _watched():
    guards.install()


def inside(function, *args, **kwargs):
    """Calls something as workflow code, through a coroutine as the runtime does."""

    async def code():
        return function(*args, **kwargs)

    with workflow_code():
        try:
            code().send(None)
        except StopIteration as stop:
            return stop.value
    raise AssertionError("it waits")


def refused(call, function, *args):
    """Makes sure that it is refused in workflow code, for this reason."""
    with pytest.raises(WorkflowRuleError) as caught:
        inside(function, *args)
    assert caught.value.call == call
    assert caught.value.hint
    assert str(caught.value).startswith(f"{call} in the code of a workflow ")
    assert str(caught.value).endswith(f": {caught.value.hint}")


@pytest.mark.parametrize(
    ("call", "function", "args"),
    [
        ("time.time()", lambda: time.time(), ()),
        ("time.time_ns()", lambda: time.time_ns(), ()),
        ("time.monotonic()", lambda: time.monotonic(), ()),
        ("time.perf_counter()", lambda: time.perf_counter(), ()),
        ("time.sleep()", lambda: time.sleep(100), ()),
        ("random.random()", lambda: random.random(), ()),
        ("random.choice()", lambda: random.choice([1]), ()),
        ("random.seed()", lambda: random.seed(1), ()),
        ("random.Random() without a seed", lambda: random.Random(), ()),
        ("os.urandom()", lambda: random.SystemRandom().random(), ()),
        ("uuid.uuid4()", lambda: uuid.uuid4(), ()),
        ("uuid.uuid1()", lambda: uuid.uuid1(), ()),
        ("secrets.token_hex()", lambda: secrets.token_hex(), ()),
        ("secrets.choice()", lambda: secrets.choice([1]), ()),
        ("os.urandom()", lambda: os.urandom(3), ()),
        ("open()", lambda: open("/no/such/file"), ()),  # noqa: SIM115
        ("open()", lambda: pathlib.Path("/no/such/file").read_text(), ()),
        ("open()", lambda: pathlib.Path("/no/such/file").write_text(""), ()),
        ("os.listdir()", lambda: os.listdir("/no/such"), ()),
        ("os.remove()", lambda: pathlib.Path("/no/such/file").unlink(), ()),
        ("os.system()", lambda: os.system("exit 1"), ()),
        ("os.putenv()", lambda: os.environ.update({"HOOKD_X": "1"}), ()),
        ("subprocess.Popen()", lambda: subprocess.run(["false"], check=True), ()),
        ("socket.getaddrinfo()", lambda: socket.getaddrinfo("localhost", 1), ()),
        ("socket.connect()", lambda s: s.connect(("127.0.0.1", 1)), (socket.socket,)),
        ("socket.getaddrinfo()", lambda: urllib.request.urlopen("http://localhost:1"), ()),
        ("sqlite3.connect()", lambda: sqlite3.connect(":memory:"), ()),
        ("Thread.start()", lambda: threading.Thread(target=int).start(), ()),
        ("input()", lambda: input(), ()),
    ],
)  # fmt: skip
def test_caught(call, function, args):
    made = [make() for make in args]
    try:
        refused(call, function, *made)
    finally:
        for each in made:
            each.close()


def test_what_was_taken_by_name_before_is_caught_further_down():
    # `uuid4` itself was not replaced for whoever has it already: what it calls was.
    refused("os.urandom()", lambda: uuid.uuid4.__wrapped__())


def test_nothing_is_caught_outside():
    assert time.time() > 0
    assert random.random() < 1
    assert uuid.uuid4().version == 4
    assert random.Random().random() < 1
    with workflow_code():
        pass
    assert time.time() > 0


def test_other_threads_are_left_alone():
    results = []

    def other():
        results.append(time.time())

    thread = threading.Thread(target=other)
    ready, go = threading.Event(), threading.Event()

    def waits():
        ready.set()
        go.wait()
        other()

    thread = threading.Thread(target=waits)
    thread.start()
    ready.wait()
    with workflow_code():
        go.set()
        thread.join()
    assert len(results) == 1


def test_what_is_deterministic_is_allowed():
    def code():
        generator = random.Random(5)
        first = generator.random()
        return first, generator.choice([1, 2, 3]), uuid.uuid5(uuid.NAMESPACE_DNS, "x")

    assert inside(code) == inside(code)
    assert inside(lambda: time.strftime("%Y", time.gmtime(0))) == "1970"


def test_imports_are_allowed(tmp_path, monkeypatch):
    (tmp_path / "hookd_test_imported.py").write_text(
        "import time, random, os\nNOW = time.time()\nDICE = random.random()\n"
        "with open(__file__) as file:\n    HERE = file.read()\n"
        "LISTED = os.listdir(os.path.dirname(__file__))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def code():
        import hookd_test_imported

        return hookd_test_imported.NOW

    assert inside(code) > 0
    del sys.modules["hookd_test_imported"]


def test_logging_is_allowed(tmp_path):
    class Sending(logging.Handler):
        def emit(self, record):
            with (tmp_path / "more.log").open("a") as file:
                file.write(f"{time.time()} {record.getMessage()}")

    logger = logging.Logger("hookd.test.guards")
    handlers = [logging.FileHandler(tmp_path / "log", delay=True), Sending()]
    for handler in handlers:
        logger.addHandler(handler)

    def code():
        try:
            {}["x"]
        except LookupError:
            logger.exception("failed")

    inside(code)
    for handler in handlers:
        handler.close()
    assert "KeyError: 'x'" in (tmp_path / "log").read_text()
    assert "failed" in (tmp_path / "more.log").read_text()


def test_warnings_and_tracebacks_are_allowed(tmp_path):
    import linecache
    import traceback

    source = tmp_path / "hookd_test_source.py"
    source.write_text("def fail():\n    raise LookupError('here')\n")
    scope: dict[str, types.FunctionType] = {}
    exec(compile(source.read_text(), source, "exec"), scope)

    def code():
        linecache.clearcache()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.warn("mind", stacklevel=1)
        try:
            scope["fail"]()
        except LookupError:
            return caught, traceback.format_exc()

    caught, text = inside(code)
    assert len(caught) == 1
    assert "raise LookupError('here')" in text


def test_pydantic_is_allowed():
    class Model(pydantic.BaseModel):
        at: float = pydantic.Field(default_factory=lambda: time.time())

    assert inside(Model).at > 0


def test_finalizers_are_allowed():
    closed = []

    class Resource:
        def __del__(self):
            closed.append(time.time())

    def code():
        Resource()

    inside(code)
    assert len(closed) == 1


def test_the_runtime_is_allowed():
    # Makes ids from the clock and from random bytes.
    from hookd.ids import new_id

    assert inside(new_id, "run").startswith("run_")


def test_user_code_below_a_coroutine_of_the_runtime_is_caught():
    async def of_the_runtime(function):
        return function()

    of_the_runtime = types.FunctionType(
        of_the_runtime.__code__, {"__name__": "hookd.workflows.anything"}
    )

    with workflow_code(), pytest.raises(WorkflowRuleError):
        of_the_runtime(lambda: time.time()).send(None)


def test_unguarded():
    def code():
        with unguarded():
            with unguarded():
                first = time.time()
            second = time.time()
        return first, second

    first, second = inside(code)
    assert 0 < first <= second

    def leaves():
        with unguarded():
            pass
        time.time()

    refused("time.time()", leaves)


def test_unguarded_holds_for_its_own_task():
    @types.coroutine
    def pause():
        yield

    async def promises():
        with unguarded():
            await pause()
            return time.time()

    async def does_not():
        time.time()

    first, second = promises(), does_not()
    own, other = contextvars.copy_context(), contextvars.copy_context()
    with workflow_code():
        own.run(first.send, None)
        with pytest.raises(WorkflowRuleError):
            other.run(second.send, None)
        with pytest.raises(StopIteration) as stop:
            own.run(first.send, None)
    assert stop.value.value > 0


def test_it_ends_with_the_code():
    with pytest.raises(LookupError), workflow_code():
        raise LookupError
    assert time.time() > 0
    with workflow_code():
        with workflow_code():
            pass
        with pytest.raises(WorkflowRuleError):
            time.time()


async def test_asyncio_goes_on_as_before():
    started = asyncio.get_running_loop().time()
    await asyncio.sleep(0.001)
    assert asyncio.get_running_loop().time() > started
    assert await asyncio.to_thread(lambda: 5) == 5


def test_installed_once():
    before = time.time
    guards.install()
    assert time.time is before


def test_functions_look_as_before():
    assert time.time.__name__ == "time"
    assert pickle.loads(pickle.dumps(time.time)) is time.time
    assert pickle.loads(pickle.dumps(random.random)) is random.random


def test_the_error():
    with pytest.raises(WorkflowRuleError) as caught:
        inside(lambda: time.time())
    assert isinstance(caught.value, hookd.HookdError)
    assert str(caught.value) == (
        "time.time() in the code of a workflow gives something else in a replay of the "
        "workflow: use hookd.now()"
    )
