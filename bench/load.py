"""A load generator in Python, for where the compiled one is not built.

It knows the loads that a quick run needs. Its figures are mostly its own: it
only shows that the suite works.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import grpc
import grpc.aio
from hookd.v1.common_pb2 import HookSpec
from hookd.v1.hook_service_pb2 import (
    ClaimStreamRequest,
    ClaimStreamResponse,
    CreateHookRequest,
    CreateHooksRequest,
    CreateHooksResponse,
    HookClaim,
    HookClaimResult,
)
from hookd.v1.run_service_pb2 import CompleteRunRequest, StartRunRequest

from bench.client import Call, Measured, from_answer
from bench.plan import BATCH
from bench.processes import Server, cpu_seconds

CREATE_HOOK = "/hookd.v1.HookService/CreateHook"
CREATE_HOOKS = "/hookd.v1.HookService/CreateHooks"
CLAIM_STREAM = "/hookd.v1.HookService/ClaimStream"
START_RUN = "/hookd.v1.RunService/StartRun"
COMPLETE_RUN = "/hookd.v1.RunService/CompleteRun"
RUNS = 20
OPTIONS = [
    ("grpc.max_receive_message_length", 16 << 20),
    ("grpc.max_send_message_length", 16 << 20),
    ("grpc.use_local_subchannel_pool", 1),
]

#: Makes the call with this number over this channel; gives its outcomes.
Caller = Callable[[grpc.aio.Channel, int], Awaitable[dict[str, int]]]


def measure(server: Server, call: Call) -> Measured | None:
    """Puts a load on hookd or on the empty server; see ``client.Client``."""
    caller = _CALLERS.get(call.load)
    if caller is None or call.target not in {"hookd", "empty"}:
        return None
    return from_answer(call, asyncio.run(_measure(server, call, caller(call))))


async def _measure(server: Server, call: Call, caller: Caller) -> dict[str, Any]:
    per_call = BATCH if call.load in {"claim-batch", "claim-stream", "fill"} else 1
    calls = -(-call.count // per_call) if call.count else None
    if call.load == "release-all":
        calls = call.runs
    times: list[tuple[float, float]] = []
    outcomes: dict[str, int] = {}
    numbers = iter(range(calls)) if calls is not None else itertools.count()
    async with _channels(server, call.connections) as channels:
        if call.target == "hookd" and call.load != "release-all":
            runs = range(call.runs or RUNS)
            await asyncio.gather(*(_start(channels[0], call, number) for number in runs))

        begin = time.perf_counter() + (0 if calls is not None else call.warm_up)
        end = begin + (float("inf") if calls is not None else call.seconds)

        async def work(channel: grpc.aio.Channel) -> None:
            for number in numbers:
                sent = time.perf_counter()
                if sent > end:
                    return
                came_to = await caller(channel, number)
                now = time.perf_counter()
                if now > begin:
                    times.append((now, now - sent))
                    for outcome, count in came_to.items():
                        outcomes[outcome] = outcomes.get(outcome, 0) + count

        cpu, own = cpu_seconds(server.pid), time.process_time()
        started = time.perf_counter()
        await asyncio.gather(*(work(channels[i % len(channels)]) for i in range(call.concurrency)))
        whole = time.perf_counter() - started
        seconds = time.perf_counter() - begin
    # The processor time is known for the warm-up and the rest together.
    share = seconds / whole
    latencies = sorted(took for _, took in times)
    tenths: dict[int, float] = {}
    for now, took in times:
        tenth = int((now - begin) * 10)
        tenths[tenth] = max(tenths.get(tenth, 0.0), took * 1000)
    operations = sum(outcomes.values())
    wanted = "conflict" if call.load == "conflict" else None
    errors = {name: n for name, n in outcomes.items() if name not in {wanted, *_EXPECTED}}
    return {
        "seconds": seconds,
        "calls": len(times),
        "operations": operations,
        "per_second": operations / seconds,
        "latency_ms": _latency(latencies),
        "timeline_max_ms": [tenths.get(i, 0.0) for i in range(max(tenths, default=-1) + 1)],
        "client_cpu_seconds": (time.process_time() - own) * share,
        "server_cpu_seconds": (cpu_seconds(server.pid) - cpu) * share,
        "outcomes": outcomes,
        "errors": errors,
    }


_EXPECTED = ("claimed", "nothing", "completed")


def _latency(times: list[float]) -> dict[str, float]:
    if not times:
        return {}
    shares = {"min": 0.0, "p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "max": 1.0}
    last = len(times) - 1
    found = {name: times[int(last * share)] * 1000 for name, share in shares.items()}
    return found | {"mean": sum(times) / len(times) * 1000}


class _channels:
    """So many connections to a server."""

    def __init__(self, server: Server, number: int) -> None:
        self._channels = [
            grpc.aio.insecure_channel(server.address, options=OPTIONS) for _ in range(number)
        ]

    async def __aenter__(self) -> list[grpc.aio.Channel]:
        await asyncio.gather(*(channel.channel_ready() for channel in self._channels))
        return self._channels

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(channel.close() for channel in self._channels))


def _run(call: Call, number: int) -> str:
    return f"run-{call.seed}-{number}"


def _spec(call: Call, number: int) -> HookSpec:
    return HookSpec(hook_id=f"hook-{number}", token=f"{call.seed:020d}{number:016d}")


async def _start(channel: grpc.aio.Channel, call: Call, number: int) -> None:
    request = StartRunRequest(run_id=_run(call, number), workflow="bench", external=True)
    await channel.unary_unary(START_RUN)(request.SerializeToString())


def _claims(call: Call, number: int) -> list[HookClaim]:
    first = number * BATCH
    last = min(first + BATCH, call.count) if call.count else first + BATCH
    return [
        HookClaim(run_id=_run(call, i % (call.runs or RUNS)), hook=_spec(call, i))
        for i in range(first, last)
    ]


def _count(results: Iterator[HookClaimResult], asked: int) -> dict[str, int]:
    """What became of a batch; an empty server has answered with nothing."""
    counted = {"claimed": 0, "refused": 0}
    for result in results:
        counted["claimed" if result.HasField("claimed") else "refused"] += 1
    found = {name: number for name, number in counted.items() if number}
    return found or {"nothing": asked}


def _claim(call: Call) -> Caller:
    async def make(channel: grpc.aio.Channel, number: int) -> dict[str, int]:
        request = CreateHookRequest(run_id=_run(call, number % RUNS), hook=_spec(call, number))
        await channel.unary_unary(CREATE_HOOK)(request.SerializeToString())
        return {"claimed": 1}

    return make


def _conflict(call: Call) -> Caller:
    hot = HookSpec(token=f"hot-{call.seed}")

    async def make(channel: grpc.aio.Channel, number: int) -> dict[str, int]:
        request = CreateHookRequest(run_id=_run(call, 1 + number % (RUNS - 1)), hook=hot)
        request.hook.hook_id = f"hook-{number}"
        if number == 0:
            request.run_id = _run(call, 0)
        outcome = "claimed" if call.target == "hookd" else "conflict"
        try:
            await channel.unary_unary(CREATE_HOOK)(request.SerializeToString())
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.ALREADY_EXISTS:
                raise
            outcome = "conflict"
        return {outcome: 1}

    return make


def _batch(call: Call) -> Caller:
    async def make(channel: grpc.aio.Channel, number: int) -> dict[str, int]:
        request = CreateHooksRequest(hooks=_claims(call, number))
        data = await channel.unary_unary(CREATE_HOOKS)(request.SerializeToString())
        return _count(iter(CreateHooksResponse.FromString(data).results), len(request.hooks))

    return make


def _stream(call: Call) -> Caller:
    streams: dict[grpc.aio.Channel, Any] = {}
    turns: dict[grpc.aio.Channel, asyncio.Lock] = {}

    async def make(channel: grpc.aio.Channel, number: int) -> dict[str, int]:
        # One batch of a stream at a time: simple, and slow.
        async with turns.setdefault(channel, asyncio.Lock()):
            stream = streams.get(channel)
            if stream is None:
                stream = streams[channel] = channel.stream_stream(CLAIM_STREAM)()
            request = ClaimStreamRequest(batch_id=number, hooks=_claims(call, number))
            await stream.write(request.SerializeToString())
            data = await stream.read()
        return _count(iter(ClaimStreamResponse.FromString(data).results), len(request.hooks))

    return make


def _release_all(call: Call) -> Caller:
    async def make(channel: grpc.aio.Channel, number: int) -> dict[str, int]:
        request = CompleteRunRequest(run_id=_run(call, number))
        await channel.unary_unary(COMPLETE_RUN)(request.SerializeToString())
        return {"completed": 1}

    return make


_CALLERS: dict[str, Callable[[Call], Caller]] = {
    "claim": _claim,
    "claim-batch": _batch,
    "claim-stream": _stream,
    "conflict": _conflict,
    "fill": _batch,
    "release-all": _release_all,
}
