"""Clients that vanish in the middle, and ten thousand that stay."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import urllib.request

import grpc
import grpc.aio
import pytest
from hookd.v1.common_pb2 import HookSpec
from hookd.v1.hook_service_pb2 import ListHooksRequest
from hookd.v1.run_service_pb2 import WatchRunRequest
from hookd.v1.run_service_pb2_grpc import RunServiceStub

from tests.support.api import Api
from tests.support.concurrency import eventually
from tests.support.daemon import Daemon

#: A client of its own process: opens streams, says how far it is, and never ends by itself.
CLIENT = """
import sys, threading
import grpc
from hookd.v1.common_pb2 import HookSpec
from hookd.v1.hook_service_pb2 import *
from hookd.v1.hook_service_pb2_grpc import HookServiceStub
from hookd.v1.run_service_pb2 import WatchRunRequest
from hookd.v1.run_service_pb2_grpc import RunServiceStub

address, batch = sys.argv[1], int(sys.argv[2])
channel = grpc.insecure_channel(address)
hooks = HookServiceStub(channel)

def follow(stream):
    next(stream)
    said.release()
    for _ in stream:
        pass

said = threading.Semaphore(0)
ref = HookRef(run_id="run", hook_id="claim-1")
for stream in (
    RunServiceStub(channel).WatchRun(WatchRunRequest(run_id="run")),
    hooks.ReceivePayloads(ReceivePayloadsRequest(ref=ref)),
):
    threading.Thread(target=follow, args=(stream,), daemon=True).start()
waiting = hooks.ResumeHook.future(ResumeHookRequest(token="never", wait={"seconds": 300}))

def batches():
    n = 0
    while True:
        n += 1
        yield ClaimStreamRequest(batch_id=n, hooks=[
            HookClaim(run_id="run", hook=HookSpec(token=f"{n:06}/{m:04}")) for m in range(batch)
        ])

said.acquire(); said.acquire()
for answer in hooks.ClaimStream(batches()):
    print(answer.batch_id, flush=True)
"""


def streams_open(daemon: Daemon) -> int:
    """How many streams the daemon says that it has."""
    with urllib.request.urlopen(f"http://{daemon.http}/metrics", timeout=10) as answer:
        found = re.search(r"(?m)^hookd_streams_open\S* (\S+)$", answer.read().decode())
    assert found is not None
    return int(float(found[1]))


def test_client_that_vanishes_in_the_middle_of_its_streams(daemon: Daemon) -> None:
    batch = 200
    api = Api(daemon.channel())
    api.start("run", claims=[HookSpec(token="token")])
    api.resume("token")
    with subprocess.Popen(
        [sys.executable, "-c", CLIENT, daemon.address, str(batch)],
        stdout=subprocess.PIPE,
        text=True,
    ) as client:
        assert client.stdout is not None
        try:
            for line in client.stdout:
                if int(line) >= 10:
                    break
            eventually(lambda: streams_open(daemon) == 4)
        finally:
            client.kill()
        # The last line may be cut off in the middle.
        lines = [line, *client.stdout.read().splitlines(keepends=True)]
        answered = int([line for line in lines if line.endswith("\n")][-1])
    eventually(lambda: streams_open(daemon) == 0)

    # Of what it sent, each batch is there wholly or not at all, and all that was answered.
    tokens: list[str] = []
    page = ""
    while True:
        answer = api.hooks.ListHooks(ListHooksRequest(page_size=1000, page_token=page))
        tokens += [hook.token for hook in answer.hooks]
        page = answer.next_page_token
        if not page:
            break
    tokens.remove("token")
    whole = len(tokens) // batch
    assert whole >= answered
    assert tokens == [f"{n:06}/{m:04}" for n in range(1, whole + 1) for m in range(batch)]
    assert api.run("run").last_seq == 4 + len(tokens)
    api.complete("run")
    assert not api.hooks.ListHooks(ListHooksRequest()).hooks


def test_client_that_stops_reading(api: Api) -> None:
    """A reader that does not read holds up nobody else."""
    run_id = api.start(claims=[HookSpec(token="token")]).run.run_id
    slow = api.runs.WatchRun(WatchRunRequest(project=api.project, run_id=run_id))
    for n in range(40):
        api.resume("token", "x" * 500_000, f"p-{n}")
    assert len(api.payloads(run_id, "claim-1", 40)) == 40
    api.complete(run_id)
    assert [item.event.seq for item in slow] == list(range(1, 45))


STREAMS, CHANNELS, AT_ONCE = 10_000, 10, 500


@pytest.mark.timeout(110)
async def test_ten_thousand_open_streams(daemon: Daemon) -> None:
    """All watch one run; while they do, other calls are answered; all see its end."""
    api = Api(daemon.channel())
    started = api.start("run", claims=[HookSpec(token="token")]).run
    local = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(daemon.address, options=local) for _ in range(CHANNELS)]
    request = WatchRunRequest(run_id="run", after_seq=started.last_seq - 1)
    few_at_once = asyncio.Semaphore(AT_ONCE)
    open_ones: list[grpc.aio.UnaryStreamCall] = []

    async def watch(number: int) -> None:
        async with few_at_once:
            stub = RunServiceStub(channels[number % CHANNELS])
            stream = stub.WatchRun(request, timeout=100)
            first = await stream.read()
            assert first.event.WhichOneof("data") == "hook_created"
            open_ones.append(stream)

    async def last_of(stream: grpc.aio.UnaryStreamCall) -> str:
        last = await stream.read()
        assert await stream.read() is grpc.aio.EOF
        return last.event.WhichOneof("data")

    try:
        await asyncio.gather(*(watch(number) for number in range(STREAMS)))
        assert streams_open(daemon) == STREAMS
        # A stream is no call in flight: the daemon takes as many calls as ever.
        assert await asyncio.to_thread(lambda: api.hook("token").run_id) == "run"
        await asyncio.to_thread(api.complete, "run")
        seen = await asyncio.gather(*(last_of(stream) for stream in open_ones))
    finally:
        await asyncio.gather(*(channel.close() for channel in channels))
    assert seen == ["run_completed"] * STREAMS
    eventually(lambda: streams_open(daemon) == 0)
    assert api.ended("run", 0).last_seq == started.last_seq + 1
