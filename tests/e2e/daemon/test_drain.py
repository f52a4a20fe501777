"""SIGTERM: the daemon says that it goes, ends what waits, answers what runs, and exits 0."""

from __future__ import annotations

import itertools
import json
import os
import queue
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from hookd.v1.admin_service_pb2 import CompactRequest, GetStatsRequest
from hookd.v1.common_pb2 import HookSpec, Payload
from hookd.v1.hook_service_pb2 import (
    ClaimStreamRequest,
    CreateHooksRequest,
    GetHookRequest,
    HookClaim,
    HookRef,
    ReceivePayloadsRequest,
    ResumeHookRequest,
)
from hookd.v1.run_service_pb2 import AwaitRunRequest, GetRunRequest, WatchRunRequest
from hookd.v1.stream_service_pb2 import ReadStreamRequest

from tests.support.api import Api, Refusal, refusal, seconds
from tests.support.daemon import PATIENCE, Daemon, running

SERVING = HealthCheckResponse.SERVING
NOT_SERVING = HealthCheckResponse.NOT_SERVING


class HealthWatch:
    """Watches the health of the whole daemon from a channel of its own."""

    def __init__(self, daemon: Daemon) -> None:
        self._stream = HealthStub(daemon.channel()).Watch(HealthCheckRequest())
        self._seen: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        try:
            for response in self._stream:
                self._seen.put(response.status)
        except grpc.RpcError as error:
            self._seen.put(error.code())

    def next(self) -> Any:
        """The next status, or the code with which the stream ended."""
        return self._seen.get(timeout=PATIENCE)

    def leave(self) -> None:
        """Ends the stream."""
        self._stream.cancel()


def in_background(work: Callable[[], Any]) -> Callable[[], Any]:
    """Runs ``work`` in a thread; the answer waits for it and returns what it gave or raised."""
    results: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def run() -> None:
        try:
            results.put(work())
        except Exception as error:  # noqa: BLE001 - the caller looks at it
            results.put(error)

    threading.Thread(target=run, daemon=True).start()
    return lambda: results.get(timeout=PATIENCE)


def open_streams(daemon: Daemon, api: Api) -> int:
    """How many streams and waits the daemon says are open."""
    with urllib.request.urlopen(f"http://{daemon.http}/metrics", timeout=PATIENCE) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith("hookd_streams_open"):
                return round(float(line.rpartition(" ")[2]))
    raise AssertionError("hookd_streams_open is not among the metrics")


def wait_until(true: Callable[[], bool]) -> None:
    """Asks again and again."""
    for _ in range(2000):
        if true():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it did not come to be")


Opener = Callable[[Api], Any]


def _watch_run(api: Api) -> Any:
    return api.runs.WatchRun(WatchRunRequest(run_id="waiting"))


def _receive_payloads(api: Api) -> Any:
    ref = HookRef(run_id="waiting", hook_id="hook")
    return api.hooks.ReceivePayloads(ReceivePayloadsRequest(ref=ref))


def _read_stream(api: Api) -> Any:
    return api.streams.ReadStream(ReadStreamRequest(run_id="waiting"))


def _idle_claim_stream(api: Api) -> Any:
    never = threading.Event()

    def requests() -> Iterator[ClaimStreamRequest]:
        yield ClaimStreamRequest(batch_id=1)
        never.wait(PATIENCE)

    return api.hooks.ClaimStream(requests())


def _busy_claim_stream(api: Api) -> Any:
    def requests() -> Iterator[ClaimStreamRequest]:
        for number in itertools.count(1):
            hook = HookSpec(hook_id=f"{number}", token=f"{number}")
            claim = HookClaim(run_id="waiting", hook=hook)
            yield ClaimStreamRequest(batch_id=number, hooks=[claim])

    return api.hooks.ClaimStream(requests())


def _drained(stream: Any) -> Any:
    for _ in stream:
        pass
    return "ended without a status"


@pytest.mark.parametrize(
    "open_stream",
    [_watch_run, _receive_payloads, _read_stream, _idle_claim_stream, _busy_claim_stream],
)
def test_an_open_stream_ends_with_a_retryable_status(tmp_path: Path, open_stream: Opener) -> None:
    """At once: a client that waits would otherwise take the whole drain timeout."""
    with running(tmp_path, "--drain-timeout=1h") as daemon:
        api = Api(daemon.channel())
        api.start("waiting")
        api.claim("waiting", "waiting-token", "hook")
        ended = in_background(lambda: _drained(open_stream(api)))
        wait_until(lambda: open_streams(daemon, api) == 1)
        status = daemon.terminate()
        told = Refusal(ended())
        assert (told.code, told.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
        assert status == 0


WAITS: dict[str, Callable[[Api], Any]] = {
    "AwaitRun": lambda api: api.runs.AwaitRun(AwaitRunRequest(run_id="waiting", wait=seconds(300))),
    "GetHook": lambda api: api.hooks.GetHook(GetHookRequest(token="none", wait=seconds(300))),
    "ResumeHook": lambda api: api.hooks.ResumeHook(
        ResumeHookRequest(token="none", wait=seconds(300))
    ),
}


@pytest.mark.parametrize("wait", WAITS)
def test_a_long_wait_ends_with_a_retryable_status(tmp_path: Path, wait: str) -> None:
    """As the streams do."""
    with running(tmp_path, "--drain-timeout=1h") as daemon:
        api = Api(daemon.channel())
        api.start("waiting")
        ended = in_background(lambda: WAITS[wait](api))
        wait_until(lambda: open_streams(daemon, api) == 1)
        status = daemon.terminate()
        told = Refusal(ended())
        assert (told.code, told.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
        assert status == 0


def test_a_health_watch_is_told_and_does_not_hold_the_daemon_up(tmp_path: Path) -> None:
    """A load balancer watches as long as it lives: the drain must not wait for it to leave."""
    with running(tmp_path, "--drain-timeout=1h") as daemon:
        watch = HealthWatch(daemon)
        assert watch.next() == SERVING
        assert daemon.terminate() == 0
        assert watch.next() == NOT_SERVING


def test_a_call_in_flight_is_answered_and_new_ones_are_not(tmp_path: Path) -> None:
    """Compaction is the call that takes long enough to be in flight."""
    with running(tmp_path, "--drain-timeout=1h") as daemon:
        api = Api(daemon.channel())
        api.start("busy")
        api.claim("busy", "busy-token", "hook")
        for i in range(16):
            api.hooks.ResumeHook(
                ResumeHookRequest(
                    token="busy-token",
                    payload_id=f"{i}",
                    payload=Payload(data=os.urandom(4 * 1024 * 1024)),
                )
            )
        watch = HealthWatch(daemon)
        assert watch.next() == SERVING
        compacting = Api(daemon.channel())
        answer = in_background(lambda: compacting.admin.Compact(CompactRequest()))
        wait_until(lambda: api.admin.GetStats(GetStatsRequest()).calls_in_flight == 2)

        stopped = in_background(daemon.terminate)
        assert watch.next() == NOT_SERVING
        with pytest.raises(urllib.error.HTTPError) as not_ready:
            urllib.request.urlopen(f"http://{daemon.http}/readyz", timeout=PATIENCE)
        assert not_ready.value.code == 503
        assert json.load(not_ready.value)["reason"] == "draining"
        told = refusal(api.runs.GetRun, GetRunRequest(run_id="busy"), timeout=PATIENCE)
        assert told.code == grpc.StatusCode.UNAVAILABLE
        watch.leave()

        answered = answer()
        assert not isinstance(answered, Exception), answered
        assert answered.bytes_after > 60 * 1024 * 1024
        assert stopped() == 0


def test_under_load_every_call_is_answered_or_refused_and_what_was_answered_is_there(
    tmp_path: Path,
) -> None:
    """No call hangs, none is cut off without an answer that can be retried."""
    clients, batch = 6, 64
    with running(tmp_path) as daemon:
        Api(daemon.channel()).start("loaded")
        begun = threading.Semaphore(0)

        def load(number: int) -> tuple[list[str], grpc.RpcError]:
            api, answered = Api(daemon.channel()), []
            while True:
                tokens = [f"{number}-{len(answered) + i}" for i in range(batch)]
                hooks = [
                    HookClaim(run_id="loaded", hook=HookSpec(hook_id=token, token=token))
                    for token in tokens
                ]
                try:
                    response = api.hooks.CreateHooks(
                        CreateHooksRequest(hooks=hooks), timeout=PATIENCE
                    )
                except grpc.RpcError as error:
                    return answered, error
                assert [result.claimed.token for result in response.results] == tokens
                answered += tokens
                begun.release()

        with ThreadPoolExecutor(clients) as pool:
            loads = [pool.submit(load, number) for number in range(clients)]
            for _ in range(clients * 3):
                assert begun.acquire(timeout=PATIENCE)
            assert daemon.terminate() == 0
            ends = [each.result(PATIENCE) for each in loads]
        assert [error.code() for _, error in ends] == [grpc.StatusCode.UNAVAILABLE] * clients

        daemon.start()
        api = Api(daemon.channel())
        for answered, _ in ends:
            assert answered
            for token in answered:
                assert api.hook(token).hook_id == token


def test_a_drained_daemon_finds_everything_again(tmp_path: Path) -> None:
    """And says that it stopped in good order."""
    with running(tmp_path) as daemon:
        api = Api(daemon.channel())
        api.start("kept", lease_ttl=seconds(3600))
        revision = api.claim("kept", "kept-token", "hook").hook.revision
        api.resume("kept-token", '"before"', "first")
        assert daemon.terminate() == 0
        events = [json.loads(line)["event"] for line in daemon.log.splitlines()]
        assert events[-2:] == ["draining", "stopped"]

        daemon.start()
        api = Api(daemon.channel())
        hook = api.hook("kept-token")
        assert (hook.run_id, hook.revision, hook.payload_count) == ("kept", revision, 1)
        assert api.resume("kept-token", '"before"', "first").duplicate
        assert api.payloads("kept", "hook", 1) == ['"before"']


def test_the_drain_ends_when_its_time_is_up(tmp_path: Path) -> None:
    """A call that takes longer is cut off, and the data is whole all the same."""
    with running(tmp_path, "--drain-timeout=0") as daemon:
        api = Api(daemon.channel())
        api.start("cut")
        api.claim("cut", "cut-token", "hook")
        ended = in_background(lambda: _drained(_watch_run_of(api, "cut")))
        wait_until(lambda: open_streams(daemon, api) == 1)
        assert daemon.terminate() == 0
        assert isinstance(ended(), grpc.RpcError)
        daemon.start()
        assert Api(daemon.channel()).hook("cut-token").run_id == "cut"


def _watch_run_of(api: Api, run_id: str) -> Any:
    return api.runs.WatchRun(WatchRunRequest(run_id=run_id))
