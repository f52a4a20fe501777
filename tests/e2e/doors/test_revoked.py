"""Keys that end while a daemon runs, and what their bearers have open."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from hookd.v1.common_pb2 import HookSpec
from hookd.v1.hook_service_pb2 import (
    ClaimStreamRequest,
    GetHookRequest,
    HookRef,
    ReceivePayloadsRequest,
    ResumeHookRequest,
)
from hookd.v1.run_service_pb2 import (
    AwaitRunRequest,
    GetRunRequest,
    StartRunRequest,
    WatchRunRequest,
)
from hookd.v1.stream_service_pb2 import ReadStreamRequest
from hookd.v1.worker_service_pb2 import PollRequest
from hookd.v1.worker_service_pb2_grpc import WorkerServiceStub
from hookd_daemon.auth.keyfile import KeyFile
from hookd_daemon.auth.roles import Role

from tests.e2e.doors.keys import Told, bearing, create, revoke, told
from tests.support.api import Api, seconds
from tests.support.concurrency import eventually
from tests.support.daemon import Daemon, running

UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
PATIENCE = 60


class Open:
    """A call that is open, in a thread, until it ends by itself."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.answers: list[Any] = []
        self._told: list[Told] = []
        self._thread = threading.Thread(target=self._run, args=(call,), daemon=True)
        self._thread.start()

    def _run(self, call: Callable[[], Any]) -> None:
        self._told.append(told(lambda: self._take(call())))

    def _take(self, found: Any) -> None:
        for answer in found if hasattr(found, "__iter__") else [found]:
            self.answers.append(answer)

    @property
    def open(self) -> bool:
        """Whether it is open still."""
        return self._thread.is_alive()

    def end(self) -> Told:
        """How it ended; waits for it."""
        self._thread.join(PATIENCE)
        assert not self.open, "the call does not end"
        return self._told[0]


class Never:
    """Messages of a caller that has nothing to say for now."""

    def __init__(self, *first: Any, over: threading.Event | None = None) -> None:
        self._first = list(first)
        self.over = over or threading.Event()

    def __iter__(self) -> Iterator[Any]:
        yield from self._first
        self.over.wait(PATIENCE)

    def end(self) -> None:
        self.over.set()


def probe(daemon: Daemon, key: str | None, project: str = "blue") -> Told:
    """A call that answers NOT_FOUND to whoever may make it."""
    request = GetRunRequest(project=project, run_id="nothing")
    api = Api(daemon.channel())
    return told(lambda: api.runs.GetRun(request, metadata=bearing(key), timeout=PATIENCE))


def opened(daemon: Daemon, key: str | None) -> tuple[dict[str, Open], Never]:
    """One of each call that lasts."""
    api, meta = Api(daemon.channel(), "blue"), bearing(key)
    said = Never(ClaimStreamRequest(batch_id=1, project="blue"))
    asked = Never(ServerReflectionRequest(list_services=""), over=said.over)
    workers = WorkerServiceStub(api.channel)
    poll = PollRequest(
        project="blue", worker_id=f"w-{key}"[:40], workflows=[{"name": "w"}], max_turns=1
    )
    more: dict[str, Any] = {"metadata": meta, "timeout": PATIENCE}
    watch = WatchRunRequest(project="blue", run_id="long")
    wait = AwaitRunRequest(project="blue", run_id="long", wait=seconds(PATIENCE))
    hook = GetHookRequest(project="blue", token="not-yet", wait=seconds(PATIENCE))
    resume = ResumeHookRequest(
        project="blue", token="not-yet", payload_id=f"p-{key}"[:40], wait=seconds(PATIENCE)
    )
    read = ReadStreamRequest(project="blue", run_id="long")
    receive = ReceivePayloadsRequest(
        project="blue", ref=HookRef(run_id="long", hook_id="long-hook")
    )
    reflection = ServerReflectionStub(api.channel)
    calls: dict[str, Callable[[], Any]] = {
        "WatchRun": lambda: api.runs.WatchRun(watch, **more),
        "Poll": lambda: workers.Poll(poll, **more),
        "ClaimStream": lambda: api.hooks.ClaimStream(iter(said), **more),
        "AwaitRun": lambda: api.runs.AwaitRun(wait, **more),
        "GetHook": lambda: api.hooks.GetHook(hook, **more),
        "ResumeHook": lambda: api.hooks.ResumeHook(resume, **more),
        "ReadStream": lambda: api.streams.ReadStream(read, **more),
        "ReceivePayloads": lambda: api.hooks.ReceivePayloads(receive, **more),
        "reflection": lambda: reflection.ServerReflectionInfo(iter(asked), **more),
    }
    found = {name: Open(call) for name, call in calls.items()}
    for name in ("WatchRun", "Poll", "ClaimStream", "reflection"):
        eventually(lambda name=name: found[name].answers)  # type: ignore[misc]
    return found, said


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with running(tmp_path) as daemon:
        yield daemon


def start_long(daemon: Daemon, key: str | None) -> None:
    """Starts a run that does not end."""
    claims = [HookSpec(hook_id="long-hook", token="long-token")]
    request = StartRunRequest(
        project="blue", run_id="long", workflow="w", external=True, claims=claims
    )
    Api(daemon.channel()).runs.StartRun(request, metadata=bearing(key))


def test_revoking_a_key_ends_its_calls_and_no_others(daemon: Daemon) -> None:
    one, other = create(daemon.data_dir, "blue"), create(daemon.data_dir, "blue")
    eventually(lambda: probe(daemon, None).code == UNAUTHENTICATED)
    start_long(daemon, one)
    mine, said = opened(daemon, one)
    theirs, also_said = opened(daemon, other)
    revoke(daemon.data_dir, one)
    for name, call in mine.items():
        end = call.end()
        assert end.code == UNAUTHENTICATED, name
        assert "is not valid any more" in end.message, name
    assert probe(daemon, one).code == UNAUTHENTICATED
    assert probe(daemon, other).code == grpc.StatusCode.NOT_FOUND
    assert [name for name, call in theirs.items() if not call.open] == []
    # It is not forgotten by a crash.
    daemon.restart()
    assert probe(daemon, one).code == UNAUTHENTICATED
    assert probe(daemon, other).code == grpc.StatusCode.NOT_FOUND
    for call in theirs.values():
        call.end()
    said.end()
    also_said.end()
    assert "Traceback" not in daemon.log


def test_a_key_that_expires_ends_its_calls(daemon: Daemon) -> None:
    start_long(daemon, create(daemon.data_dir, "blue"))
    watch = WatchRunRequest(project="blue", run_id="long")
    runs = Api(daemon.channel()).runs
    for lasts in (1, 4, 16):
        key = create(daemon.data_dir, "blue", lasts=timedelta(seconds=lasts))
        call = Open(partial(runs.WatchRun, watch, metadata=bearing(key)))
        end = call.end()
        assert end.code == UNAUTHENTICATED
        if call.answers:
            break  # Else this machine is so slow that the key expired before.
    assert "is not valid any more" in end.message


def test_the_first_key_ends_what_is_open_without_one(daemon: Daemon) -> None:
    start_long(daemon, None)
    calls, said = opened(daemon, None)
    key = create(daemon.data_dir, "blue")
    assert {call.end().code for call in calls.values()} == {UNAUTHENTICATED}
    assert probe(daemon, None).code == UNAUTHENTICATED
    assert probe(daemon, key).code == grpc.StatusCode.NOT_FOUND
    said.end()


def test_neither_a_damaged_nor_a_missing_file_opens_the_door(daemon: Daemon) -> None:
    key = create(daemon.data_dir, "blue")
    eventually(lambda: probe(daemon, None).code == UNAUTHENTICATED)
    file = KeyFile(daemon.data_dir).path
    whole = file.read_text()
    file.write_text(whole[:-5])
    eventually(lambda: "the keys stay as they were" in daemon.log)
    assert probe(daemon, key).code == grpc.StatusCode.NOT_FOUND
    assert probe(daemon, None).code == UNAUTHENTICATED
    file.unlink()
    eventually(lambda: "the keys are gone" in daemon.log)
    assert probe(daemon, key).code == UNAUTHENTICATED
    assert probe(daemon, None).code == UNAUTHENTICATED


def test_a_key_that_is_revoked_while_nothing_can_be_opened(daemon: Daemon) -> None:
    """As when somebody, who may be its bearer, has taken all descriptors with connections."""
    key, third, other = (create(daemon.data_dir, "blue") for _ in range(3))
    eventually(lambda: probe(daemon, None).code == UNAUTHENTICATED)
    # What is connected stays, whatever can be opened.
    api = Api(daemon.channel())
    request = GetRunRequest(project="blue", run_id="nothing")

    def code(key: str) -> grpc.StatusCode | None:
        more: dict[str, Any] = {"metadata": bearing(key), "timeout": PATIENCE}
        return told(lambda: api.runs.GetRun(request, **more)).code

    assert code(key) == grpc.StatusCode.NOT_FOUND
    before = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    few = len(os.listdir(f"/proc/{daemon.pid}/fd"))
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (few, before[1]))
    eventually(lambda: "no file descriptor is left" in daemon.log)
    for one in (key, third):
        revoke(daemon.data_dir, one)
        eventually(lambda one=one: code(one) == UNAUTHENTICATED)  # type: ignore[misc]
    assert daemon.log.count("there are file descriptors again") == 0
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, before)
    assert code(other) == grpc.StatusCode.NOT_FOUND


def test_a_daemon_does_not_start_on_damaged_keys(tmp_path: Path) -> None:
    from tests.support.daemon import DaemonFailedError

    create(tmp_path / "data", "blue", Role.SERVICE)
    KeyFile(tmp_path / "data").path.write_text("{")
    with pytest.raises(DaemonFailedError, match=r"keys\.json are damaged") as failed:
        Daemon(tmp_path).start()
    assert failed.value.status == 1
    assert "Traceback" not in failed.value.log
