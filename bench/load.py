"""The load: calls with requests made beforehand, so that the client does little."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import grpc
import grpc.aio
from hookd.v1.common_pb2 import HookSpec
from hookd.v1.hook_service_pb2 import (
    ClaimStreamRequest,
    CreateHookRequest,
    CreateHooksRequest,
    CreateHooksResponse,
    HookClaim,
)
from hookd.v1.run_service_pb2 import StartRunRequest

from bench.machine import cpu_seconds
from bench.servers import Server

CREATE_HOOK = "/hookd.v1.HookService/CreateHook"
CREATE_HOOKS = "/hookd.v1.HookService/CreateHooks"
CLAIM_STREAM = "/hookd.v1.HookService/ClaimStream"
START_RUN = "/hookd.v1.RunService/StartRun"
OPTIONS = [
    ("grpc.max_receive_message_length", 16 << 20),
    ("grpc.max_send_message_length", 16 << 20),
    ("grpc.use_local_subchannel_pool", 1),
]


@dataclass(frozen=True)
class Measured:
    """What one load came to.

    Attributes:
        per_second: operations per second.
        median_ms: median time of one call, in milliseconds.
        p99_ms: 99th percentile of it.
        server_us: processor time of the server for one operation, in microseconds.
    """

    per_second: float
    median_ms: float
    p99_ms: float
    server_us: float


def token(number: int) -> str:
    """A token of 36 bytes, as long as a UUID."""
    return f"order-{number:030d}"


def start_requests(prefix: str, runs: int) -> list[bytes]:
    """Requests that start externally driven runs."""
    return [
        StartRunRequest(run_id=f"{prefix}-{i}", workflow="bench", external=True).SerializeToString()
        for i in range(runs)
    ]


def unary_requests(prefix: str, runs: int, first: int, count: int) -> list[bytes]:
    """Requests that each claim one new token for one of the runs."""
    return [
        CreateHookRequest(
            run_id=f"{prefix}-{i % runs}", hook=HookSpec(hook_id=f"hook-{i}", token=token(i))
        ).SerializeToString()
        for i in range(first, first + count)
    ]


def claims(prefix: str, runs: int, first: int, count: int) -> list[HookClaim]:
    """Claims of new tokens, neighbours for the same run."""
    return [
        HookClaim(
            run_id=f"{prefix}-{i % (runs * 10) // 10}",
            hook=HookSpec(hook_id=f"hook-{i}", token=token(i)),
        )
        for i in range(first, first + count)
    ]


def batch_requests(prefix: str, runs: int, first: int, batches: int, size: int) -> Iterator[bytes]:
    """Requests that each claim a batch of new tokens."""
    for batch in range(batches):
        hooks = claims(prefix, runs, first + batch * size, size)
        yield CreateHooksRequest(hooks=hooks).SerializeToString()


def stream_requests(prefix: str, runs: int, first: int, batches: int, size: int) -> Iterator[bytes]:
    """The same for the claim stream."""
    for batch in range(batches):
        hooks = claims(prefix, runs, first + batch * size, size)
        yield ClaimStreamRequest(batch_id=batch, hooks=hooks).SerializeToString()


async def call_all(
    server: Server, path: str, requests: list[bytes], in_flight: int, per_call: int = 1
) -> Measured:
    """Makes calls, ``in_flight`` at a time over one connection.

    Args:
        server: whom to call.
        path: the method.
        requests: the messages, one per call.
        in_flight: how many calls at a time.
        per_call: how many operations a call is.
    """
    times: list[float] = []
    pending = iter(requests)
    async with grpc.aio.insecure_channel(server.address, options=OPTIONS) as channel:
        await channel.channel_ready()
        call = channel.unary_unary(path)

        async def work() -> None:
            for request in pending:
                begin = time.perf_counter()
                await call(request)
                times.append(time.perf_counter() - begin)

        cpu, begin = cpu_seconds(server.pid), time.perf_counter()
        await asyncio.gather(*(work() for _ in range(in_flight)))
        seconds = time.perf_counter() - begin
        cpu = cpu_seconds(server.pid) - cpu
    operations = len(requests) * per_call
    return _measured(times, seconds, cpu, operations)


async def stream_all(server: Server, requests: list[bytes], in_flight: int, size: int) -> Measured:
    """Sends batches over one claim stream, at most ``in_flight`` of them unanswered."""
    times: list[float] = []
    room = asyncio.Semaphore(in_flight)
    sent: list[float] = []
    async with grpc.aio.insecure_channel(server.address, options=OPTIONS) as channel:
        await channel.channel_ready()

        async def batches() -> AsyncIterator[bytes]:
            for request in requests:
                await room.acquire()
                sent.append(time.perf_counter())
                yield request

        cpu, begin = cpu_seconds(server.pid), time.perf_counter()
        async for _ in channel.stream_stream(CLAIM_STREAM)(batches()):
            times.append(time.perf_counter() - sent[len(times)])
            room.release()
        seconds = time.perf_counter() - begin
        cpu = cpu_seconds(server.pid) - cpu
    return _measured(times, seconds, cpu, len(requests) * size)


def _measured(times: list[float], seconds: float, cpu: float, operations: int) -> Measured:
    times.sort()
    return Measured(
        per_second=operations / seconds,
        median_ms=statistics.median(times) * 1000,
        p99_ms=times[int(len(times) * 0.99)] * 1000,
        server_us=cpu / operations * 1e6,
    )


async def check_claimed(server: Server, request: bytes, want_new: bool) -> None:
    """Makes sure that a batch really claims: a benchmark of refusals would be fast, too."""
    async with grpc.aio.insecure_channel(server.address, options=OPTIONS) as channel:
        answer = CreateHooksResponse.FromString(await channel.unary_unary(CREATE_HOOKS)(request))
    for result in answer.results:
        if not result.HasField("claimed") or result.claimed.already_exists == want_new:
            raise RuntimeError(f"a claim of the benchmark came to {result}")
