"""``hookd.v1.StreamService``."""

from __future__ import annotations

from collections.abc import AsyncIterator

from hookd.v1 import stream_service_pb2 as pb

from hookd_daemon.api import messages, validate
from hookd_daemon.api.backend import Backend
from hookd_daemon.api.context import CallContext
from hookd_daemon.core import streams, topics
from hookd_daemon.errors import RunNotFoundError

DEFAULT_NAMESPACE = "default"
#: How many chunks a stream reads at a time.
CHUNKS_AT_ONCE = 256


class StreamService:
    """Answers the calls of ``hookd.v1.StreamService``."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def write_chunks(
        self, request: pb.WriteChunksRequest, call: CallContext
    ) -> pb.WriteChunksResponse:
        """Appends chunks."""
        project = validate.project(request.project)
        run_id = validate.identifier("run_id", request.run_id)
        namespace = _namespace(request.namespace)
        validate.count("chunks", len(request.chunks), validate.MAX_BATCH)
        for i, chunk in enumerate(request.chunks):
            validate.payload(f"chunks[{i}]", chunk)
        if request.writer_id:
            validate.identifier("writer_id", request.writer_id)
        position, length, duplicate = await self._backend.run(
            streams.write_chunks,
            None,
            project,
            run_id,
            namespace,
            request.position if request.HasField("position") else None,
            request.chunks,
            request.writer_id,
        )
        return pb.WriteChunksResponse(position=position, length=length, duplicate=duplicate)

    async def read_stream(
        self, request: pb.ReadStreamRequest, call: CallContext
    ) -> AsyncIterator[pb.ReadStreamResponse]:
        """Streams chunks until no more can come."""
        project = validate.project(request.project)
        run_id = validate.identifier("run_id", request.run_id)
        namespace = _namespace(request.namespace)
        run = self._backend.run
        # Where a negative index points is settled once, by the end as it is now.
        view, _ = await run(streams.read_chunks, None, project, run_id, namespace, 0, 0)
        uid, start = view.run.uid, request.start_index
        index = max(view.length + start, 0) if start < 0 else start
        listening = (topics.stream(uid, namespace), topics.run_ended(uid))
        with self._backend.store.subscribe(*listening) as news:
            while True:
                view, chunks = await run(
                    streams.read_chunks, None, project, run_id, namespace, index, CHUNKS_AT_ONCE
                )
                if view.run.uid != uid:
                    raise RunNotFoundError(run_id)  # removed, and its id is another run's
                for at, record in chunks:
                    chunk = pb.StreamChunk(index=at, payload=record.payload)
                    messages.set_time(chunk.time, record.time_ms)
                    yield pb.ReadStreamResponse(chunk=chunk)
                    index = at + 1
                if index < view.length:
                    continue
                if view.closed or request.no_wait:
                    end = pb.StreamClosed(length=view.length, final=view.closed)
                    yield pb.ReadStreamResponse(closed=end)
                    return
                await news.wait(None)

    async def close_stream(
        self, request: pb.CloseStreamRequest, call: CallContext
    ) -> pb.CloseStreamResponse:
        """Says that no more chunks will come."""
        project = validate.project(request.project)
        run_id = validate.identifier("run_id", request.run_id)
        view, already = await self._backend.run(
            streams.close_stream, None, project, run_id, _namespace(request.namespace)
        )
        return pb.CloseStreamResponse(stream=messages.stream_message(view), already_closed=already)

    async def list_streams(
        self, request: pb.ListStreamsRequest, call: CallContext
    ) -> pb.ListStreamsResponse:
        """Lists the streams of a run."""
        project = validate.project(request.project)
        run_id = validate.identifier("run_id", request.run_id)
        views = await self._backend.run(streams.list_streams, None, project, run_id)
        return pb.ListStreamsResponse(streams=[messages.stream_message(view) for view in views])


def _namespace(value: str) -> str:
    return validate.identifier("namespace", value) if value else DEFAULT_NAMESPACE
