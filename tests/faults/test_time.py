"""Clocks that are set, and a daemon that is stopped: what was promised to last, lasts that long."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from hookd.v1.common_pb2 import RUN_STATUS_FAILED, RUN_STATUS_RUNNING, HookSpec
from hookd.v1.hook_service_pb2 import CreateHookRequest, ResumeHookRequest
from hookd.v1.run_service_pb2 import KeepAliveRequest

from tests.support.api import Api, Refusal, json_payload, refusal, seconds
from tests.support.concurrency import eventually
from tests.support.faulty import FaultyDaemon

HOUR = 3600.0
#: How late an end may be on a machine that is busy, in seconds.
LATE = 10.0
#: A lease that does not end within a test, in seconds.
KEPT = 60.0


@pytest.fixture
def faulty(tmp_path: Path) -> Iterator[FaultyDaemon]:
    """A daemon whose wall clock can be set."""
    with FaultyDaemon(tmp_path) as daemon:
        yield daemon


def pass_time(since: float, length: float) -> None:
    """Waits until so many seconds have passed since then; time is what is tested here."""
    threading.Event().wait(max(since + length - time.monotonic(), 0))


def keep_alive(api: Api, run_id: str) -> float:
    """Renews a lease; returns its end, in seconds since 1970."""
    request = KeepAliveRequest(project=api.project, run_id=run_id)
    return api.runs.KeepAlive(request).lease_expires_at.ToNanoseconds() / 1e9


@pytest.mark.parametrize("ahead", [HOUR, -HOUR], ids=["forward", "back"])
def test_the_wall_clock_is_set_while_the_daemon_runs(faulty: FaultyDaemon, ahead: float) -> None:
    """Leases, ttl and hold last as long as was promised, and not a moment less."""
    api = Api(faulty.channel(), "p")
    api.start("other")
    length = 1.5
    begin = time.monotonic()
    leased = api.start("leased", lease_ttl=seconds(length), claims=[HookSpec(token="lease")]).run
    api.start("kept", lease_ttl=seconds(KEPT))
    api.start("hooks")
    api.claim("hooks", "ttl", "ttl", ttl=seconds(length))
    api.start("held")
    api.claim("held", "hold", hold_after=seconds(length))
    api.complete("held")
    faulty.set_wall_clock(ahead)
    # All of it is still taken, and a lease can be renewed.
    for token, owner in {"lease": "leased", "ttl": "hooks", "hold": "held"}.items():
        try:
            assert api.hook(token).run_id == owner
        except grpc.RpcError:
            assert time.monotonic() >= begin + length, "freed before its time"
    assert abs(keep_alive(api, "kept") - time.time() - KEPT) < LATE
    pass_time(begin, length / 2)
    faulty.set_wall_clock(-ahead)
    # And all of it ends after its time, by itself.
    ended = api.ended("leased")
    assert ended.failure.type == "LEASE_EXPIRED"
    lasted = (ended.ended_at.ToNanoseconds() - leased.created_at.ToNanoseconds()) / 1e9
    assert length <= lasted < length + LATE
    for token in ("lease", "ttl", "hold"):
        eventually(lambda token=token: refused(api, token))
        assert api.claim("other", token).hook.run_id == "other"
    assert api.run("kept").status == RUN_STATUS_RUNNING


def test_the_wall_clock_is_ahead_at_a_restart(faulty: FaultyDaemon) -> None:
    """A ttl has passed then; a lease has its full time again."""
    api = Api(faulty.channel(), "p")
    api.start("other")
    api.start("run")
    api.claim("run", "ttl", "h", ttl=seconds(60))
    api.start("leased", lease_ttl=seconds(60), claims=[HookSpec(token="lease")])
    faulty.kill()
    faulty.set_wall_clock(HOUR)
    faulty.start()
    api = Api(faulty.channel(), "p")
    assert api.claim("other", "ttl").hook.run_id == "other"
    assert refusal(api.claim, "other", "lease").conflict.run_id == "leased"
    assert api.run("leased").status == RUN_STATUS_RUNNING
    # The log goes on in the order of its positions, and in that of its times.
    assert api.events("run")[-1] == "hook_disposed"


def test_the_wall_clock_is_behind_at_a_restart(faulty: FaultyDaemon) -> None:
    """What is there works on; a ttl is longer by as much, as promised. Revisions only grow."""
    api = Api(faulty.channel(), "p")
    api.start("run")
    first = api.claim("run", "a", "a", ttl=seconds(2)).hook
    begin = time.monotonic()
    faulty.kill()
    faulty.set_wall_clock(-HOUR)
    faulty.start()
    api = Api(faulty.channel(), "p")
    pass_time(begin, 2.2)
    assert api.hook("a").revision == first.revision
    second = api.claim("run", "b", "b", ttl=seconds(0.3)).hook
    assert second.revision > first.revision
    assert second.created_at.ToNanoseconds() < first.created_at.ToNanoseconds()
    # What is new counts by the new clock.
    eventually(lambda: refused(api, "b"))
    assert [e.seq for e in api.log("run")] == list(range(1, len(api.log("run")) + 1))


def refused(api: Api, token: str) -> bool:
    """Whether no hook has a token."""
    try:
        api.hook(token)
    except grpc.RpcError as error:
        return Refusal(error).reason == "HOOK_NOT_FOUND"
    return False


def test_stopped_across_the_end_of_a_lease(faulty: FaultyDaemon) -> None:
    """On waking, nothing is as if no time had passed, whichever call is read first."""
    api = Api(faulty.channel(), "p")
    length = 0.8
    api.start("other")
    api.start("quick", lease_ttl=seconds(length), claims=[HookSpec(token="lease")])
    api.start("hooks")
    api.claim("hooks", "ttl", "h", ttl=seconds(length))
    api.start("held")
    api.claim("held", "hold", hold_after=seconds(length))
    api.complete("held")
    begin = time.monotonic()
    faulty.stop()
    # Calls that wait in the socket: a renewal that comes too late, claims, a payload.
    renewal = api.runs.KeepAlive.future(KeepAliveRequest(project="p", run_id="quick"))
    claims = [
        api.hooks.CreateHook.future(
            CreateHookRequest(
                project="p", run_id="other", hook=HookSpec(hook_id=token, token=token)
            )
        )
        for token in ("lease", "ttl", "hold")
    ]
    payload = api.hooks.ResumeHook.future(
        ResumeHookRequest(project="p", token="ttl", payload_id="x", payload=json_payload("1"))
    )
    pass_time(begin, length + 0.2)
    assert not renewal.done()
    faulty.go_on()
    told = Refusal(renewal.exception(60))
    assert (told.reason, told.metadata["status"]) == ("RUN_NOT_ACTIVE", "failed")
    for claim in claims:
        assert claim.result(60).hook.run_id == "other"
    # Before or after the claim of its new owner, but never to the hook that has expired.
    late = payload.exception(60)
    if late is None:
        assert payload.result().run_id == "other"
    else:
        assert Refusal(late).reason == "HOOK_NOT_FOUND"
    run = api.run("quick")
    assert (run.status, run.failure.type) == (RUN_STATUS_FAILED, "LEASE_EXPIRED")
    assert api.payloads("hooks", "h", 1) == []


def test_stopped_within_a_lease(faulty: FaultyDaemon) -> None:
    """A stop that is shorter than the lease takes nothing from anybody."""
    api = Api(faulty.channel(), "p")
    api.start("run", lease_ttl=seconds(60), claims=[HookSpec(token="t")])
    faulty.stop()
    renewal = api.runs.KeepAlive.future(KeepAliveRequest(project="p", run_id="run"))
    pass_time(time.monotonic(), 0.3)
    faulty.go_on()
    assert renewal.result(60).HasField("lease_expires_at")
    assert api.hook("t").run_id == "run"
