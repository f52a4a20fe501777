"""Connections that are cut between commit and answer, or go silent."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import hookd
import pytest
from hookd import transport
from hookd.v1.common_pb2 import RUN_STATUS_CANCELLED, HookSpec
from hookd.v1.hook_service_pb2 import (
    CreateHookRequest,
    CreateHooksRequest,
    DisposeHookRequest,
    HookClaim,
    HookRef,
    ResumeHookRequest,
)
from hookd.v1.run_service_pb2 import (
    CONFLICT_POLICY_DELIVER,
    CONFLICT_POLICY_TAKE_OVER,
    CancelRunRequest,
    CompleteRunRequest,
    StartRunRequest,
    WatchRunRequest,
)
from hookd.v1.stream_service_pb2 import WriteChunksRequest

from tests.faults.proxy import Proxy
from tests.support.api import Api, Refusal, json_payload
from tests.support.concurrency import eventually
from tests.support.daemon import Daemon
from tests.support.faulty import FaultyDaemon
from tests.support.snapshot import check_whole, snapshot


@pytest.fixture
def proxy(shared_daemon: Daemon) -> Iterator[Proxy]:
    with Proxy(shared_daemon.address) as proxy:
        yield proxy


@pytest.fixture
def far(proxy: Proxy, api: Api) -> Iterator[Api]:
    """The API behind the proxy, in the project of ``api``."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    with grpc.insecure_channel(proxy.address, options=options) as channel:
        grpc.channel_ready_future(channel).result(30)
        yield Api(channel, api.project)


def spec(**fields: Any) -> HookSpec:
    return HookSpec(hook_id="new", **fields)


def start(api: Api, **more: Any) -> tuple[Any, Any]:
    request = StartRunRequest(
        project=api.project, run_id="new", workflow="w", external=True, **more
    )
    return api.runs.StartRun, request


def claim(api: Api, token: str | None) -> tuple[Any, Any]:
    hook = spec() if token is None else spec(token=token)
    request = CreateHookRequest(project=api.project, run_id="run", hook=hook)
    return api.hooks.CreateHook, request


def batch(api: Api) -> tuple[Any, Any]:
    hooks = [
        HookClaim(run_id="run", hook=HookSpec(hook_id=f"new-{token}", token=token))
        for token in ("free", "taken", "held")
    ]
    return api.hooks.CreateHooks, CreateHooksRequest(project=api.project, hooks=hooks)


def resume(api: Api) -> tuple[Any, Any]:
    request = ResumeHookRequest(
        project=api.project, token="mine", payload_id="new", payload=json_payload("1")
    )
    return api.hooks.ResumeHook, request


def dispose(api: Api) -> tuple[Any, Any]:
    ref = HookRef(run_id="run", hook_id="mine")
    return api.hooks.DisposeHook, DisposeHookRequest(project=api.project, ref=ref)


def write(api: Api) -> tuple[Any, Any]:
    request = WriteChunksRequest(
        project=api.project, run_id="run", position=0, chunks=[json_payload("1")]
    )
    return api.streams.WriteChunks, request


def complete(api: Api) -> tuple[Any, Any]:
    request = CompleteRunRequest(project=api.project, run_id="run", output=json_payload("1"))
    return api.runs.CompleteRun, request


def cancel(api: Api) -> tuple[Any, Any]:
    return api.runs.CancelRun, CancelRunRequest(project=api.project, run_id="run", reason="why")


def deliver(api: Api) -> tuple[Any, Any]:
    return start(
        api,
        claims=[HookSpec(token="mine")],
        on_conflict=CONFLICT_POLICY_DELIVER,
        payload=json_payload("1"),
        payload_id="new",
    )


def take_over(api: Api) -> tuple[Any, Any]:
    claims = [HookSpec(token="mine")]
    return start(api, claims=claims, on_conflict=CONFLICT_POLICY_TAKE_OVER)


#: Each call that changes something, with all of its ids.
CALLS: dict[str, Callable[[Api], tuple[Any, Any]]] = {
    "start": start,
    "start with a generated token": lambda api: start(api, claims=[HookSpec()]),
    "deliver": deliver,
    "take over": take_over,
    "claim": lambda api: claim(api, "free"),
    "claim with a generated token": lambda api: claim(api, None),
    "claim that loses": lambda api: claim(api, "taken"),
    "batch": batch,
    "resume": resume,
    "dispose": dispose,
    "write": write,
    "complete": complete,
    "cancel": cancel,
}
#: What a retry may say of itself, and the first answer did not.
RETRY_FLAGS = {"already_exists", "already_disposed", "already_ended", "duplicate", "outcome"}


def facts(message: Any) -> Any:
    """What an answer says, but for whether it is the answer to a retry."""
    if not hasattr(message, "DESCRIPTOR"):
        return message
    found = {}
    for field, value in message.ListFields():
        if field.name not in RETRY_FLAGS:
            many = field.is_repeated and not isinstance(value, Mapping)
            found[field.name] = [facts(one) for one in value] if many else facts(value)
    return found


def outcome(method: Any, request: Any) -> Any:
    """What a call is told, as facts; a refusal by its reason and its conflict."""
    try:
        return facts(method(request, timeout=30))
    except grpc.RpcError as error:
        told = Refusal(error)
        return told.reason or str(error), facts(told.conflict)


def prepare(api: Api) -> None:
    """Two runs, and tokens that are taken, held and free."""
    api.start("run")
    api.claim("run", "mine", "mine")
    api.start("other")
    api.claim("other", "taken", "taken")
    api.start("ended")
    api.claim("ended", "held", "held", hold_after={"seconds": 3600})
    api.complete("ended")


@pytest.mark.parametrize("name", CALLS)
def test_a_connection_that_is_cut_before_the_answer(
    api: Api, far: Api, proxy: Proxy, name: str
) -> None:
    """The call has happened; the same ids again get what the first answer would have been."""
    prepare(api)
    before = snapshot(api)
    proxy.swallow_answers = True
    method, request = CALLS[name](far)
    lost = method.future(request, timeout=30)
    eventually(lambda: snapshot(api) != before)
    assert not lost.done()
    proxy.cut()
    assert lost.exception(30).code() == grpc.StatusCode.UNAVAILABLE
    after = snapshot(api)
    # Over the new connection, and again; also when the loser's token is free by now.
    first = outcome(*CALLS[name](far))
    if name == "claim that loses":
        assert first[0] == "HOOK_CONFLICT"
        api.dispose("other", "taken")
        after = snapshot(api)
    assert outcome(*CALLS[name](far)) == first
    assert snapshot(api) == after, "a retry has changed something"
    check_whole(api, after)
    check_first_answer(api, name, first)


def check_first_answer(api: Api, name: str, first: Any) -> None:
    """Holds what the retry was told against what is there."""
    if name in ("claim", "claim with a generated token"):
        assert first["hook"]["token"] == api.hook_by_id("run", "new").token
    elif name == "resume":
        assert (first["run_id"], first["payload_seq"]) == ("run", 1)
        assert api.payloads("run", "mine", 1) == ["1"]
    elif name == "deliver":
        assert first["run"]["run_id"] == "run"
        assert api.payloads("run", "mine", 1) == ["1"]
    elif name == "take over":
        assert api.run("run").status == RUN_STATUS_CANCELLED
        assert api.hook("mine").run_id == "new"
    elif name == "batch":
        kinds = [next(iter(result)) for result in first["results"]]
        assert kinds == ["claimed", "error", "error"]


def test_a_client_that_went_silent(tmp_path: Path) -> None:
    """The daemon notices, and keeps nothing for it; a network need not say that it is broken."""
    names = ("KEEPALIVE_TIME_MS", "KEEPALIVE_TIMEOUT_MS")
    constants = {f"hookd_daemon.api.transport:{name}": 1000 for name in names}
    with FaultyDaemon(tmp_path, constants=constants) as daemon, Proxy(daemon.address) as proxy:
        api = Api(daemon.channel(), "p")
        api.start("run")
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(proxy.address, options=options) as channel:
            watch = Api(channel, "p").runs.WatchRun(WatchRunRequest(project="p", run_id="run"))
            assert next(watch).event.seq == 1
            eventually(lambda: number(daemon, "hookd_streams_open") == 1)
            proxy.silence()
            eventually(lambda: number(daemon, "hookd_streams_open") == 0)


async def test_a_daemon_that_went_silent(
    shared_daemon: Daemon, proxy: Proxy, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client notices, and goes on over another connection."""
    api.start("run")
    # The least that a daemon lets a client ask.
    faster = {"grpc.keepalive_time_ms": 5_500, "grpc.http2.ping_timeout_ms": 500}
    options = tuple((name, faster.get(name, value)) for name, value in transport._OPTIONS)
    monkeypatch.setattr(transport, "_OPTIONS", options)
    async with hookd.connect(proxy.address, project=api.project) as client:
        result = asyncio.ensure_future(client.get_run("run").return_value())
        await asyncio.to_thread(eventually, lambda: number(shared_daemon, "hookd_streams_open"))
        proxy.silence()
        await asyncio.to_thread(api.complete, "run", '"done"')
        # Well before a ping that core left to itself would have timed out.
        assert await asyncio.wait_for(result, 30) == "done"


def number(daemon: Daemon, metric: str) -> int:
    """A gauge of the daemon."""
    with urllib.request.urlopen(f"http://{daemon.http}/metrics", timeout=30) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(f"{metric} "):
                return int(float(line.split()[-1]))
    raise AssertionError(f"there is no {metric}")
