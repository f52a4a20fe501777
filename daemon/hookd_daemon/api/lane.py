"""The fast lane of claims: from the bytes of a request to the bytes of an answer.

Nearly all claims are plain, and the store makes those by itself; see
``store.rocks.plain``. What it hands back goes the usual way, through
``HookService``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from hookd.v1 import hook_service_pb2 as pb
from hookd.v1.errors_pb2 import HookConflict

from hookd_daemon.api import validate
from hookd_daemon.api.backend import Backend
from hookd_daemon.api.context import CallContext
from hookd_daemon.api.hooks import HookService
from hookd_daemon.api.parsing import parser
from hookd_daemon.core import topics
from hookd_daemon.errors import Conflict, HookConflictError, InvalidArgumentError
from hookd_daemon.logs import get_logger
from hookd_daemon.store.rocks import RocksStore
from hookd_daemon.store.rocks.plain import Answer, Kind, PlainClaims

log = get_logger(__name__)

#: How many batches of one stream are under way at a time. The next ones are
#: read when these are answered, so a stream cannot fill the memory.
BATCHES_AT_ONCE = 8

CREATE_HOOK = "/hookd.v1.HookService/CreateHook"
CREATE_HOOKS = "/hookd.v1.HookService/CreateHooks"

_one = parser(pb.CreateHookRequest)
_batch = parser(pb.CreateHooksRequest)
_stream_batch = parser(pb.ClaimStreamRequest)


@dataclass(slots=True)
class _Pending:
    """A batch of a stream that is under way."""

    data: bytes
    project: str
    answer: asyncio.Future[Answer] | None


class ClaimLane:
    """Answers the calls that claim tokens, bytes for bytes.

    Args:
        backend: the time, the traces, the limits.
        store: makes the plain claims.
        hooks: answers what is not plain.
    """

    def __init__(self, backend: Backend, store: RocksStore, hooks: HookService) -> None:
        self._backend = backend
        self._hooks = hooks
        self._admission = backend.admission
        self._traceparent = backend.tracing.current_traceparent
        # Each conflict of a batch is told to traces and to the debug log, by the
        # code that has it as an object.
        self._batches = not backend.tracing.enabled and not log.is_enabled_for(logging.DEBUG)
        self._claims = PlainClaims(
            store,
            now_ms=backend.clock.now_ms,
            booted_ms=backend.booted_ms,
            max_token_bytes=backend.settings.max_token_bytes,
            log_topic=topics.run_log,
            token_topic=topics.token,
            max_claims=lambda project: backend.limits(project).active_hooks,
        )

    def lanes(self) -> dict[str, Callable[..., Any]]:
        """The methods that are answered here, by their paths."""
        return {
            CREATE_HOOK: self.create_hook,
            CREATE_HOOKS: self.create_hooks,
            "/hookd.v1.HookService/ClaimStream": self.claim_stream,
        }

    async def create_hook(self, data: bytes, call: CallContext) -> bytes:
        """See ``HookService.create_hook``."""
        request = _one(data, call)

        async def answer(request: pb.CreateHookRequest, call: CallContext) -> bytes:
            return await self._create_hook(data, request, call)

        return await self._admission.answer(CREATE_HOOK, request, len(data), call, answer)

    async def _create_hook(
        self, data: bytes, request: pb.CreateHookRequest, call: CallContext
    ) -> bytes:
        project = validate.project(request.project)
        traceparent = self._traceparent(call.metadata)
        answer = await self._claims.claim(Kind.ONE, data, traceparent, project)
        if isinstance(answer, bytes):
            return answer
        if answer is None:
            return (await self._hooks.create_hook(request, call)).SerializeToString()
        run_id, detail, traceparent = answer
        conflict = Conflict(HookConflict.FromString(detail), traceparent)
        self._backend.note_conflict(run_id, conflict, call.metadata)
        raise HookConflictError(conflict)

    async def create_hooks(self, data: bytes, call: CallContext) -> bytes:
        """See ``HookService.create_hooks``."""
        request = _batch(data, call)

        async def answer(request: pb.CreateHooksRequest, call: CallContext) -> bytes:
            return await self._create_hooks(data, request, call)

        return await self._admission.answer(CREATE_HOOKS, request, len(data), call, answer)

    async def _create_hooks(
        self, data: bytes, request: pb.CreateHooksRequest, call: CallContext
    ) -> bytes:
        if self._batches:
            project = validate.project(request.project)
            traceparent = self._traceparent(call.metadata)
            answer = await self._claims.claim(Kind.BATCH, data, traceparent, project)
            if isinstance(answer, bytes):
                self._backend.conflicts.note_batch(
                    self._backend.clock.now_ms(), data, answer, traceparent, streamed=False
                )
                return answer
        return (await self._hooks.create_hooks(request, call)).SerializeToString()

    async def claim_stream(
        self, sent: AsyncIterator[bytes], call: CallContext
    ) -> AsyncGenerator[bytes, None]:
        """Claims batch after batch, some at a time, and answers in their order."""
        batches: asyncio.Queue[_Pending | Exception | None] = asyncio.Queue(BATCHES_AT_ONCE)
        reader = asyncio.ensure_future(self._read(sent, call, batches))
        try:
            while (batch := await batches.get()) is not None:
                if isinstance(batch, Exception):
                    raise batch
                yield await self._answer(batch, call)
        finally:
            reader.cancel()
            while not batches.empty():
                batch = batches.get_nowait()
                if isinstance(batch, _Pending) and batch.answer is not None:
                    batch.answer.cancel()

    async def _read(
        self,
        sent: AsyncIterator[bytes],
        call: CallContext,
        batches: asyncio.Queue[_Pending | Exception | None],
    ) -> None:
        """Begins batch after batch, until the caller has no more or something is wrong."""
        project = ""
        traceparent = self._traceparent(call.metadata)
        try:
            async for data in sent:
                if not project:
                    project = validate.project(_stream_batch(data, call).project)
                await self._admission.rates.pace(project)
                answer = None
                if self._batches:
                    answer = await self._begin(data, traceparent, project)
                await batches.put(_Pending(data, project, answer))
        except Exception as error:  # noqa: BLE001 - told to the caller, behind the answers before it
            await batches.put(error)
        else:
            await batches.put(None)

    async def _begin(self, data: bytes, traceparent: str, project: str) -> asyncio.Future[Answer]:
        """Begins a batch of a stream when it is its project's turn."""
        place = await self._admission.turn(project, len(data))
        try:
            answer = self._claims.claim(Kind.STREAM, data, traceparent, project)
        except BaseException:
            place.end()
            raise
        answer.add_done_callback(lambda _: place.end())
        return answer

    async def _answer(self, batch: _Pending, call: CallContext) -> bytes:
        if batch.answer is not None:
            answer = await batch.answer
            if isinstance(answer, bytes):
                backend = self._backend
                backend.conflicts.note_batch(
                    backend.clock.now_ms(),
                    batch.data,
                    answer,
                    self._traceparent(call.metadata),
                    streamed=True,
                )
                return answer
        request = _stream_batch(batch.data, call)
        if validate.project(request.project) != batch.project:
            raise InvalidArgumentError("project", "is not the one the stream began with")
        response = pb.ClaimStreamResponse(batch_id=request.batch_id)
        place = await self._admission.turn(batch.project, len(batch.data))
        try:
            await self._hooks.claim_batch(call, batch.project, request.hooks, response.results.add)
        finally:
            place.end()
        return response.SerializeToString()
