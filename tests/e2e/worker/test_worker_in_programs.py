"""Workers inside of a user's program, beside other code and other workers."""

from __future__ import annotations

import asyncio
import logging

import grpc
import hookd
import pytest
from hookd import Worker, step, workflow
from hookd.workflows.execution import Execution

from tests.e2e.worker import app
from tests.e2e.worker.conftest import go


@step
async def add(left: int, right: int) -> int:
    return left + right


@workflow
async def total(numbers: list[int]) -> int:
    found = 0
    for number in numbers:
        found = await add(found, number)
    return found


async def test_a_worker_in_the_background(client):
    async with Worker([total, add], client=client):
        run = await client.start(total, [1, 2, 3])
        assert await run.return_value(timeout=30) == 6
    assert not client.closed


async def test_several_workers_in_one_process(client):
    async with (
        Worker(total, client=client),
        Worker([add], client=client),
        Worker(app, client=client),
    ):
        runs = [await client.start(total, [number] * 3) for number in range(10)]
        others = [await client.start(app.compute, number) for number in range(10)]
        for number, run in enumerate(runs):
            assert await run.return_value(timeout=30) == 3 * number
        for number, run in enumerate(others):
            assert await run.return_value(timeout=30) == (number + 1) * 2 + 1


async def test_a_worker_makes_and_closes_its_own_client(
    shared_daemon, project, monkeypatch, client
):
    monkeypatch.setenv("HOOKD_ADDRESS", shared_daemon.address)
    monkeypatch.setenv("HOOKD_PROJECT", project)
    worker = Worker([total, add])
    working = asyncio.create_task(worker.run())
    assert await (await client.start(total, [5])).return_value(timeout=30) == 5
    worker.stop()
    await asyncio.wait_for(working, 30)
    # It can begin another life.
    async with worker:
        assert await (await client.start(total, [6])).return_value(timeout=30) == 6


async def test_a_worker_runs_once_at_a_time(client):
    worker = Worker([total, add], client=client)
    async with worker:
        with pytest.raises(RuntimeError, match="runs already"):
            await worker.run()


async def test_a_mistake_of_the_runtime_fails_no_run(
    impatient_daemon, project, monkeypatch, caplog
):
    """The turn is given up, and offered again when its lease has lapsed."""
    feed, given_up = Execution.feed, asyncio.Event()
    loop = asyncio.get_running_loop()

    def broken(self, events) -> None:
        if not given_up.is_set():
            loop.call_soon_threadsafe(given_up.set)
            raise LookupError("a mistake")
        feed(self, events)

    monkeypatch.setattr(Execution, "feed", broken)
    async with (
        hookd.connect(impatient_daemon.address, project=project) as client,
        Worker([total, add], client=client),
    ):
        run = await client.start(total, [1])
        await asyncio.wait_for(given_up.wait(), 30)
        assert await run.return_value(timeout=30) == 1
    errors = [each for each in caplog.records if each.levelno >= logging.ERROR]
    (record,) = [each for each in errors if each.name == "hookd.worker"]
    assert run.run_id in record.getMessage()
    assert record.exc_info is not None


async def test_a_cancelled_worker_hands_its_steps_back(client, folder):
    begun = asyncio.Event()

    @step(name="wait_for_go")
    async def waits(folder: str) -> int:
        begun.set()
        await asyncio.sleep(3600)
        return 0

    working = asyncio.create_task(Worker([app.wait, waits], client=client).run())
    run = await client.start(app.wait, folder)
    await asyncio.wait_for(begun.wait(), 30)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    go(folder)
    async with Worker(app, client=client):
        assert await run.return_value(timeout=30) == 2


async def test_what_is_wrong_with_a_worker_shows_at_once(client):
    @step
    async def broken(value: Nowhere) -> None:  # noqa: F821
        ...

    with pytest.raises(hookd.InvalidArgumentError, match="Nowhere"):
        async with Worker(broken, client=client):
            raise AssertionError("it cannot begin")


async def test_a_worker_that_is_not_wanted_says_so():
    """What no waiting helps against ends the worker."""

    async def refuse(request, context):
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")
        yield

    server = grpc.aio.server()
    handler = grpc.unary_stream_rpc_method_handler(refuse)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("hookd.v1.WorkerService", {"Poll": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with hookd.connect(f"127.0.0.1:{port}") as client:
            with pytest.raises(hookd.HookdError, match="who are you"):
                await asyncio.wait_for(Worker([add], client=client).run(), 30)
    finally:
        await server.stop(None)


async def test_other_code_goes_on_while_turns_are_taken(client, caplog):
    """A workflow that computes does not hold up the program's own event loop."""
    caplog.set_level(logging.WARNING, "hookd.worker")
    ticks = 0

    @workflow
    async def busy() -> int:
        count = 0
        while count < 3_000_000:
            count += 1
        return count

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.001)

    ticking = asyncio.create_task(tick())
    async with Worker([busy], client=client):
        run = await client.start(busy)
        assert await run.return_value(timeout=60) == 3_000_000
    ticking.cancel()
    assert ticks > 5
    assert caplog.records == []
