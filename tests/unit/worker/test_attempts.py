"""Executing a step once."""

import asyncio
import contextvars
import threading
from datetime import UTC, datetime, timedelta

import pytest
from hookd.errors import InvalidArgumentError
from hookd.payload import decode
from hookd.v1 import common_pb2
from hookd.worker.attempts import Failed, execute
from hookd.worker.threads import Threads
from hookd.workflows.definition import step
from hookd.workflows.errors import FatalError, RetryableError

where: contextvars.ContextVar[str] = contextvars.ContextVar("where", default="nowhere")


@pytest.fixture
async def pool():
    made = Threads(1, "test-step")
    yield made
    made.close()


def payload(text: str) -> common_pb2.Payload:
    return common_pb2.Payload(content_type="application/json", data=text.encode())


@step
async def later(number: int) -> str:
    await asyncio.sleep(0)
    return f"{number} {where.get()} {threading.current_thread().name}"


@step
def at_once(number: int) -> str:
    return f"{number} {where.get()} {threading.current_thread().name}"


async def test_functions_of_both_kinds_see_the_context_of_the_caller(pool):
    where.set("here")
    found = decode(await execute(later, payload("[1]"), pool))
    assert found == f"1 here {threading.current_thread().name}"
    assert decode(await execute(at_once, payload("[1]"), pool)) == "1 here test-step"


class Odd(BaseException):
    pass


@pytest.mark.parametrize(
    "error",
    [ValueError("no"), SystemExit(3), Odd("odd"), StopIteration(4), asyncio.CancelledError("own")],
)
async def test_whatever_is_raised_fails_the_attempt(pool, error):
    def fail() -> None:
        raise error

    async def fail_later() -> None:
        raise error

    for function in (fail, fail_later):
        found = await execute(step(name="s")(function), payload("[]"), pool)
        assert isinstance(found, Failed)
        assert not found.final
        assert found.retry_after is None
        if not (isinstance(error, StopIteration) and function is fail_later):
            assert found.error is error
            assert found.to_wire().failure.type == type(error).__name__


async def test_fatal_and_retryable(pool):
    @step
    async def fatal() -> None:
        raise FatalError("never")

    @step
    def soon() -> None:
        raise RetryableError("later", retry_after=timedelta(minutes=2))

    @step
    def at() -> None:
        raise RetryableError(retry_after=datetime.now(UTC) + timedelta(hours=1))

    @step
    def whenever() -> None:
        raise RetryableError("later")

    found = await execute(fatal, payload("[]"), pool)
    assert found.to_wire().final
    found = await execute(soon, payload("[]"), pool)
    assert not found.final
    assert found.to_wire().retry_after.seconds == 120
    found = await execute(at, payload("[]"), pool)
    assert 3500 < found.retry_after <= 3600
    found = await execute(whenever, payload("[]"), pool)
    assert not found.to_wire().HasField("retry_after")


async def test_what_does_not_fit_fails_for_good(pool):
    for given in ('["x"]', "[1, 2]", "[]"):
        found = await execute(later, payload(given), pool)
        assert isinstance(found, Failed)
        assert found.final
        assert isinstance(found.error, InvalidArgumentError)
        assert "later" in str(found.error)

    @step
    def gives_a_lock():
        return threading.Lock()

    found = await execute(gives_a_lock, payload("[]"), pool)
    assert found.final
    assert "gives_a_lock" in str(found.error)


async def test_a_cancelled_step_is_no_failure(pool):
    begun, gate = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    @step
    async def waits() -> None:
        begun.set()
        await asyncio.sleep(3600)

    @step
    def hangs() -> None:
        loop.call_soon_threadsafe(begun.set)
        gate.wait(60)

    for each in (waits, hangs):
        begun.clear()
        work = asyncio.ensure_future(execute(each, payload("[]"), pool))
        await begun.wait()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
    # The thread that hangs has been replaced.
    assert decode(await execute(at_once, payload("[7]"), pool)).startswith("7 ")
    gate.set()
