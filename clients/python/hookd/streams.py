"""Streams of a run: written in order and once, read without loss or repeat."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from hookd.batches import batches
from hookd.convert import chunk, stream_info
from hookd.errors import HookdError, IdReusedError, UnavailableError
from hookd.follow import Follower
from hookd.ids import new_id
from hookd.payload import encode
from hookd.v1 import stream_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from hookd.models import Chunk, StreamInfo
    from hookd.transport import Transport
    from hookd.v1.common_pb2 import Payload


class StreamWriter:
    """Appends to one stream of a run.

    Each batch names the position that it wants. A position holds one content
    for ever, so an answer that was lost can be asked for again; and a refusal
    because other chunks are there says that this batch is not, so it can go
    to the new end.
    """

    def __init__(self, transport: Transport, run_id: str, namespace: str) -> None:
        self._transport = transport
        self._run_id = run_id
        self._namespace = namespace
        self._writer_id = new_id("writer")
        self._end = 0
        self._lock = asyncio.Lock()

    async def write(self, values: Sequence[object]) -> int:
        """Appends chunks; returns the index of the first.

        More chunks than one call takes go in several calls.
        """
        chunks = [encode(value, "chunks") for value in values]
        async with self._lock:
            first: int | None = None
            for batch in batches(chunks, lambda item: len(item.data)):
                index = await self._append(batch)
                first = index if first is None else first
            return self._end if first is None else first

    async def _append(self, batch: list[Payload]) -> int:
        while True:
            try:
                response = await self._transport.call(
                    self._transport.streams.WriteChunks,
                    pb.WriteChunksRequest(
                        project=self._transport.project,
                        run_id=self._run_id,
                        namespace=self._namespace,
                        position=self._end,
                        chunks=batch,
                        writer_id=self._writer_id,
                    ),
                )
            except IdReusedError as error:
                # Another writer was faster. The end only grows: else the
                # refusal means something else.
                end = _length(error)
                if end is None or end <= self._end:
                    raise
                self._end = end
            except BaseException as error:
                if not isinstance(error, HookdError) or _may_have_happened(error):
                    # Nobody knows whether the chunks are there. Equal chunks of
                    # the next write must not be taken for these.
                    self._writer_id = new_id("writer")
                raise
            else:
                self._end = response.position + len(batch)
                return response.position


async def read_chunks(
    transport: Transport, run_id: str, namespace: str, start_index: int, *, wait: bool
) -> AsyncGenerator[Chunk]:
    """Gives the chunks of a stream, each once, until no more come.

    Args:
        transport: The connection.
        run_id: The run.
        namespace: Which of its streams.
        start_index: Where to begin; a negative index counts from the end.
        wait: Whether to wait for chunks that are not there yet.
    """
    if start_index < 0:
        # A connection that is lost later must not count from another end.
        streams = await list_streams(transport, run_id)
        wanted = namespace or "default"
        length = next((s.length for s in streams if (s.namespace or "default") == wanted), 0)
        start_index = max(0, length + start_index)
    position = start_index

    def request() -> pb.ReadStreamRequest:
        return pb.ReadStreamRequest(
            project=transport.project,
            run_id=run_id,
            namespace=namespace,
            start_index=position,
            no_wait=not wait,
        )

    follower = Follower(transport, transport.streams.ReadStream, request)
    try:
        while True:
            message = await follower.read()
            match message.WhichOneof("item") if message is not None else None:
                case "chunk" if message is not None:
                    position = message.chunk.index + 1
                    yield chunk(message.chunk)
                case "closed":
                    return
                case _:
                    await follower.reopen()
    finally:
        follower.close()


async def values_of(chunks: AsyncGenerator[Chunk]) -> AsyncGenerator[Any]:
    """Gives the values of chunks."""
    async with aclosing(chunks):
        async for item in chunks:
            yield item.value


async def list_streams(transport: Transport, run_id: str) -> list[StreamInfo]:
    """Lists the streams of a run."""
    response = await transport.call(
        transport.streams.ListStreams,
        pb.ListStreamsRequest(project=transport.project, run_id=run_id),
    )
    return [stream_info(stream) for stream in response.streams]


async def close_stream(transport: Transport, run_id: str, namespace: str) -> None:
    """Says that no more chunks will come."""
    await transport.call(
        transport.streams.CloseStream,
        pb.CloseStreamRequest(project=transport.project, run_id=run_id, namespace=namespace),
    )


def _length(error: IdReusedError) -> int | None:
    length = error.metadata.get("length", "")
    return int(length) if length.isascii() and length.isdecimal() else None


def _may_have_happened(error: HookdError) -> bool:
    # What the daemon refuses did not happen; what it did not answer may have.
    return isinstance(error, UnavailableError | TimeoutError)
