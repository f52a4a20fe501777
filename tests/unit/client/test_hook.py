"""Waiting for payloads: none is lost and none comes twice."""

import asyncio
import gc

import grpc
import hookd
import pytest
from hookd import HookStatus, RunStatus
from hookd.v1 import common_pb2, hook_service_pb2

from tests.unit.client.fake import FakeDaemon, refuse, until


class Payloads:
    """The payloads of one hook; cuts the stream after each, if told to."""

    def __init__(self, daemon) -> None:
        self.values: list[int] = []
        self.closed = False
        self.cut = False
        self.open = 0
        self.changed = asyncio.Event()
        daemon.on(ReceivePayloads=self.stream)

    def add(self, *values: int, closed: bool = False) -> None:
        self.values += values
        self.closed = closed
        self.changed.set()
        self.changed = asyncio.Event()

    async def stream(self, request, context):
        self.open += 1
        try:
            position = request.after_payload_seq
            while True:
                changed = self.changed
                while position < len(self.values):
                    value = self.values[position]
                    position += 1
                    yield hook_service_pb2.ReceivePayloadsResponse(
                        payload=hook_service_pb2.ReceivedPayload(
                            payload_seq=position,
                            payload_id=f"p{position}",
                            payload=common_pb2.Payload(
                                content_type="application/json", data=str(value).encode()
                            ),
                        )
                    )
                    if self.cut:
                        await refuse(context, grpc.StatusCode.UNAVAILABLE)
                if self.closed:
                    yield hook_service_pb2.ReceivePayloadsResponse(
                        closed=hook_service_pb2.HookClosed(
                            status=common_pb2.HOOK_STATUS_CLOSED,
                            run_status=common_pb2.RUN_STATUS_CANCELLED,
                        )
                    )
                    return
                await changed.wait()
        finally:
            self.open -= 1


@pytest.fixture
def payloads(daemon):
    return Payloads(daemon)


@pytest.fixture
def hook(client):
    return hookd.Hook(client._transport, client.get_run("r"), hook_id="h", token="t", revision=1)


async def test_waits_give_one_payload_each_in_order(hook, payloads):
    payloads.add(1, 2)
    assert await hook == 1
    assert await hook == 2
    late = asyncio.ensure_future(hook)
    await asyncio.sleep(0.05)
    payloads.add(3)
    assert await late == 3


async def test_a_wait_that_is_cancelled_loses_no_payload(hook, payloads):
    for value in range(20):
        wait = asyncio.ensure_future(hook)
        await asyncio.sleep(0.002 * (value % 5))
        payloads.add(value)
        wait.cancel()
        await asyncio.wait([wait])
        if wait.cancelled():
            assert await hook == value
        else:
            assert wait.result() == value


async def test_a_wait_that_loses_a_race_loses_no_payload(hook, payloads):
    wait = asyncio.ensure_future(hook)
    await asyncio.wait([wait, asyncio.ensure_future(asyncio.sleep(0.01))], timeout=0.1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await wait
    payloads.add(1)
    assert await hook == 1


async def test_waits_at_once_get_different_payloads(hook, payloads):
    waits = [asyncio.ensure_future(hook) for _ in range(5)]
    await asyncio.sleep(0.05)
    payloads.add(*range(5))
    assert sorted(await asyncio.gather(*waits)) == list(range(5))


async def test_all_payloads_until_it_closes(hook, payloads):
    payloads.add(1, 2, 3, closed=True)
    assert [value async for value in hook] == [1, 2, 3]
    assert [value async for value in hook] == []


async def test_async_for_and_await_share_one_position(hook, payloads):
    payloads.add(1, 2, 3)
    async for value in hook:
        assert value == 1
        break
    assert await hook == 2


async def test_awaiting_a_hook_that_closed(hook, payloads):
    payloads.add(1, closed=True)
    assert await hook == 1
    for _ in range(2):
        with pytest.raises(hookd.HookClosedError) as caught:
            await hook
    assert caught.value.status is HookStatus.CLOSED
    assert caught.value.run_status is RunStatus.CANCELLED
    assert (caught.value.run_id, caught.value.hook_id) == ("r", "h")


async def test_connections_that_are_lost_neither_lose_nor_repeat(hook, payloads):
    payloads.cut = True
    payloads.add(1, 2, 3)
    assert [await hook, await hook, await hook] == [1, 2, 3]
    payloads.cut = False
    payloads.add(4, closed=True)
    assert [value async for value in hook] == [4]


async def test_a_restart_of_the_daemon_in_the_middle(daemon, hook, payloads):
    payloads.add(1)
    assert await hook == 1
    wait = asyncio.ensure_future(hook)
    await asyncio.sleep(0.05)
    await daemon.stop()
    await asyncio.sleep(0.2)
    payloads.add(2, closed=True)
    await daemon.start()
    assert await wait == 2


async def test_payloads_have_a_position_of_their_own(hook, payloads):
    payloads.add(1, 2, 3, closed=True)
    assert await hook == 1
    got = [(item.payload_seq, item.payload_id, item.value) async for item in hook.payloads(after=1)]
    assert got == [(2, "p2", 2), (3, "p3", 3)]
    assert await hook == 2


async def test_a_refusal_reaches_the_waiter(daemon, hook):
    async def refused(request, context):
        await refuse(
            context, grpc.StatusCode.NOT_FOUND, "HOOK_NOT_FOUND", {"run_id": "r", "hook_id": "h"}
        )
        yield

    daemon.on(ReceivePayloads=refused)
    for _ in range(2):
        with pytest.raises(hookd.HookNotFoundError):
            await hook


async def test_a_hook_that_is_forgotten_leaves_no_stream_open(client, payloads):
    hook = hookd.Hook(client._transport, client.get_run("r"), hook_id="h", token="t")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await hook
    assert payloads.open == 1
    del hook
    gc.collect()
    await asyncio.sleep(0.1)
    assert payloads.open == 0


def test_a_read_that_failed_when_nobody_waited_is_no_complaint(caplog):
    async def main() -> hookd.Hook:
        daemon = FakeDaemon()
        payloads = Payloads(daemon)
        await daemon.start()
        async with hookd.connect(daemon.address) as client:
            hook = hookd.Hook(client._transport, client.get_run("r"), hook_id="h", token="t")
            wait = asyncio.ensure_future(hook)
            await until(lambda: payloads.open)
            wait.cancel()
            await asyncio.wait([wait])
        await daemon.stop()
        return hook

    hook = asyncio.run(main())  # It outlives its loop, as a global does.
    del hook
    gc.collect()
    assert "never retrieved" not in caplog.text


async def test_breaking_out_of_payloads_closes_the_stream(hook, payloads):
    payloads.add(1, 2)
    items = hook.payloads()
    async for _ in items:
        break
    await items.aclose()  # type: ignore[attr-defined]
    gc.collect()
    await asyncio.sleep(0.1)
    assert payloads.open == 0


async def test_a_block_disposes_its_hook(daemon, hook):
    async def dispose(request, context):
        return hook_service_pb2.DisposeHookResponse()

    daemon.on(DisposeHook=dispose)
    async with hook as same:
        assert same is hook
    with pytest.raises(ValueError, match="mine"):
        async with hook:
            raise ValueError("mine")
    assert [(r.ref.run_id, r.ref.hook_id) for r in daemon.requests("DisposeHook")] == [
        ("r", "h")
    ] * 2


async def test_an_error_of_the_block_is_not_hidden_by_that_of_dispose(daemon, hook):
    async def dispose(request, context):
        await refuse(context, grpc.StatusCode.INTERNAL, message="broken")

    daemon.on(DisposeHook=dispose)
    with pytest.raises(ValueError, match="mine") as caught:
        async with hook:
            raise ValueError("mine")
    assert "could not be disposed" in caught.value.__notes__[0]
    with pytest.raises(hookd.HookdError, match="broken"):
        async with hook:
            pass


async def test_the_token_is_not_in_the_repr(hook):
    assert hook.token == "t"
    assert repr(hook) == "<Hook hook_id='h' run_id='r'>"
    assert "secret" not in repr(hookd.HookSpec("secret"))


async def test_hook_get_conflict_asks_nothing_of_a_hook_that_has_its_token(daemon, hook):
    assert await hook.get_conflict() is None
    assert daemon.seen == []
