"""Asks the API for somebody, in his project: his role, his project and the limits hold."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from google.protobuf.message import Message
from hookd.v1 import admin_service_pb2 as admin
from hookd.v1 import hook_service_pb2 as hooks
from hookd.v1 import run_service_pb2 as runs
from hookd.v1 import stream_service_pb2 as streams
from hookd.v1 import worker_service_pb2 as workers
from hookd.v1.common_pb2 import Payload

from hookd_daemon.api.backend import Backend
from hookd_daemon.auth.roles import LEAST
from hookd_daemon.console.visit import Visit
from hookd_daemon.core.moment import Moment
from hookd_daemon.errors import PermissionDeniedError
from hookd_daemon.http.calls import Calls
from hookd_daemon.store.tx import Tx

P = ParamSpec("P")
T = TypeVar("T")


class Asking:
    """Asks in the name of whoever made a visit.

    Args:
        calls: answers calls of the API.
        backend: runs what the API has no call for.
        visit: who asks, and in which project.
    """

    def __init__(self, calls: Calls, backend: Backend, visit: Visit) -> None:
        self._calls = calls
        self._backend = backend
        self._visit = visit
        self.project = visit.project

    async def _ask(self, method: str, request: Message) -> Any:
        return await self._calls.answer(
            f"/hookd.v1.{method}", request, {}, caller=self._visit.caller
        )

    async def look(
        self,
        method: str,
        fn: Callable[Concatenate[Tx, Moment, str, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Reads what the API has no call for.

        Args:
            method: the call of the API that shows about the same: who may make
                it may see this.
            fn: a transaction function that reads.
            args: of the function.
            kwargs: of the function.
        """
        self.check(method)
        return await self._backend.run(fn, None, self.project, *args, **kwargs)

    def check(self, method: str) -> None:
        """Sees to it that he may make a call, in his project.

        Raises:
            UnauthenticatedError: his key is not valid any more.
            PermissionDeniedError: he may not.
        """
        path = f"/hookd.v1.{method}"
        caller = self._visit.caller
        self._calls.door.check(caller, path, LEAST[path])
        if caller.project and caller.project != self.project:
            raise PermissionDeniedError.of_project()

    async def run(self, run_id: str, *, waits: bool = False) -> runs.GetRunResponse:
        """A run, with what it waits for."""
        request = runs.GetRunRequest(project=self.project, run_id=run_id, with_waits=waits)
        return cast(runs.GetRunResponse, await self._ask("RunService/GetRun", request))

    async def list_runs(self, request: runs.ListRunsRequest) -> runs.ListRunsResponse:
        """Runs."""
        request.project = self.project
        return cast(runs.ListRunsResponse, await self._ask("RunService/ListRuns", request))

    async def events(self, run_id: str, after: int, limit: int) -> runs.ListEventsResponse:
        """A part of a run's log."""
        request = runs.ListEventsRequest(
            project=self.project, run_id=run_id, after_seq=after, page_size=limit
        )
        return cast(runs.ListEventsResponse, await self._ask("RunService/ListEvents", request))

    async def cancel(self, run_id: str, reason: str) -> runs.CancelRunResponse:
        """Cancels a run."""
        request = runs.CancelRunRequest(project=self.project, run_id=run_id, reason=reason)
        return cast(runs.CancelRunResponse, await self._ask("RunService/CancelRun", request))

    async def list_hooks(
        self, *, run_id: str = "", prefix: str = "", limit: int, page: str = ""
    ) -> hooks.ListHooksResponse:
        """The hooks of a run, or those that hold tokens."""
        request = hooks.ListHooksRequest(
            project=self.project,
            run_id=run_id,
            token_prefix=prefix,
            page_size=limit,
            page_token=page,
        )
        return cast(hooks.ListHooksResponse, await self._ask("HookService/ListHooks", request))

    async def hook(self, run_id: str, hook_id: str) -> hooks.GetHookResponse:
        """A hook of a run."""
        ref = hooks.HookRef(run_id=run_id, hook_id=hook_id)
        request = hooks.GetHookRequest(project=self.project, ref=ref)
        return cast(hooks.GetHookResponse, await self._ask("HookService/GetHook", request))

    async def hook_with(self, token: str) -> hooks.GetHookResponse:
        """The hook that holds a token."""
        request = hooks.GetHookRequest(project=self.project, token=token)
        return cast(hooks.GetHookResponse, await self._ask("HookService/GetHook", request))

    async def resume(
        self, token: str, payload_id: str, payload: Payload
    ) -> hooks.ResumeHookResponse:
        """Delivers a payload."""
        request = hooks.ResumeHookRequest(
            project=self.project, token=token, payload_id=payload_id, payload=payload
        )
        return cast(hooks.ResumeHookResponse, await self._ask("HookService/ResumeHook", request))

    async def dispose(self, run_id: str, hook_id: str) -> hooks.DisposeHookResponse:
        """Gives up a hook."""
        ref = hooks.HookRef(run_id=run_id, hook_id=hook_id)
        request = hooks.DisposeHookRequest(project=self.project, ref=ref)
        return cast(hooks.DisposeHookResponse, await self._ask("HookService/DisposeHook", request))

    async def list_streams(self, run_id: str) -> streams.ListStreamsResponse:
        """The streams of a run."""
        request = streams.ListStreamsRequest(project=self.project, run_id=run_id)
        return cast(
            streams.ListStreamsResponse, await self._ask("StreamService/ListStreams", request)
        )

    async def last_chunks(
        self, run_id: str, namespace: str, count: int
    ) -> list[streams.StreamChunk]:
        """The last chunks of a stream."""
        request = streams.ReadStreamRequest(
            project=self.project,
            run_id=run_id,
            namespace=namespace,
            start_index=-count,
            no_wait=True,
        )
        chunks = []
        answers = self._calls.stream(
            "/hookd.v1.StreamService/ReadStream", request, {}, caller=self._visit.caller
        )
        async with aclosing(answers):
            async for message in answers:
                item = cast(streams.ReadStreamResponse, message)
                if item.HasField("chunk"):
                    chunks.append(item.chunk)
        return chunks[-count:]

    async def queues(self) -> workers.ListQueuesResponse:
        """What waits for workers, and which workers there are."""
        request = workers.ListQueuesRequest(project=self.project)
        return cast(
            workers.ListQueuesResponse, await self._ask("WorkerService/ListQueues", request)
        )

    async def stats(self) -> admin.GetStatsResponse:
        """How the daemon stands."""
        return cast(
            admin.GetStatsResponse,
            await self._ask("AdminService/GetStats", admin.GetStatsRequest()),
        )
