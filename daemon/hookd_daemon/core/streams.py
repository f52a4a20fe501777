"""Streams: chunks that a run writes for readers outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hookd.v1.common_pb2 import Payload

from hookd_daemon.core import keys, topics
from hookd_daemon.core.limits import require_room_for_payload
from hookd_daemon.core.moment import Moment
from hookd_daemon.core.runs import RunState, load_run
from hookd_daemon.errors import IdReusedError, InvalidArgumentError
from hookd_daemon.records.v1.records_pb2 import ChunkRecord, StreamRecord
from hookd_daemon.store.keys import end_of
from hookd_daemon.store.tx import Tx

#: An answer is cut after so many bytes of chunks, but has one at least.
CHUNK_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class StreamView:
    """A stream as it stands.

    Attributes:
        run: its run.
        namespace: its name.
        length: the number of its chunks.
        closed: no more can come: it was closed, or its run has ended.
    """

    run: RunState
    namespace: str
    length: int
    closed: bool


async def _load(tx: Tx, run: RunState, namespace: str) -> StreamRecord:
    value = await tx.get(keys.stream(run.uid, namespace))
    return StreamRecord() if value is None else StreamRecord.FromString(value)


def _save(tx: Tx, run: RunState, namespace: str, stream: StreamRecord) -> None:
    tx.put(keys.stream(run.uid, namespace), stream.SerializeToString())
    tx.notify(topics.stream(run.uid, namespace))


async def write_chunks(
    tx: Tx,
    moment: Moment,
    project: str,
    run_id: str,
    namespace: str,
    position: int | None,
    chunks: Sequence[Payload],
    writer_id: str,
) -> tuple[int, int, bool]:
    """Appends chunks to a stream.

    Returns:
        The index of the first, the length of the stream, and whether the
        chunks were there before.

    Raises:
        RunNotFoundError: there is no such run.
        RunNotActiveError: it has ended.
        IdReusedError: other chunks are at the position.
        InvalidArgumentError: the position is beyond the end, or the stream is closed.
        LimitExceededError: the project keeps as many bytes as it may keep.
        OverdueError: the run's lease has lapsed and it has not been ended yet.
    """
    run = await load_run(tx, moment, project, run_id)
    stream = await _load(tx, run, namespace)
    length = stream.length
    prefix = keys.chunks(run.uid, namespace)
    if position is not None and position < length:
        if await _are_there(tx, prefix, position, chunks, writer_id):
            return position, length, True
        raise IdReusedError(
            f"the stream {namespace} has other chunks at position {position}; it ends at {length}",
            run_id=run_id,
            position=str(position),
            length=str(length),
        )
    run.require_active()
    if stream.closed:
        raise InvalidArgumentError("namespace", f"the stream {namespace} is closed")
    if position is not None and position > length:
        raise InvalidArgumentError(
            "position", f"{position} is beyond the end of the stream, which is {length}"
        )
    size = sum(len(chunk.data) for chunk in chunks)
    await require_room_for_payload(tx, moment.limits, project, size)
    for index, chunk in enumerate(chunks, start=length):
        record = ChunkRecord(payload=chunk, time_ms=moment.now_ms, writer_id=writer_id)
        tx.put(prefix + keys.number(index), record.SerializeToString())
    if chunks:
        run.keep(size)
        if run.begin(moment):
            run.save()
        else:
            run.write()
        stream.length = length + len(chunks)
        _save(tx, run, namespace, stream)
    return length, stream.length, False


async def append_chunks(
    run: RunState, moment: Moment, namespace: str, chunks: Sequence[Payload], *, close: bool
) -> tuple[int, int]:
    """Appends what a workflow writes; to a stream that is closed, nothing.

    Args:
        run: the run.
        moment: when.
        namespace: the stream's name.
        chunks: what to append.
        close: no more will come.

    Returns:
        The index of the first chunk, and how many were written.
    """
    stream = await _load(run.tx, run, namespace)
    position = stream.length
    if stream.closed:
        return position, 0
    prefix = keys.chunks(run.uid, namespace)
    for index, chunk in enumerate(chunks, start=position):
        record = ChunkRecord(payload=chunk, time_ms=moment.now_ms)
        run.tx.put(prefix + keys.number(index), record.SerializeToString())
    run.keep(sum(len(chunk.data) for chunk in chunks))
    stream.length += len(chunks)
    stream.closed = close
    _save(run.tx, run, namespace, stream)
    return position, len(chunks)


async def _are_there(
    tx: Tx, prefix: bytes, position: int, chunks: Sequence[Payload], writer_id: str
) -> bool:
    for index, chunk in enumerate(chunks, start=position):
        value = await tx.get(prefix + keys.number(index))
        if value is None:
            return False
        record = ChunkRecord.FromString(value)
        if record.payload != chunk or record.writer_id != writer_id:
            return False
    return bool(chunks)


async def close_stream(
    tx: Tx, moment: Moment, project: str, run_id: str, namespace: str
) -> tuple[StreamView, bool]:
    """Says that no more chunks will come.

    Returns:
        The stream, and whether that had been said before.

    Raises:
        RunNotFoundError: there is no such run.
        RunNotActiveError: it has ended, and the stream was not closed before.
        OverdueError: the run's lease has lapsed and it has not been ended yet.
    """
    run = await load_run(tx, moment, project, run_id)
    stream = await _load(tx, run, namespace)
    if stream.closed:
        return StreamView(run, namespace, stream.length, closed=True), True
    run.require_active()
    stream.closed = True
    _save(tx, run, namespace, stream)
    return StreamView(run, namespace, stream.length, closed=True), False


async def read_chunks(
    tx: Tx, moment: Moment, project: str, run_id: str, namespace: str, index: int, limit: int
) -> tuple[StreamView, list[tuple[int, ChunkRecord]]]:
    """Reads chunks from an index on; a negative index counts from the end.

    Returns:
        The stream, and the chunks with their indexes.

    Raises:
        RunNotFoundError: there is no such run.
        OverdueError: the run's lease has lapsed and it has not been ended yet.
    """
    run = await load_run(tx, moment, project, run_id)
    stream = await _load(tx, run, namespace)
    view = StreamView(run, namespace, stream.length, stream.closed or not run.active)
    first = max(stream.length + index, 0) if index < 0 else index
    prefix = keys.chunks(run.uid, namespace)
    found: list[tuple[int, ChunkRecord]] = []
    size = 0
    for at in range(first, min(first + limit, stream.length)):
        value = await tx.get(prefix + keys.number(at))
        if value is None:
            raise RuntimeError(f"stream {namespace} of run {run_id} has no chunk {at}")
        size += len(value)
        if found and size > CHUNK_BYTES:
            break
        found.append((at, ChunkRecord.FromString(value)))
    return view, found


async def list_streams(tx: Tx, moment: Moment, project: str, run_id: str) -> list[StreamView]:
    """Reads the streams of a run, at most 1000, by their namespaces.

    Raises:
        RunNotFoundError: there is no such run.
        OverdueError: the run's lease has lapsed and it has not been ended yet.
    """
    run = await load_run(tx, moment, project, run_id)
    prefix = keys.streams(run.uid)
    views = []
    for key, value in await tx.scan(prefix, end_of(prefix), 1000):
        stream = StreamRecord.FromString(value)
        closed = stream.closed or not run.active
        views.append(StreamView(run, key[len(prefix) :].decode(), stream.length, closed))
    return views
