"""Chunks: written in order and once, read without loss or repeat."""

import asyncio

import grpc
import hookd
import pytest
from hookd.v1 import events_pb2, run_service_pb2, stream_service_pb2

from tests.unit.client.fake import refuse

Code = grpc.StatusCode


class Log:
    """One stream, as the daemon keeps it, with faults."""

    def __init__(self, daemon) -> None:
        self.chunks: list[tuple[str, bytes]] = []
        self.closed = False
        self.lose_answers = 0
        self.lose_requests = 0
        self.cut_after: int | None = None
        self.daemon = daemon
        daemon.on(WriteChunks=self.write, ReadStream=self.read, ListStreams=self.list)

    @property
    def data(self) -> list[int]:
        return [int(data) for _, data in self.chunks]

    async def write(self, request, context):
        if self.lose_requests:
            self.lose_requests -= 1
            await refuse(context, Code.UNAVAILABLE)
        new = [(request.writer_id, chunk.data) for chunk in request.chunks]
        at, length = request.position, len(self.chunks)
        if at > length:
            await refuse(context, Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", {})
        duplicate = at < length
        if duplicate and self.chunks[at : at + len(new)] != new:
            await refuse(context, Code.INVALID_ARGUMENT, "ID_REUSED", {"length": str(length)})
        if not duplicate:
            self.chunks += new
        if self.lose_answers:
            self.lose_answers -= 1
            await refuse(context, Code.UNAVAILABLE)
        return stream_service_pb2.WriteChunksResponse(
            position=at, length=len(self.chunks), duplicate=duplicate
        )

    async def list(self, request, context):
        return stream_service_pb2.ListStreamsResponse(
            streams=[stream_service_pb2.Stream(namespace="default", length=len(self.chunks))]
        )

    async def read(self, request, context):
        for sent, index in enumerate(range(request.start_index, len(self.chunks))):
            if self.cut_after is not None and sent == self.cut_after:
                await refuse(context, Code.UNAVAILABLE)
            chunk = stream_service_pb2.StreamChunk(index=index)
            chunk.payload.content_type = "application/json"
            chunk.payload.data = self.chunks[index][1]
            yield stream_service_pb2.ReadStreamResponse(chunk=chunk)
        if self.closed or request.no_wait:
            yield stream_service_pb2.ReadStreamResponse(
                closed=stream_service_pb2.StreamClosed(length=len(self.chunks), final=self.closed)
            )


@pytest.fixture
def log(daemon):
    return Log(daemon)


@pytest.fixture
def run(client):
    return client.get_run("r")


async def test_writes_go_to_the_end(run, log):
    assert [await run.write(0), await run.write(1, 2), await run.write(3)] == [0, 1, 3]
    assert log.data == [0, 1, 2, 3]
    assert await run.write() == 4


async def test_writes_at_once_do_not_mix(run, log):
    await asyncio.gather(*(run.write(n, n) for n in range(10)))
    assert log.data[::2] == log.data[1::2]


async def test_a_lost_answer_is_no_second_chunk(run, log):
    log.lose_answers = 2
    await run.write(1)
    log.lose_requests = 1
    await run.write(1)
    assert log.data == [1, 1]


async def test_two_writers_of_one_stream(client, log):
    one, two = client.get_run("r"), client.get_run("r")
    for _ in range(3):
        await one.write(7)
        await two.write(7)
    log.lose_answers = 1
    await asyncio.gather(one.write(8), two.write(8))
    assert log.data == [7] * 6 + [8] * 2


async def test_a_lost_answer_while_another_writer_goes_on(client, log):
    one, two = client.get_run("r"), client.get_run("r")
    await one.write(1)
    await two.write(2)
    log.lose_requests = 1
    await asyncio.gather(one.write(3), two.write(4))
    assert sorted(log.data) == [1, 2, 3, 4]


async def test_equal_chunks_after_a_write_that_was_given_up_are_new_chunks(client, log):
    run = client.get_run("r")
    write = log.write
    arrived = asyncio.Event()

    async def slow(request, context):
        answer = await write(request, context)
        arrived.set()
        await asyncio.sleep(60)
        return answer

    log.daemon.on(WriteChunks=slow)
    first = asyncio.ensure_future(run.write(5))
    await arrived.wait()
    first.cancel()
    await asyncio.wait([first])
    log.daemon.on(WriteChunks=write)
    assert await run.write(5) == 1
    assert log.data == [5, 5]


async def test_a_refusal_that_says_nothing_about_the_end_is_told(run, daemon):
    async def write(request, context):
        await refuse(context, Code.INVALID_ARGUMENT, "ID_REUSED", {})

    daemon.on(WriteChunks=write)
    with pytest.raises(hookd.IdReusedError):
        await run.write(1)


async def test_many_chunks_go_in_several_calls(run, log, daemon):
    await run.write(*range(2500))
    assert log.data == list(range(2500))
    assert [len(r.chunks) for r in daemon.requests("WriteChunks")] == [1024, 1024, 452]


async def test_readers_neither_lose_nor_repeat(run, log):
    await run.write(*range(10))
    log.closed = True
    log.cut_after = 3
    assert [value async for value in run.readable()] == list(range(10))


async def test_a_stream_that_ends_without_a_word_is_opened_again(run, log):
    await run.write(0, 1)
    reader = run.readable()
    assert [await anext(reader), await anext(reader)] == [0, 1]
    await run.write(2)
    log.closed = True
    assert [value async for value in reader] == [2]


async def test_reading_from_an_index_and_from_the_end(run, log):
    await run.write(*range(5))
    log.cut_after = 1

    async def read(start):
        return [(c.index, c.value) async for c in run.chunks(start_index=start, wait=False)]

    assert await read(3) == [(3, 3), (4, 4)]
    assert await read(-2) == [(3, 3), (4, 4)]
    assert await read(-99) == [(n, n) for n in range(5)]
    assert await read(5) == []


async def test_a_watch_goes_on_where_it_was_cut(run, daemon):
    def event(seq, **data):
        return run_service_pb2.WatchRunResponse(event=events_pb2.Event(seq=seq, **data))

    async def watch(request, context):
        for seq in range(request.after_seq + 1, 6):
            last = {"run_completed": events_pb2.RunCompleted()} if seq == 5 else {}
            yield event(seq, **last)
            if seq == 2:
                await refuse(context, Code.UNAVAILABLE)
            if seq == 4:
                return  # as a daemon that goes down might

    daemon.on(WatchRun=watch)
    assert [e.seq async for e in run.watch()] == [1, 2, 3, 4, 5]
    assert [e.seq async for e in run.watch(after=5)] == []
    assert [e.type async for e in run.watch(after=4)] == ["run_completed"]
