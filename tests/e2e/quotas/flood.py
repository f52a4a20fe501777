"""Many calls at once of one project, from a process of its own.

``python -m tests.e2e.quotas.flood ADDRESS PROJECT KIND CALLS`` keeps so many
calls in flight on four connections, each a claim (``claims``) or the same batch
of 1024 again and again (``batches``), which costs little to send. It says
``go`` when they are. When its input is closed it says the mean time of its
calls, in seconds, and ends.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import sys
import time

import grpc.aio
from hookd.v1.common_pb2 import HookSpec
from hookd.v1.hook_service_pb2 import CreateHookRequest, CreateHooksRequest, HookClaim
from hookd.v1.hook_service_pb2_grpc import HookServiceStub
from hookd.v1.run_service_pb2 import StartRunRequest
from hookd.v1.run_service_pb2_grpc import RunServiceStub

CONNECTIONS = 4
BATCH = 1024


class Flood:
    """Calls without end, and without a pause.

    Args:
        address: the daemon.
        project: the project.
        kind: ``claims`` or ``batches``.
        calls: how many at once.

    Attributes:
        times: seconds that the calls have taken.
        is_there: set when so many were answered.
    """

    def __init__(self, address: str, project: str, kind: str, calls: int) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        self._channels = [
            grpc.aio.insecure_channel(address, options=options) for _ in range(CONNECTIONS)
        ]
        self._hooks = [HookServiceStub(channel) for channel in self._channels]
        self._project = project
        self._kind = kind
        self._numbers = itertools.count()
        self._enough = calls
        self.times: list[float] = []
        self.is_there = asyncio.Event()

    async def start(self) -> None:
        """Starts the run that claims."""
        request = StartRunRequest(
            project=self._project, run_id=self._kind, workflow="flood", external=True
        )
        await RunServiceStub(self._channels[0]).StartRun(request)

    async def call_for_ever(self, place: int) -> None:
        """One call after the other."""
        stub = self._hooks[place % CONNECTIONS]
        batch = self._batch()
        while True:
            begin = time.perf_counter()
            try:
                if self._kind == "claims":
                    await stub.CreateHook(self._claim())
                else:
                    await stub.CreateHooks(batch)
            except grpc.aio.AioRpcError as error:
                if error.code() != grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise
            self.times.append(time.perf_counter() - begin)
            if len(self.times) == self._enough:
                self.is_there.set()

    def _spec(self) -> HookSpec:
        name = f"{self._kind}-{next(self._numbers)}"
        return HookSpec(hook_id=name, token=name)

    def _claim(self) -> CreateHookRequest:
        return CreateHookRequest(project=self._project, run_id=self._kind, hook=self._spec())

    def _batch(self) -> CreateHooksRequest:
        hooks = [HookClaim(run_id=self._kind, hook=self._spec()) for _ in range(BATCH)]
        return CreateHooksRequest(project=self._project, hooks=hooks)


async def main(address: str, project: str, kind: str, calls: int) -> None:
    """Floods until the input is closed."""
    flood = Flood(address, project, kind, calls)
    await flood.start()
    tasks = [asyncio.ensure_future(flood.call_for_ever(i)) for i in range(calls)]
    there = asyncio.ensure_future(flood.is_there.wait())
    await asyncio.wait({there, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    print("go", flush=True)
    end = asyncio.ensure_future(asyncio.to_thread(sys.stdin.read))
    await asyncio.wait({end, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    if not end.done():
        await asyncio.gather(*tasks)  # one of them has failed
    print(statistics.fmean(flood.times), flush=True)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4], int(sys.argv[4])))
