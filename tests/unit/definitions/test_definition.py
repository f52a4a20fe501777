"""Workflows and steps, as the decorators make them."""

import asyncio
import functools
import inspect
from datetime import timedelta
from pathlib import Path

import pytest
from hookd import InvalidArgumentError
from hookd.v1 import events_pb2
from hookd.workflows import context
from hookd.workflows.definition import RetryPolicy, Step, Workflow, step, workflow
from hookd.workflows.errors import OutsideWorkflowError
from mypy import api


@workflow
async def pay(order: str, amount: int = 1) -> dict[str, int]:
    """Pays an order."""
    return {order: amount}


@step
async def charge(order: str, *, amount: int = 1) -> str:
    """Charges a card."""
    return f"{order}:{amount}"


@step
def compute(number: int) -> int:
    return number + 1


def test_a_workflow():
    assert isinstance(pay, Workflow)
    assert pay.workflow_name == "pay"
    assert (pay.__name__, pay.__doc__) == ("pay", "Pays an order.")
    assert (pay.__module__, pay.__qualname__) == (__name__, "pay")
    assert pay.__wrapped__ is pay.function
    assert str(inspect.signature(pay)) == "(order: str, amount: int = 1) -> dict[str, int]"
    assert repr(pay) == f"<Workflow 'pay' version={pay.version!r}>"


def test_a_step():
    assert isinstance(charge, Step)
    assert (charge.step_name, charge.is_async) == ("charge", True)
    assert (compute.step_name, compute.is_async) == ("compute", False)
    assert (charge.__name__, charge.__doc__) == ("charge", "Charges a card.")
    assert str(inspect.signature(charge)) == "(order: str, *, amount: int = 1) -> str"
    assert charge.retry == RetryPolicy()
    assert repr(charge) == "<Step 'charge'>"


async def test_a_step_outside_of_a_workflow_is_its_function():
    assert await charge("a", amount=2) == "a:2"
    assert compute(1) == 2
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        compute()


def test_a_workflow_outside_of_a_workflow():
    with pytest.raises(OutsideWorkflowError, match=r"await hookd\.start\(pay, …\)"):
        pay("a")


async def test_calls_inside_of_a_workflow(monkeypatch):
    class Running:
        def call_step(self, called, args, kwargs):
            async def result():
                return called, args, kwargs

            return result()

    monkeypatch.setattr(context, "current_or_none", Running)
    assert await charge("a", amount=2) == (charge, ("a",), {"amount": 2})
    assert await compute(1) == (compute, (1,), {})
    assert await pay("a") == {"a": 1}


def test_names_and_versions():
    @workflow(name="billing/pay", version="2026-01")
    async def one(): ...

    @step(name="Ladevorgang ⚡")
    async def two(): ...

    assert (one.workflow_name, one.version) == ("billing/pay", "2026-01")
    assert two.step_name == "Ladevorgang ⚡"
    assert one.__name__ == "one"


@pytest.mark.parametrize("name", ["", "x" * 257, "é" * 129, 5, "\ud800"])
def test_bad_names(name):
    async def function(): ...

    for decorator in (workflow, step):
        with pytest.raises(InvalidArgumentError, match="name: must"):
            decorator(name=name)(function)


@pytest.mark.parametrize("version", ["", "x" * 129, "a b", "é", "a\n", 5])
def test_bad_versions(version):
    async def function(): ...

    with pytest.raises(InvalidArgumentError, match="version: must"):
        workflow(version=version)(function)


# Versions


def compiled(source, filename="<no file>"):
    scope = {"workflow": workflow}
    exec(compile(source, filename, "exec"), scope)
    return scope["code"].version


SOURCE = "@workflow\nasync def code(a):\n    return a in {1, 2, 'x', 'y'}, (lambda: a)()\n"


def test_a_version_tells_one_code_from_another():
    version = compiled(SOURCE)
    assert version.isalnum()
    assert len(version) <= 16
    assert compiled(SOURCE) == version
    # Where it stands is not a part of it.
    assert compiled("\n\nfirst = 1\n" + SOURCE, "<elsewhere>") == version
    assert compiled(SOURCE.replace("1", "3")) != version
    assert compiled(SOURCE.replace("lambda: a", "lambda: 1")) != version
    assert compiled(SOURCE.replace("return a in", "return a not in")) != version


def test_a_version_is_made_of_the_source(tmp_path):
    def from_file(name, source):
        (tmp_path / name).write_text(source)
        return compiled(source, str(tmp_path / name))

    version = from_file("one.py", SOURCE)
    assert version != compiled(SOURCE)
    assert from_file("two.py", "import os\n" + SOURCE) == version
    assert from_file("three.py", SOURCE.replace("return", "return  ")) != version

    indented = "if True:\n" + "".join(f"    {line}\n" for line in SOURCE.splitlines())
    assert from_file("four.py", indented) == version


def test_a_version_is_the_same_in_each_process():
    """The order of a set is not."""
    import os
    import subprocess
    import sys

    program = (
        "from tests.unit.definitions.test_definition import SOURCE, compiled\n"
        "print(compiled(SOURCE))"
    )
    versions = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[3],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert versions == {compiled(SOURCE) + "\n"}


# What cannot be decorated


class Shop:
    async def method(self): ...

    @classmethod
    async def of_class(cls): ...

    @staticmethod
    async def static(a: int): ...


async def asynchronous_generator():
    yield 1


def generator():
    yield 1


class Callable:
    async def __call__(self): ...


@pytest.mark.parametrize(
    ("thing", "says"),
    [
        (Shop, "Shop is a class; only a function can be used"),
        (generator, "generator is a generator; only a function can be used"),
        (asynchronous_generator, "asynchronous_generator is a generator; only a function can"),
        (Shop.method, "Shop.method is a method; only a function can be used, because an object"),
        (vars(Shop)["of_class"], "put @staticmethod above it; methods of objects and classes"),
        (vars(Shop)["static"], "put @staticmethod above it"),
        (Shop().method, "only a function can be used, not method"),
        (Callable(), "only a function can be used, not Callable"),
        (functools.partial(compute.function, 1), "only a function can be used, not partial"),
        (len, "only a function can be used, not builtin_function_or_method"),
        (charge, "<Step 'charge'> is decorated already"),
        (pay, "<Workflow 'pay' version="),
        (5, "only a function can be used, not int"),
    ],
)
def test_what_cannot_be_decorated(thing, says):
    for decorator, word in ((workflow, "workflow"), (step, "step")):
        with pytest.raises(TypeError) as caught:
            decorator(thing)
        assert str(caught.value).startswith(f"@{word}: {says}")


def test_a_workflow_must_be_async():
    with pytest.raises(TypeError, match=r"@workflow: .*\.function must be an `async def` function"):

        @workflow
        def function(): ...


async def test_static_methods_and_functions_in_functions():
    class Tools:
        @staticmethod
        @step
        async def double(number: int) -> int:
            return 2 * number

    @workflow
    async def inner(self: int):
        return self

    assert await Tools.double(2) == await Tools().double(2) == 4
    assert inner.workflow_name == "inner"


def test_a_decorated_function():
    def traced(function):
        @functools.wraps(function)
        async def wrapper(*args, **kwargs):
            return await function(*args, **kwargs)

        return wrapper

    @workflow
    @traced
    async def outer(order: int) -> int:
        return order

    assert outer.workflow_name == "outer"
    with pytest.raises(TypeError, match="missing a required argument: 'order'"):
        outer.signature.encode_call((), {})
    with pytest.raises(InvalidArgumentError, match='argument "order" of type str does not fit int'):
        outer.signature.encode_call(("x",), {})


# Retries


def test_retry_policies():
    assert RetryPolicy().to_wire() == policy(3, 1, 2.0, 3600)
    chosen = RetryPolicy(
        max_retries=0, initial_interval="500ms", backoff=1, max_interval=timedelta(days=1)
    )
    wire = policy(0, 0, 1.0, 86_400)
    wire.initial_interval.nanos = 500_000_000
    assert chosen.to_wire() == wire


def policy(retries, first, backoff, longest):
    wire = events_pb2.RetryPolicy(max_retries=retries, backoff=backoff)
    wire.initial_interval.FromSeconds(first)
    wire.max_interval.FromSeconds(longest)
    return wire


def test_retries_of_a_step():
    @step(max_retries=7)
    async def one(): ...

    @step(retry=RetryPolicy(backoff=3))
    def two(): ...

    @step()
    def three(): ...

    assert one.retry == RetryPolicy(max_retries=7)
    assert two.retry == RetryPolicy(backoff=3)
    assert three.retry == RetryPolicy()


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"max_retries": -1}, "max_retries"),
        ({"max_retries": 1.5}, "max_retries"),
        ({"max_retries": True}, "max_retries"),
        ({"max_retries": 2**32}, "max_retries"),
        ({"initial_interval": "soon"}, "initial_interval"),
        ({"initial_interval": -1}, "initial_interval"),
        ({"max_interval": float("inf")}, "max_interval"),
        ({"backoff": 0.5}, "backoff"),
        ({"backoff": float("inf")}, "backoff"),
        ({"backoff": float("nan")}, "backoff"),
        ({"backoff": "2"}, "backoff"),
    ],
)
def test_bad_retry_policies(options, field):
    with pytest.raises(InvalidArgumentError, match=f"{field}: must"):
        RetryPolicy(**options)


def test_bad_retries_of_a_step():
    with pytest.raises(InvalidArgumentError, match="max_retries: cannot be given beside retry"):
        step(max_retries=1, retry=RetryPolicy())
    with pytest.raises(InvalidArgumentError, match="retry: must be a RetryPolicy, not int"):
        step(retry=5)
    with pytest.raises(InvalidArgumentError, match="max_retries: must be 0 to"):
        step(max_retries=-1)


async def test_types():
    """What the type checker sees: the types of the functions, awaited."""
    checked = Path(__file__).with_name("checked_types.py")
    config = checked.parents[3] / "pyproject.toml"
    out, err, status = await asyncio.to_thread(
        api.run, ["--config-file", str(config), str(checked)]
    )
    assert (status, err) == (0, ""), out
