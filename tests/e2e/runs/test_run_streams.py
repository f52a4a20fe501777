"""``run_stream``: chunks that a run writes, read from anywhere, by anyone, again."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hookd.v1.common_pb2 import RUN_STATUS_RUNNING
from hookd.v1.stream_service_pb2 import (
    CloseStreamRequest,
    CloseStreamResponse,
    ListStreamsRequest,
    ReadStreamRequest,
    ReadStreamResponse,
    WriteChunksRequest,
    WriteChunksResponse,
)

from tests.support.api import Api, json_payload, refusal
from tests.support.concurrency import at_once
from tests.support.daemon import Daemon


def write(api: Api, *texts: str, **more: Any) -> WriteChunksResponse:
    """Appends chunks to a stream of the run "r"."""
    request = WriteChunksRequest(
        project=api.project, run_id="r", chunks=[json_payload(text) for text in texts], **more
    )
    return api.streams.WriteChunks(request)


def read(api: Api, **more: Any) -> Iterator[ReadStreamResponse]:
    """Reads a stream of the run "r"."""
    request = ReadStreamRequest(project=api.project, run_id="r", **more)
    return api.streams.ReadStream(request, timeout=30)  # type: ignore[no-any-return]


def texts_of(items: Iterator[ReadStreamResponse], count: int = 10_000) -> list[str]:
    """The next chunks, at most so many; their indexes are checked to be dense."""
    texts: list[str] = []
    first = None
    while len(texts) < count:
        item = next(items)
        if item.HasField("closed"):
            break
        first = item.chunk.index if first is None else first
        assert item.chunk.index == first + len(texts)
        texts.append(item.chunk.payload.data.decode())
    return texts


def close(api: Api, namespace: str = "") -> CloseStreamResponse:
    """Closes a stream of the run "r"."""
    request = CloseStreamRequest(project=api.project, run_id="r", namespace=namespace)
    return api.streams.CloseStream(request)


@pytest.fixture
def five(api: Api) -> Api:
    """A run "r" with the chunks 0 to 4 in its stream."""
    api.start("r")
    write(api, "0", "1", "2")
    write(api, "3", "4")
    return api


@pytest.mark.parametrize(
    ("start", "expected"),
    [(0, "01234"), (2, "234"), (4, "4"), (5, ""), (9, ""), (-1, "4"), (-3, "234"), (-9, "01234")],
)
def test_run_stream_from_an_index(five: Api, start: int, expected: str) -> None:
    items = list(read(five, start_index=start, no_wait=True))
    assert "".join(item.chunk.payload.data.decode() for item in items[:-1]) == expected
    indexes = [item.chunk.index for item in items[:-1]]
    assert indexes == list(range(5 - len(expected), 5))
    assert (items[-1].closed.length, items[-1].closed.final) == (5, False)


def test_run_stream_is_read_as_it_grows(five: Api) -> None:
    items = read(five, start_index=3)
    assert texts_of(items, 2) == ["3", "4"]
    for i in range(5, 10):
        write(five, str(i))
        assert texts_of(items, 1) == [str(i)]
    close(five)
    last = next(items)
    assert (last.closed.length, last.closed.final) == (10, True)


def test_run_stream_from_beyond_the_end_waits_for_it(five: Api) -> None:
    items = read(five, start_index=6)
    with ThreadPoolExecutor(1) as pool:
        seen = pool.submit(texts_of, items, 1)
        write(five, "5", "6")
        assert seen.result(30) == ["6"]
    items.cancel()  # type: ignore[attr-defined]


def test_run_stream_negative_index_counts_from_the_end_at_the_call(five: Api) -> None:
    items = read(five, start_index=-2)
    assert texts_of(items, 1) == ["3"]
    write(five, "5", "6")
    assert texts_of(items, 3) == ["4", "5", "6"]
    items.cancel()  # type: ignore[attr-defined]


def test_run_stream_two_readers(five: Api) -> None:
    """Each gets everything, at its own pace, while it is written."""
    readers = [read(five) for _ in range(4)]
    assert texts_of(readers[0], 2) == ["0", "1"]
    with ThreadPoolExecutor(4) as pool:
        rest = [pool.submit(texts_of, reader) for reader in readers]
        for i in range(5, 105):
            write(five, str(i))
        five.complete("r")
        whole = [str(i) for i in range(105)]
        assert rest[0].result(30) == whole[2:]
        assert [reader.result(30) for reader in rest[1:]] == [whole] * 3


def test_run_stream_reader_that_reconnects(daemon: Daemon) -> None:
    """It goes on after the last index that came, also over a crash."""
    api = Api(daemon.channel(), "p")
    api.start("r")
    write(api, "0", "1", "2")
    items = read(api)
    assert texts_of(items, 2) == ["0", "1"]
    daemon.restart()
    api = Api(daemon.channel(), "p")
    assert api.run("r").status == RUN_STATUS_RUNNING
    items = read(api, start_index=2)
    assert texts_of(items, 1) == ["2"]
    assert write(api, "3", position=3).length == 4
    assert texts_of(items, 1) == ["3"]
    items.cancel()  # type: ignore[attr-defined]


def test_run_stream_namespaces_are_apart(api: Api) -> None:
    api.start("r")
    write(api, "d")
    write(api, "a", "b", namespace="logs")
    write(api, "x", namespace="logs2")
    close(api, "logs")
    for namespace, expected, final in (("", "d", False), ("logs", "ab", True), ("none", "", False)):
        items = list(read(api, namespace=namespace, no_wait=True))
        assert "".join(i.chunk.payload.data.decode() for i in items[:-1]) == expected
        assert items[-1].closed.final is final
    listed = api.streams.ListStreams(ListStreamsRequest(project=api.project, run_id="r")).streams
    assert [(s.namespace, s.length, s.closed) for s in listed] == [
        ("default", 1, False),
        ("logs", 2, True),
        ("logs2", 1, False),
    ]
    # "default" is what an empty namespace means.
    assert write(api, "e", namespace="default").length == 2


def test_run_stream_close(five: Api) -> None:
    first = close(five)
    assert (first.already_closed, first.stream.length, first.stream.closed) == (False, 5, True)
    assert close(five).already_closed
    told = refusal(write, five, "5")
    assert (told.reason, list(told.fields)) == ("INVALID_ARGUMENT", ["namespace"])
    # A retry of what was written before is no write.
    assert write(five, "3", "4", position=3).duplicate
    items = list(read(five, start_index=-1))
    assert len(items) == 2
    assert items[-1].closed.final


@pytest.mark.parametrize("end", ["complete", "fail", "cancel"])
def test_run_stream_ends_with_its_run(five: Api, end: str) -> None:
    items = read(five)
    assert len(texts_of(items, 5)) == 5
    {"complete": five.complete, "fail": five.fail, "cancel": five.cancel}[end]("r")
    (last,) = list(items)
    assert (last.closed.length, last.closed.final) == (5, True)
    assert refusal(write, five, "5").reason == "RUN_NOT_ACTIVE"
    assert refusal(close, five).reason == "RUN_NOT_ACTIVE"
    assert write(five, "3", "4", position=3).duplicate
    (listed,) = five.streams.ListStreams(
        ListStreamsRequest(project=five.project, run_id="r")
    ).streams
    assert (listed.length, listed.closed) == (5, True)
    # Read after the end, and a stream that was never written.
    assert texts_of(read(five)) == ["0", "1", "2", "3", "4"]
    (nothing,) = list(read(five, namespace="never"))
    assert (nothing.closed.length, nothing.closed.final) == (0, True)


def test_run_stream_positions_are_keys_of_retries(five: Api) -> None:
    assert write(five, "5", position=5).position == 5
    again = write(five, "5", position=5)
    assert (again.position, again.length, again.duplicate) == (5, 6, True)
    part = write(five, "1", "2", position=1)
    assert (part.position, part.duplicate) == (1, True)
    told = refusal(write, five, "x", position=5)
    assert (told.reason, told.metadata["length"]) == ("ID_REUSED", "6")
    # Partly there is not there.
    assert refusal(write, five, "5", "6", position=5).reason == "ID_REUSED"
    assert refusal(write, five, "5", position=5, writer_id="w").reason == "ID_REUSED"
    told = refusal(write, five, "9", position=9)
    assert (told.reason, list(told.fields)) == ("INVALID_ARGUMENT", ["position"])
    assert texts_of(read(five, no_wait=True)) == ["0", "1", "2", "3", "4", "5"]


def test_run_stream_writers_at_once(api: Api) -> None:
    """Every chunk is there once, those of one call side by side, in the writer's order."""
    api.start("r")

    def work(i: int) -> None:
        for k in range(10):
            write(api, f"{i}:{k}a", f"{i}:{k}b")

    at_once(8, work)
    chunks = texts_of(read(api, no_wait=True))
    assert len(chunks) == len(set(chunks)) == 160
    for at in range(0, 160, 2):
        assert chunks[at][:-1] == chunks[at + 1][:-1]
    for i in range(8):
        mine = [c for c in chunks if c.startswith(f"{i}:") and c.endswith("a")]
        assert mine == [f"{i}:{k}a" for k in range(10)]


def test_run_stream_of_an_unknown_run(api: Api) -> None:
    for call in (
        lambda: write(api, "0"),
        lambda: list(read(api)),
        lambda: close(api),
        lambda: api.streams.ListStreams(ListStreamsRequest(project=api.project, run_id="r")),
    ):
        assert refusal(call).reason == "RUN_NOT_FOUND"


def test_run_stream_of_large_chunks(api: Api) -> None:
    """More than one answer of the store, and 4 MiB in one chunk."""
    api.start("r")
    sizes = [4 << 20, 1, 3 << 20, 3 << 20, 0]
    for size in sizes:
        write(api, "x" * size)
    got = [len(text) for text in texts_of(read(api, no_wait=True))]
    assert got == sizes
