"""A run that a block of code drives: how it ends, whoever ends it."""

import asyncio
import contextlib
import time

import grpc
import hookd
import pytest
from hookd import RunStatus
from hookd.v1 import common_pb2, hook_service_pb2, run_service_pb2

from tests.unit.client.fake import refuse, until

Code = grpc.StatusCode


class OneRun:
    """One run, as the daemon keeps it."""

    def __init__(self, daemon) -> None:
        self.run = common_pb2.Run(run_id="r", status=common_pb2.RUN_STATUS_RUNNING)
        self.ended = asyncio.Event()
        self.outcome = run_service_pb2.START_OUTCOME_STARTED
        self.kept_alive: list[float] = []
        self.deaf = False
        self.superseded = False
        daemon.on(
            StartRun=self.start,
            AwaitRun=self.await_run,
            CompleteRun=self.complete,
            FailRun=self.fail,
            CancelRun=self.cancel,
            KeepAlive=self.keep_alive,
        )

    @property
    def status(self) -> str:
        return common_pb2.RunStatus.Name(self.run.status).removeprefix("RUN_STATUS_").lower()

    def end(self, status: int, **facts) -> None:
        self.run.MergeFrom(common_pb2.Run(status=status, **facts))  # type: ignore[arg-type]
        self.ended.set()

    async def require_active(self, context) -> None:
        if self.ended.is_set():
            await refuse(
                context,
                Code.FAILED_PRECONDITION,
                "RUN_NOT_ACTIVE",
                {"run_id": "r", "status": self.status},
            )

    async def start(self, request, context):
        if request.HasField("lease_ttl"):
            self.run.lease_ttl.CopyFrom(request.lease_ttl)
        return run_service_pb2.StartRunResponse(outcome=self.outcome, run=self.run)

    async def await_run(self, request, context):
        if self.superseded:
            self.end(common_pb2.RUN_STATUS_CANCELLED, cancel_reason="superseded")
        try:
            async with asyncio.timeout(request.wait.ToTimedelta().total_seconds()):
                await self.ended.wait()
        except TimeoutError:
            pass
        return run_service_pb2.AwaitRunResponse(run=self.run)

    async def complete(self, request, context):
        await self.require_active(context)
        self.end(common_pb2.RUN_STATUS_COMPLETED, output=request.output)
        return run_service_pb2.CompleteRunResponse(run=self.run)

    async def fail(self, request, context):
        await self.require_active(context)
        self.end(common_pb2.RUN_STATUS_FAILED, failure=request.failure)
        return run_service_pb2.FailRunResponse(run=self.run)

    async def cancel(self, request, context):
        await self.require_active(context)
        self.end(common_pb2.RUN_STATUS_CANCELLED, cancel_reason=request.reason)
        return run_service_pb2.CancelRunResponse(run=self.run)

    async def keep_alive(self, request, context):
        if self.deaf:
            await refuse(context, Code.UNAVAILABLE)
        await self.require_active(context)
        self.kept_alive.append(time.monotonic())
        return run_service_pb2.KeepAliveResponse()

    def cancel_soon(self) -> None:
        """Somebody cancels it as soon as the block is at work, and watches."""
        self.superseded = True


@pytest.fixture
def one(daemon):
    return OneRun(daemon)


async def test_it_completes_on_the_way_out(client, one, daemon):
    async with client.open_run("w", 1, run_id="r", attributes={"a": "b"}) as run:
        assert run.run_id == "r"
        assert run.started.run.status is RunStatus.RUNNING
    assert (one.status, one.run.output.data) == ("completed", b"null")
    (request,) = daemon.requests("StartRun")
    assert request.external
    assert request.lease_ttl.seconds == 30
    assert request.input.data == b"[1]"


async def test_it_completes_with_a_result(client, one, daemon):
    async with client.open_run("w") as run:
        await run.complete({"ok": True})
        await asyncio.sleep(0.05)  # The block may go on.
    assert (one.status, one.run.output.data) == ("completed", b'{"ok":true}')
    assert len(daemon.requests("CompleteRun")) == 1
    assert await run.return_value() == {"ok": True}


@pytest.mark.parametrize("end", ["fail", "cancel"])
async def test_a_block_may_end_its_run_otherwise(client, one, end):
    async with client.open_run("w") as run:
        await (run.fail("no", type="Refused") if end == "fail" else run.cancel("no"))
        await asyncio.sleep(0.05)
    assert one.status == ("failed" if end == "fail" else "cancelled")


async def test_an_exception_fails_it_and_goes_on(client, one):
    with pytest.raises(LookupError, match="lost \ud800 it"):
        async with client.open_run("w"):
            raise LookupError("lost \ud800 it")
    assert (one.run.failure.type, one.run.failure.message) == ("LookupError", "lost ? it")


async def test_cancelling_the_task_cancels_the_run(client, one):
    async def drive():
        async with client.open_run("w"):
            await asyncio.sleep(60)

    task = asyncio.create_task(drive())
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert one.status == "cancelled"
    assert one.run.cancel_reason == "the task that drove the run was cancelled"


async def test_a_timeout_of_the_block_stays_a_timeout(client, one):
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.1), client.open_run("w"):
            await asyncio.sleep(60)
    assert not isinstance(caught.value, hookd.HookdError)
    assert one.status == "cancelled"


async def test_somebody_cancels_the_run(client, one):
    one.cancel_soon()
    began = time.monotonic()
    with pytest.raises(hookd.RunCancelledError) as caught:
        async with client.open_run("w"):
            await asyncio.sleep(60)
    assert time.monotonic() - began < 5
    assert (caught.value.run_id, caught.value.cancel_reason) == ("r", "superseded")
    # The task itself is not cancelled any more.
    await asyncio.sleep(0)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_the_lease_lapsed(client, one):
    failure = common_pb2.Failure(type="LEASE_EXPIRED", message="gone")
    asyncio.get_running_loop().call_later(
        0.1, lambda: one.end(common_pb2.RUN_STATUS_FAILED, failure=failure)
    )
    with pytest.raises(hookd.RunFailedError) as caught:
        async with client.open_run("w"):
            await asyncio.sleep(60)
    assert caught.value.type == "LEASE_EXPIRED"


async def test_somebody_completes_the_run(client, one):
    asyncio.get_running_loop().call_later(0.1, lambda: one.end(common_pb2.RUN_STATUS_COMPLETED))
    with pytest.raises(hookd.RunNotActiveError) as caught:
        async with client.open_run("w"):
            await asyncio.sleep(60)
    assert caught.value.status is RunStatus.COMPLETED


async def test_a_block_that_cleans_up_when_it_is_told(client, one):
    one.cancel_soon()
    cleaned = []

    async def drive():
        async with client.open_run("w"):
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0.01)
                cleaned.append(True)

    with pytest.raises(hookd.RunCancelledError):
        await drive()
    assert cleaned == [True]


async def test_a_block_that_does_not_listen(client, one):
    one.cancel_soon()

    async def drive():
        async with client.open_run("w"):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)

    with pytest.raises(hookd.RunCancelledError):
        await drive()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_it_was_cancelled_when_the_block_was_done(client, one):
    with pytest.raises(hookd.RunCancelledError) as caught:
        async with client.open_run("w"):
            one.end(common_pb2.RUN_STATUS_CANCELLED, cancel_reason="just now")
    assert caught.value.cancel_reason == "just now"


async def test_what_the_block_met_because_the_run_has_ended(client, one, daemon):
    closed = hook_service_pb2.ReceivePayloadsResponse(
        closed=hook_service_pb2.HookClosed(
            status=common_pb2.HOOK_STATUS_CLOSED, run_status=common_pb2.RUN_STATUS_CANCELLED
        )
    )

    async def payloads(request, context):
        yield closed

    daemon.on(ReceivePayloads=payloads)

    async def drive():
        async with client.open_run("w") as run:
            hook = hookd.Hook(client._transport, run, hook_id="h", token="t")
            one.end(common_pb2.RUN_STATUS_CANCELLED, cancel_reason="x")
            await hook

    with pytest.raises(hookd.RunCancelledError) as caught:
        await drive()
    assert caught.value.cancel_reason == "x"


async def test_an_error_of_the_block_beats_the_end_by_somebody_else(client, one):
    async def drive():
        async with client.open_run("w"):
            one.end(common_pb2.RUN_STATUS_CANCELLED)
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await drive()
    assert one.status == "cancelled"


async def test_an_error_of_the_block_is_not_hidden_by_an_outage(daemon, one):
    async def drive(client):
        async with client.open_run("w"):
            await daemon.stop()
            raise ValueError("mine")

    async with hookd.connect(daemon.address, timeout=0.3) as client:
        with pytest.raises(ValueError, match="mine") as caught:
            await drive(client)
    assert "could not be failed" in caught.value.__notes__[0]


async def test_run_lease_is_kept_alive(client, one):
    async with client.open_run("w", lease_ttl=0.3):
        await asyncio.sleep(1)
    assert 7 <= len(one.kept_alive) <= 10
    assert one.status == "completed"


async def test_run_without_a_lease(client, one, daemon):
    async with client.open_run("w", lease_ttl=None):
        pass
    assert not daemon.requests("StartRun")[0].HasField("lease_ttl")


async def test_run_lease_survives_a_short_outage(client, one):
    async with client.open_run("w", lease_ttl=1):
        one.deaf = True
        await asyncio.sleep(0.6)
        one.deaf = False
        await until(lambda: one.kept_alive)
    assert one.status == "completed"


async def test_run_lease_that_could_not_be_renewed(client, one):
    one.deaf = True
    began = time.monotonic()
    with pytest.raises(hookd.UnavailableError, match="lease of run r could not be renewed"):
        async with client.open_run("w", lease_ttl=0.5):
            await asyncio.sleep(60)
    assert 0.4 < time.monotonic() - began < 3


async def test_a_run_id_whose_work_is_done(client, one):
    one.outcome = run_service_pb2.START_OUTCOME_ALREADY_STARTED
    one.end(common_pb2.RUN_STATUS_COMPLETED)
    entered = []
    with pytest.raises(hookd.RunNotActiveError):
        async with client.open_run("w", run_id="r"):
            entered.append(True)
    assert entered == []


async def test_nothing_is_left_behind(client, one):
    before = asyncio.all_tasks()
    for _ in range(3):
        async with client.open_run("w", lease_ttl=1):
            pass
        one.ended.clear()
        one.run.status = common_pb2.RUN_STATUS_RUNNING
    left = {task for task in asyncio.all_tasks() - before if "hookd" in repr(task.get_coro())}
    assert left == set()


async def test_run_result(client, one):
    run = client.get_run("r")
    with pytest.raises(hookd.DeadlineExceededError, match=r"has not ended within 0\.1 s"):
        await run.return_value(timeout=0.1)
    waits = [asyncio.ensure_future(run.return_value()) for _ in range(5)]
    await asyncio.sleep(0.05)
    one.end(
        common_pb2.RUN_STATUS_FAILED,
        failure=common_pb2.Failure(
            type="E",
            message="m",
            details=common_pb2.Payload(content_type="application/json", data=b"[1]"),
        ),
    )
    for wait in waits:
        with pytest.raises(hookd.RunFailedError) as caught:
            await wait
        error = caught.value
        assert (error.type, error.message, error.details, error.run_id) == ("E", "m", [1], "r")


async def test_run_result_survives_a_restart(daemon, client, one):
    wait = asyncio.ensure_future(client.get_run("r").return_value())
    await until(lambda: daemon.requests("AwaitRun"))
    await daemon.stop()
    await asyncio.sleep(0.2)
    one.end(common_pb2.RUN_STATUS_COMPLETED)
    await daemon.start()
    assert await wait is None
