"""``run_lease``: a service that dies loses its run, and its tokens, at the deadline."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc
import pytest
from hookd.v1.admin_service_pb2 import GetStatsRequest
from hookd.v1.common_pb2 import RUN_STATUS_FAILED, RUN_STATUS_RUNNING, HookSpec
from hookd.v1.run_service_pb2 import KeepAliveRequest

from tests.support.api import Api, refusal, seconds
from tests.support.concurrency import eventually
from tests.support.daemon import Daemon

HOLDER = Path(__file__).with_name("lease_holder.py")
#: How late the end of a lease may be on a machine that is busy.
LATE_NS = 5_000_000_000


def keep_alive(api: Api, run_id: str) -> int:
    """Renews a lease; returns its end."""
    request = KeepAliveRequest(project=api.project, run_id=run_id)
    return api.runs.KeepAlive(request).lease_expires_at.ToNanoseconds()


def sleep_until(nanoseconds: int) -> None:
    """Waits for a time, which is the thing itself here."""
    threading.Event().wait(max(nanoseconds - time.time_ns(), 0) / 1e9)


def test_run_lease_of_a_client_that_is_killed(api: Api, shared_daemon: Daemon) -> None:
    api.start("other")
    arguments = [shared_daemon.address, api.project, "r", "t", "600"]
    with subprocess.Popen(
        [sys.executable, str(HOLDER), *arguments], stdout=subprocess.PIPE, text=True
    ) as client:
        try:
            assert client.stdout is not None
            first = int(client.stdout.readline())
            # Well beyond its first deadline it is alive, for it is kept so.
            while (end := int(client.stdout.readline())) < first + 1_200_000_000:
                pass
            assert api.hook("t").run_id == "r"
        finally:
            client.kill()
            client.wait()
    run = api.run("r")
    assert run.status == RUN_STATUS_RUNNING
    deadline = run.lease_expires_at.ToNanoseconds()
    assert deadline >= end
    # The token is taken until then. Whoever asks is told so by the daemon's own clock.
    attempts = []

    def attempt() -> object:
        try:
            return api.claim("other", "t").hook
        except grpc.RpcError as error:
            attempts.append(error)
            return None

    hook = eventually(attempt)
    assert attempts, "the token was free at once"
    assert hook.created_at.ToNanoseconds() >= deadline
    run = api.run("r")
    assert (run.status, run.failure.type) == (RUN_STATUS_FAILED, "LEASE_EXPIRED")
    assert deadline <= run.ended_at.ToNanoseconds() <= deadline + LATE_NS
    assert api.events("r")[-1] == "run_failed"


def test_run_lease_lapses_without_being_asked(api: Api) -> None:
    """Who only waits is told, also when nobody touches run or token."""
    started = api.start("r", lease_ttl=seconds(0.3), claims=[HookSpec(token="t")]).run
    run = api.ended("r")
    assert (run.status, run.failure.type) == (RUN_STATUS_FAILED, "LEASE_EXPIRED")
    assert "300 ms" in run.failure.message
    deadline = started.lease_expires_at.ToNanoseconds()
    assert deadline == started.created_at.ToNanoseconds() + 300_000_000
    assert deadline <= run.ended_at.ToNanoseconds() <= deadline + LATE_NS
    assert not run.HasField("lease_expires_at")
    assert refusal(api.hook, "t").reason == "HOOK_NOT_FOUND"
    for late in (lambda: keep_alive(api, "r"), lambda: api.complete("r")):
        told = refusal(late)
        assert (told.reason, told.metadata["status"]) == ("RUN_NOT_ACTIVE", "failed")


def later_than(before: int, now: int) -> int:
    """The time now, if it has moved on."""
    return now if now > before else 0


def test_run_lease_is_longer_by_each_keep_alive(api: Api) -> None:
    end = api.start("r", lease_ttl=seconds(3600)).run.lease_expires_at.ToNanoseconds()
    for _ in range(3):
        before, end = end, eventually(lambda before=end: later_than(before, keep_alive(api, "r")))
        assert end > before
    assert api.run("r").lease_expires_at.ToNanoseconds() == end
    assert api.events("r") == ["run_created", "run_started"]


def test_run_lease_ends_with_its_run(api: Api) -> None:
    """A lease that would lapse later does not touch a run that has ended."""
    api.start("r", lease_ttl=seconds(0.2))
    deadline = api.run("r").lease_expires_at.ToNanoseconds()
    done = api.complete("r")
    sleep_until(deadline + 50_000_000)
    assert api.run("r") == done


def test_run_lease_that_is_not_there(api: Api) -> None:
    api.start("r")
    told = refusal(keep_alive, api, "r")
    assert (told.reason, list(told.fields)) == ("INVALID_ARGUMENT", ["run_id"])
    assert refusal(keep_alive, api, "nobody").reason == "RUN_NOT_FOUND"


@pytest.mark.parametrize("ttl", [0, 0.099, 24 * 3600 + 1, -1])
def test_run_lease_out_of_bounds(api: Api, ttl: float) -> None:
    told = refusal(api.start, "r", lease_ttl=seconds(ttl), claims=[HookSpec(token="t")])
    assert list(told.fields) == ["lease_ttl"]
    assert refusal(api.run, "r").reason == "RUN_NOT_FOUND"
    assert refusal(api.hook, "t").reason == "HOOK_NOT_FOUND"


def test_run_lease_only_for_external_runs(api: Api) -> None:
    told = refusal(api.start, "r", external=False, lease_ttl=seconds(60))
    assert list(told.fields) == ["lease_ttl"]


def test_run_lease_is_not_shortened_by_a_restart(daemon: Daemon) -> None:
    """While the daemon was down nobody could keep it alive: it begins anew."""
    ttl = 1.0
    api = Api(daemon.channel(), "p")
    api.start("other")
    started = api.start("r", lease_ttl=seconds(ttl), claims=[HookSpec(token="t")]).run
    daemon.kill()
    sleep_until(started.lease_expires_at.ToNanoseconds() + 100_000_000)
    daemon.start()
    api = Api(daemon.channel(), "p")
    assert api.run("r").status == RUN_STATUS_RUNNING
    assert refusal(api.claim, "other", "t").conflict.run_id == "r"
    kept = keep_alive(api, "r")
    run = api.ended("r")
    assert run.failure.type == "LEASE_EXPIRED"
    assert kept <= run.ended_at.ToNanoseconds() <= kept + LATE_NS
    assert api.claim("other", "t").hook.run_id == "other"


def test_run_lease_after_a_restart_lapses_by_itself(daemon: Daemon) -> None:
    api = Api(daemon.channel(), "p")
    api.start("r", lease_ttl=seconds(0.5), claims=[HookSpec(token="t")])
    daemon.restart()
    api = Api(daemon.channel(), "p")
    run = api.ended("r")
    booted = api.admin.GetStats(GetStatsRequest()).started_at.ToNanoseconds()
    assert run.failure.type == "LEASE_EXPIRED"
    ended = run.ended_at.ToNanoseconds()
    assert booted + 500_000_000 <= ended <= booted + 500_000_000 + LATE_NS
    assert refusal(api.hook, "t").reason == "HOOK_NOT_FOUND"


def test_run_lease_end_is_told_as_it_is_after_a_restart(daemon: Daemon) -> None:
    """``lease_expires_at`` is when it lapses, not when it would have."""
    api = Api(daemon.channel(), "p")
    api.start("r", lease_ttl=seconds(60))
    daemon.restart()
    api = Api(daemon.channel(), "p")
    booted = api.admin.GetStats(GetStatsRequest()).started_at.ToNanoseconds()
    assert api.run("r").lease_expires_at.ToNanoseconds() == booted + 60_000_000_000
