"""``run_result``, ``run_cancel`` and ``run_first_end_wins``."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from hookd.v1.common_pb2 import (
    HOOK_STATUS_CLOSED,
    RUN_STATUS_CANCELLED,
    RUN_STATUS_COMPLETED,
    RUN_STATUS_FAILED,
    RUN_STATUS_PENDING,
    RUN_STATUS_RUNNING,
    Failure,
    HookSpec,
)
from hookd.v1.hook_service_pb2 import HookRef, ReceivePayloadsRequest
from hookd.v1.run_service_pb2 import (
    CancelRunRequest,
    FailRunRequest,
)
from hookd.v1.stream_service_pb2 import ReadStreamRequest

from tests.support.api import Api, json_payload, refusal, unique
from tests.support.concurrency import at_once, eventually
from tests.support.daemon import Daemon
from tests.support.snapshot import ENDS, check_whole, snapshot

WAITERS = 2_000
CLIENT = Path(__file__).with_name("waiters.py")


def fail(api: Api, run_id: str, message: str = "no") -> object:
    failure = Failure(type="ValueError", message=message, details=json_payload("[1]"))
    request = FailRunRequest(project=api.project, run_id=run_id, failure=failure)
    return api.runs.FailRun(request).run


def cancel(api: Api, run_id: str, reason: str = "enough") -> object:
    request = CancelRunRequest(project=api.project, run_id=run_id, reason=reason)
    return api.runs.CancelRun(request)


def open_streams(daemon: Daemon) -> int:
    """How many streams and long waits the daemon has open."""
    with urllib.request.urlopen(f"http://{daemon.http}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    (line,) = [x for x in lines if x.startswith("hookd_streams_open")]
    return int(float(line.split()[-1]))


def test_run_result_after_the_end(api: Api) -> None:
    for run_id in ("completed", "failed", "cancelled"):
        api.start(run_id)
    api.complete("completed", '"out"')
    fail(api, "failed")
    cancel(api, "cancelled")
    for wait in (0, 30):
        run = api.ended("completed", wait)
        assert (run.status, run.output) == (RUN_STATUS_COMPLETED, json_payload('"out"'))
        assert not run.HasField("failure")
        run = api.ended("failed", wait)
        assert (run.status, run.failure.type) == (RUN_STATUS_FAILED, "ValueError")
        assert (run.failure.message, run.failure.details) == ("no", json_payload("[1]"))
        run = api.ended("cancelled", wait)
        assert (run.status, run.cancel_reason) == (RUN_STATUS_CANCELLED, "enough")
        assert run.ended_at.ToNanoseconds() >= run.started_at.ToNanoseconds() > 0


def test_run_result_of_an_unknown_run(api: Api) -> None:
    for wait in (0, 30):
        told = refusal(api.ended, "nobody", wait)
        assert (told.code, told.reason) == (grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")
        assert told.metadata["run_id"] == "nobody"


def test_run_result_before_the_end(api: Api) -> None:
    """A wait that is over answers with how the run stands."""
    api.start("r", external=False)
    assert api.ended("r", 0).status == RUN_STATUS_PENDING
    api.claim("r", "t")
    assert api.ended("r", 0.05).status == RUN_STATUS_RUNNING


@pytest.mark.parametrize("end", ["complete", "fail", "cancel"])
def test_run_result_during_the_end(api: Api, shared_daemon: Daemon, end: str) -> None:
    api.start("r")
    before = open_streams(shared_daemon)
    with ThreadPoolExecutor(4) as pool:
        waits = [pool.submit(api.ended, "r") for _ in range(4)]
        eventually(lambda: open_streams(shared_daemon) >= before + 4)
        assert not any(wait.done() for wait in waits)
        {"complete": api.complete, "fail": api.fail, "cancel": api.cancel}[end]("r")
        runs = [wait.result(30) for wait in waits]
    assert runs == [api.run("r")] * 4
    assert runs[0].HasField("ended_at")


@pytest.mark.parametrize("starts", [0, 20])
def test_run_result_thousands_of_waiters(daemon: Daemon, starts: int) -> None:
    """They come at one time, wait, are all told, and stand in nobody's way.

    Nor does a flush under way, which holds up their first look at the run.
    """
    api = Api(daemon.channel())
    api.start("r")
    arguments = [daemon.address, "r", str(WAITERS), str(starts)]
    with subprocess.Popen(
        [sys.executable, str(CLIENT), *arguments], stdout=subprocess.PIPE, text=True
    ) as client:
        eventually(lambda: open_streams(daemon) >= WAITERS or client.poll() is not None)
        api.start("other")
        assert api.complete("other").status == RUN_STATUS_COMPLETED
        api.complete("r", '"for all"')
        assert client.stdout is not None
        ended = json.loads(client.stdout.read())
    expected = {"RUN_STATUS_COMPLETED": WAITERS}
    assert ended == ({**expected, "RUN_STATUS_PENDING": starts} if starts else expected)
    eventually(lambda: open_streams(daemon) == 0)


def test_run_result_waits_end_with_the_daemon(daemon: Daemon) -> None:
    """Whoever waits when the daemon goes down is told to come again."""
    api = Api(daemon.channel())
    api.start("r")
    with ThreadPoolExecutor(1) as pool:
        wait = pool.submit(refusal, api.ended, "r")
        eventually(lambda: open_streams(daemon) == 1)
        assert daemon.terminate() == 0
        assert wait.result(30).code == grpc.StatusCode.UNAVAILABLE
    daemon.start()
    api = Api(daemon.channel())
    assert api.ended("r", 0).status == RUN_STATUS_RUNNING


def test_run_cancel_pending(api: Api) -> None:
    api.start("r", external=False, claims=[HookSpec(token="t")])
    answer = cancel(api, "r")
    assert (answer.run.status, answer.already_cancelled) == (RUN_STATUS_CANCELLED, False)
    assert not answer.run.HasField("started_at")
    assert api.events("r") == ["run_created", "hook_created", "run_cancelled"]
    assert refusal(api.hook, "t").reason == "HOOK_NOT_FOUND"


def test_run_cancel_running_frees_its_tokens_at_once(api: Api) -> None:
    api.start("other")
    for i in range(20):
        run_id = f"r{i}"
        api.start(run_id)
        api.claim(run_id, "t")
        cancel(api, run_id)
        hook = api.claim("other", "t").hook
        assert hook.run_id == "other"
        api.dispose("other", hook.hook_id)
        assert refusal(api.claim, run_id, "u").reason == "RUN_NOT_ACTIVE"
    assert refusal(api.hook, "u").reason == "HOOK_NOT_FOUND"


def test_run_cancel_while_it_waits_on_a_hook(api: Api) -> None:
    """Its reader is told; so are those of its streams; a payload finds nobody."""
    api.start("r")
    api.claim("r", "t", "h")
    api.resume("t", '"before"')
    ref = HookRef(run_id="r", hook_id="h")
    payloads = api.hooks.ReceivePayloads(
        ReceivePayloadsRequest(project=api.project, ref=ref), timeout=30
    )
    assert next(payloads).payload.payload == json_payload('"before"')
    chunks = api.streams.ReadStream(ReadStreamRequest(project=api.project, run_id="r"), timeout=30)
    cancel(api, "r")
    (last,) = list(payloads)
    assert (last.closed.status, last.closed.run_status) == (
        HOOK_STATUS_CLOSED,
        RUN_STATUS_CANCELLED,
    )
    (end,) = list(chunks)
    assert end.closed.final
    assert refusal(api.resume, "t").reason == "HOOK_NOT_FOUND"


def test_run_cancel_twice(api: Api) -> None:
    api.start("r")
    first = cancel(api, "r", "one")
    again = cancel(api, "r", "two")
    assert again.already_cancelled
    assert again.run == first.run
    assert again.run.cancel_reason == "one"
    assert api.events("r").count("run_cancelled") == 1


def test_run_cancel_after_the_end(api: Api) -> None:
    api.start("done")
    api.complete("done")
    api.start("failed")
    fail(api, "failed")
    for run_id, status in (("done", "completed"), ("failed", "failed")):
        before = api.run(run_id)
        told = refusal(cancel, api, run_id)
        assert (told.code, told.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "RUN_NOT_ACTIVE",
        )
        assert told.metadata == {"run_id": run_id, "status": status}
        assert api.run(run_id) == before


def test_run_cancel_of_an_unknown_run(api: Api) -> None:
    assert refusal(cancel, api, "nobody").reason == "RUN_NOT_FOUND"


def test_run_first_end_wins(api: Api) -> None:
    """Complete, fail and cancel race: one wins, the others are told who."""
    api.start("claimer")
    winners = set()
    for round_ in range(30):
        run_id = unique("race")
        api.start(run_id, claims=[HookSpec(token="t"), HookSpec(token="u")])
        ends = [
            lambda run_id=run_id: api.complete(run_id),
            lambda run_id=run_id: fail(api, run_id),
            lambda run_id=run_id: cancel(api, run_id).run,
            lambda run_id=run_id: api.complete(run_id, '"other"'),
        ]

        def end(i: int, ends: list = ends) -> object:  # type: ignore[type-arg]
            try:
                return ends[i]()
            except grpc.RpcError as error:
                return error

        # Another first each time, so that not only one of them can win.
        answers = at_once(4, lambda i, at=round_: end((i + at) % 4))
        won = [a for a in answers if not isinstance(a, grpc.RpcError)]
        assert len(won) == 1, answers
        run = api.run(run_id)
        assert won[0] == run
        winners.add(run.status)
        for lost in answers:
            if isinstance(lost, grpc.RpcError):
                told = refusal(_raise, lost)
                assert told.reason == "RUN_NOT_ACTIVE"
                name = {3: "completed", 4: "failed", 5: "cancelled"}[run.status]
                assert told.metadata == {"run_id": run_id, "status": name}
        kinds = api.events(run_id)
        assert [kind in ENDS for kind in kinds] == [False] * (len(kinds) - 1) + [True]
        for token in ("t", "u"):
            api.dispose("claimer", api.claim("claimer", token).hook.hook_id)
    assert len(winners) > 1, "the race was none"
    check_whole(api, snapshot(api))


def _raise(error: Exception) -> None:
    raise error


def test_run_first_end_wins_over_claims_and_payloads(api: Api) -> None:
    """What came before the end is in the log, the rest is refused; nothing stays taken."""
    for _ in range(20):
        run_id = unique("race")
        api.start(run_id, claims=[HookSpec(token="old")])

        def act(i: int, run_id: str = run_id) -> str:
            try:
                if i == 0:
                    cancel(api, run_id)
                elif i % 2:
                    api.claim(run_id, f"new-{i}")
                else:
                    api.resume("old", str(i))
            except grpc.RpcError as error:
                return refusal(_raise, error).reason
            return "done"

        answers = at_once(9, act)
        assert set(answers[1::2]) <= {"done", "RUN_NOT_ACTIVE"}
        assert set(answers[2::2]) <= {"done", "HOOK_NOT_FOUND"}
        kinds = api.events(run_id)
        assert kinds.count("hook_created") == 1 + answers[1::2].count("done")
        assert kinds.count("hook_received") == answers[2::2].count("done")
        assert kinds[-1] == "run_cancelled"
    found = snapshot(api)
    assert found.tokens == {}
    check_whole(api, found)
