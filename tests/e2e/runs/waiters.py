"""Awaits one run many times at once, over grpc.aio; says how all of it ended.

Usage: waiters.py ADDRESS RUN_ID COUNT STARTS

Beside that it starts some runs, spread among the waits. A process of its own,
because grpc.aio wants one event loop for the whole life of its process.
"""

import asyncio
import collections
import json
import sys

import grpc.aio
from hookd.v1.common_pb2 import RunStatus
from hookd.v1.run_service_pb2 import AwaitRunRequest, StartRunRequest
from hookd.v1.run_service_pb2_grpc import RunServiceStub


async def main(address: str, run_id: str, count: int, starts: int) -> None:
    """Ends when all are answered, or the first of them is refused."""
    ended: collections.Counter[str] = collections.Counter()
    async with grpc.aio.insecure_channel(address) as channel:
        runs = RunServiceStub(channel)
        request = AwaitRunRequest(run_id=run_id)
        request.wait.FromSeconds(60)
        calls = []
        for i in range(count):
            calls.append(asyncio.ensure_future(runs.AwaitRun(request)))
            if starts and i % (count // starts) == 0:
                start = StartRunRequest(run_id=f"{run_id}-{i}", workflow="w")
                calls.append(asyncio.ensure_future(runs.StartRun(start)))
        done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_EXCEPTION)
        for call in done:
            error = call.exception()
            if isinstance(error, grpc.aio.AioRpcError):
                ended[error.code().name] += 1
            else:
                ended[RunStatus.Name(call.result().run.status)] += 1
    print(json.dumps(ended), flush=True)


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
