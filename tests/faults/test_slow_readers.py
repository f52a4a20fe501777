"""Readers of streams that do not read: what the daemon holds for each is bounded."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from hookd.v1.common_pb2 import Payload
from hookd.v1.hook_service_pb2 import HookRef, ReceivePayloadsRequest, ResumeHookRequest
from hookd.v1.run_service_pb2 import WatchRunRequest
from hookd.v1.stream_service_pb2 import ReadStreamRequest, WriteChunksRequest

from tests.support.api import Api, Refusal
from tests.support.concurrency import eventually
from tests.support.daemon import Daemon
from tests.support.faulty import FaultyDaemon

MIB = 1 << 20
#: What there is to read in each stream.
COUNT, SIZE = 40, 512 * 1024
READERS_OF_EACH = 8
#: After so many seconds a reader that takes nothing is slow.
PATIENCE_S = 2.0

#: Opens a stream behind a position, and tells the position of an item.
OPENERS: dict[str, tuple[Callable[[Api, int], Any], Callable[[Any], int]]] = {
    "chunks": (
        lambda api, after: api.streams.ReadStream(
            ReadStreamRequest(project=api.project, run_id="run", start_index=after)
        ),
        lambda item: item.chunk.index + 1,
    ),
    "payloads": (
        lambda api, after: api.hooks.ReceivePayloads(
            ReceivePayloadsRequest(
                project=api.project,
                ref=HookRef(run_id="run", hook_id="hook"),
                after_payload_seq=after,
            )
        ),
        lambda item: item.payload.payload_seq,
    ),
    "events": (
        lambda api, after: api.runs.WatchRun(
            WatchRunRequest(project=api.project, run_id="run", after_seq=after)
        ),
        lambda item: item.event.seq,
    ),
}


@pytest.fixture
def full(tmp_path: Path) -> Iterator[FaultyDaemon]:
    """A daemon with a run that has 20 MiB in each kind of stream; its patience is short."""
    constants = {"hookd_daemon.api.transport:SLOW_READER_S": PATIENCE_S}
    with FaultyDaemon(tmp_path, constants=constants) as daemon:
        api = Api(daemon.channel(), "p")
        api.start("run")
        api.claim("run", "token", "hook")
        for number in range(COUNT):
            payload = Payload(content_type="x", data=number.to_bytes(4, "big") * (SIZE // 4))
            api.hooks.ResumeHook(
                ResumeHookRequest(
                    project="p", token="token", payload_id=str(number), payload=payload
                )
            )
            api.streams.WriteChunks(
                WriteChunksRequest(project="p", run_id="run", position=number, chunks=[payload])
            )
        # What the store keeps in memory is not what is measured.
        daemon.restart()
        yield daemon


def resident(daemon: Daemon) -> int:
    """The memory of the process, in bytes."""
    status = Path(f"/proc/{daemon.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


def small_window(daemon: Daemon) -> grpc.Channel:
    """A channel of a reader that does not let the daemon send ahead, beyond the least."""
    return grpc.insecure_channel(
        daemon.address,
        options=[("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0)],
    )


def test_readers_that_do_not_read(full: FaultyDaemon) -> None:
    """Each costs a page at most, and nobody else is kept from anything."""
    api = Api(full.channel(), "p")
    # Once read, so that the caches are filled.
    for opener, _ in OPENERS.values():
        for _ in zip(range(COUNT), opener(api, 0), strict=False):
            pass
    before = resident(full)
    channels = [small_window(full) for _ in range(READERS_OF_EACH)]
    streams = [
        opener(Api(channel, "p"), 0) for channel in channels for opener, _ in OPENERS.values()
    ]
    for stream in streams:
        next(stream)
    for number in range(100):
        assert api.claim("run", f"t{number}").hook.run_id == "run"
    grown = resident(full) - before
    # A page is at most 2 MiB, and parsed and written it is there once more.
    assert grown < len(streams) * 6 * MIB < len(streams) * COUNT * SIZE
    for channel in channels:
        channel.close()


def test_a_reader_that_is_too_slow_goes_on_where_it_was(full: FaultyDaemon) -> None:
    """Its stream is ended; what it has, and what it asks for then, are all, each once."""
    channel = small_window(full)
    api = Api(channel, "p")
    slow = {name: opener(api, 0) for name, (opener, _) in OPENERS.items()}
    first = {name: next(stream) for name, stream in slow.items()}
    eventually(lambda: open_streams(full) == len(slow))
    eventually(lambda: open_streams(full) == 0)
    for name, stream in slow.items():
        opener, position = OPENERS[name]
        found = [position(first[name])]

        def take(
            item: Any, found: list[int] = found, position: Callable[[Any], int] = position
        ) -> None:
            found.append(position(item))

        told = Refusal(read_until_ended(stream, take))
        assert (told.code, told.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
        assert "open it again" in told.message
        last = 0 if name == "events" else COUNT
        assert found[-1] < (last or api.run("run").last_seq)
        for item in opener(api, found[-1]):
            found.append(position(item))
            if found[-1] == (last or api.run("run").last_seq):
                break
        assert found == list(range(1, found[-1] + 1))
    channel.close()


def read_until_ended(stream: Any, take: Callable[[Any], None]) -> grpc.RpcError:
    """Reads what comes; returns with what the stream was ended."""
    try:
        for item in stream:
            take(item)
    except grpc.RpcError as error:
        return error
    raise AssertionError("the stream has come to its end")


def open_streams(daemon: Daemon) -> int:
    """How many streams the daemon answers."""
    with urllib.request.urlopen(f"http://{daemon.http}/metrics", timeout=30) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith("hookd_streams_open "):
                return int(float(line.split()[-1]))
    raise AssertionError("the daemon does not count its streams")
