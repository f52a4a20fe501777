"""What a worker says to the daemon, again and again until it is heard."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, TypeVar

from grpc import aio

from hookd.errors import DeadlineExceededError, HookdError, RunNotActiveError, RunNotFoundError
from hookd.retry import Backoff
from hookd.run import Run
from hookd.status import error_from_rpc, is_transient
from hookd.v1 import run_service_pb2 as runs_pb
from hookd.v1 import worker_service_pb2 as pb
from hookd.v1.worker_service_pb2_grpc import WorkerServiceStub

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookd.transport import Transport
    from hookd.v1.events_pb2 import Event

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")

_EVENTS = 1000
_STALE_TURN = "STALE_TURN"


class Link:
    """The calls of one life of a worker.

    They survive outages of any length: the daemon knows a report again by its
    id, and says so if nobody needs it any more.
    """

    def __init__(self, transport: Transport, worker_id: str) -> None:
        self._transport = transport
        self.worker_id = worker_id
        self._turns = itertools.count(1)

    def new_turn_id(self) -> str:
        """Makes an id for a turn that no other turn has."""
        return f"{self.worker_id}-{next(self._turns)}"

    @property
    def project(self) -> str:
        """The project that the worker works for."""
        return self._transport.project

    @property
    def address(self) -> str:
        """The daemon."""
        return self._transport.address

    def run(self, run_id: str) -> Run:
        """Gives the handle of a run, for its steps."""
        return Run(self._transport, run_id)

    def poll(self, request: pb.PollRequest) -> aio.UnaryStreamCall[pb.PollRequest, pb.PollResponse]:
        """Opens the stream of work."""
        return self._transport.workers.Poll(request, metadata=self._transport.metadata())

    def poll_error(self, rpc: aio.AioRpcError) -> HookdError:
        """Gives what the daemon said when it ended the stream of work."""
        return error_from_rpc(rpc, self.address)

    async def complete_turn(self, request: pb.CompleteTurnRequest) -> pb.CompleteTurnResponse:
        """Reports the commands of a turn."""
        return await self._until_heard(self._transport.workers.CompleteTurn, request)

    async def complete_step(self, request: pb.CompleteStepRequest) -> pb.CompleteStepResponse:
        """Reports how an attempt at a step went."""
        return await self._until_heard(self._transport.workers.CompleteStep, request)

    async def heartbeat(
        self, steps: Sequence[pb.StepRef], run_ids: Sequence[str], timeout: float
    ) -> Sequence[pb.StepRef]:
        """Says what the worker is at; gives the steps that nobody needs any more."""
        request = pb.HeartbeatRequest(
            project=self.project, worker_id=self.worker_id, steps=steps, run_ids=run_ids
        )
        method = self._transport.workers.Heartbeat
        response = await self._transport.call(method, request, timeout=timeout)
        return response.dropped_steps

    def heartbeat_from_thread(self, steps: Sequence[pb.StepRef], timeout: float) -> None:
        """Says which steps the worker is at while its event loop cannot.

        Raises:
            grpc.RpcError: The daemon did not hear it.
        """
        request = pb.HeartbeatRequest(project=self.project, worker_id=self.worker_id, steps=steps)
        with self._transport.blocking_channel() as channel:
            WorkerServiceStub(channel).Heartbeat(
                request, timeout=timeout, metadata=self._transport.metadata(), wait_for_ready=True
            )

    async def events(self, run_id: str, after: int) -> Sequence[Event]:
        """Reads a part of a run's log."""
        request = runs_pb.ListEventsRequest(
            project=self.project, run_id=run_id, after_seq=after, page_size=_EVENTS
        )
        response = await self._until_heard(self._transport.runs.ListEvents, request)
        return response.events

    async def _until_heard(
        self, method: aio.UnaryUnaryMultiCallable[_Request, _Response], request: _Request
    ) -> _Response:
        backoff: Backoff | None = None
        while True:
            try:
                return await self._transport.call(method, request)
            except HookdError as error:
                if not (is_transient(error) or isinstance(error, DeadlineExceededError)):
                    raise
            backoff = backoff or Backoff()
            await backoff.wait()


def is_overtaken(error: HookdError) -> bool:
    """Whether somebody else has done it, or nobody needs it any more."""
    return isinstance(error, RunNotActiveError | RunNotFoundError) or error.reason == _STALE_TURN
