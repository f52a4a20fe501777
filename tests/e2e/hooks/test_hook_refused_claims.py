"""Claims that are refused: the token stays free, and nothing is written."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import grpc
import pytest
from hookd.v1.common_pb2 import HookSpec, Payload
from hookd.v1.hook_service_pb2 import (
    CreateHookRequest,
    CreateHooksRequest,
    HookClaim,
    ListHooksRequest,
)

from tests.support.api import Api, refusal, seconds, unique
from tests.support.concurrency import eventually
from tests.support.daemon import Daemon

TOKEN = "wanted"


def check_nothing_taken(api: Api, token: str = TOKEN) -> None:
    """The token is free: nobody finds it, and another run gets it."""
    if token:
        assert refusal(api.hook, token).reason == "HOOK_NOT_FOUND"
    assert not api.hooks.ListHooks(ListHooksRequest(project=api.project)).hooks
    run_id = api.start().run.run_id
    claimed = api.claim(run_id, token or TOKEN, "next-owner")
    assert not claimed.already_exists
    api.dispose(run_id, "next-owner")


def test_hook_claim_by_unknown_run(api: Api) -> None:
    told = refusal(api.claim, "no-such-run", TOKEN)
    assert (told.code, told.reason) == (grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")
    assert told.metadata == {"run_id": "no-such-run"}
    check_nothing_taken(api)
    assert refusal(api.run, "no-such-run").reason == "RUN_NOT_FOUND"


@pytest.mark.parametrize("end", ["complete", "fail", "cancel"])
def test_hook_claim_by_ended_run(api: Api, end: str) -> None:
    run_id = api.start().run.run_id
    getattr(api, end)(run_id)
    log = api.log(run_id)
    told = refusal(api.claim, run_id, TOKEN, "too-late")
    assert (told.code, told.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RUN_NOT_ACTIVE")
    status = {"complete": "completed", "fail": "failed", "cancel": "cancelled"}[end]
    assert told.metadata == {"run_id": run_id, "status": status}
    assert api.log(run_id) == log
    assert refusal(api.hook_by_id, run_id, "too-late").reason == "HOOK_NOT_FOUND"
    check_nothing_taken(api)


REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "metadata too large": ("metadata.data", {"metadata": Payload(data=bytes(64 * 1024 + 1))}),
    "content type too long": (
        "metadata.content_type",
        {"metadata": Payload(content_type="x" * 257, data=b"1")},
    ),
    "token too long": ("token", {"token": "x" * 513}),
    "token empty": ("token", {"token": ""}),
    "hook id too long": ("hook_id", {"hook_id": "x" * 129}),
    "hook id not visible": ("hook_id", {"hook_id": "a b"}),
    "ttl zero": ("ttl", {"ttl": seconds(0)}),
    "ttl negative": ("ttl", {"ttl": seconds(-1)}),
    "ttl absurd": ("ttl", {"ttl": seconds(1e11)}),
    "hold_after negative": ("hold_after", {"hold_after": seconds(-0.001)}),
    "hold_after absurd": ("hold_after", {"hold_after": seconds(1e11)}),
}


def bad_spec(kind: str) -> tuple[str, HookSpec]:
    field, more = REFUSED[kind]
    return field, HookSpec(**{"hook_id": "bad", "token": TOKEN, **more})


@pytest.mark.parametrize("kind", REFUSED)
def test_hook_failed_claim_takes_nothing(api: Api, kind: str) -> None:
    """Alone, in a batch, and in a start."""
    field, spec = bad_spec(kind)
    run_id = api.start(external=False).run.run_id
    before = api.run(run_id)

    request = CreateHookRequest(project=api.project, run_id=run_id, hook=spec)
    told = refusal(api.hooks.CreateHook, request)
    assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert set(told.fields) == {f"hook.{field}"}

    batch = CreateHooksRequest(project=api.project, hooks=[HookClaim(run_id=run_id, hook=spec)])
    (result,) = api.hooks.CreateHooks(batch).results
    assert result.error.metadata["field"] == f"hooks[0].hook.{field}"

    good = HookSpec(hook_id="good", token="good")
    told = refusal(api.start, "not-started", claims=[good, spec])
    assert set(told.fields) == {f"claims[1].{field}"}
    assert refusal(api.run, "not-started").reason == "RUN_NOT_FOUND"
    assert refusal(api.hook, "good").reason == "HOOK_NOT_FOUND"

    assert api.run(run_id) == before, "not even begun"
    assert [e.WhichOneof("data") for e in api.log(run_id)] == ["run_created"]
    check_nothing_taken(api, "" if field == "token" else TOKEN)
    if field != "hook_id":
        # The id is not used up: with what was wrong put right, the claim is a first one.
        assert not api.claim(run_id, TOKEN, "bad").already_exists


def test_hook_failed_claim_takes_nothing_id_reused(api: Api) -> None:
    run_id = api.start().run.run_id
    first = api.claim(run_id, "first", "hook").hook
    log = api.log(run_id)
    for token, more in (
        (TOKEN, {}),
        (None, {}),
        ("first", {"ttl": seconds(60)}),
        ("first", {"hold_after": seconds(60)}),
        ("first", {"metadata": Payload(data=b"1")}),
    ):
        told = refusal(api.claim, run_id, token, "hook", **more)
        assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "ID_REUSED")
        assert told.metadata["hook_id"] == "hook"
    assert api.log(run_id) == log
    assert api.hook("first") == first
    assert [h.token for h in api.hooks.ListHooks(ListHooksRequest(project=api.project)).hooks] == [
        "first"
    ]
    api.claim(api.start().run.run_id, TOKEN)


def test_hook_failed_claim_takes_nothing_in_a_start_that_conflicts(api: Api) -> None:
    """All claims of a start or none: the free token beside the taken one stays free."""
    owner = api.start(claims=[HookSpec(token="taken")]).run.run_id
    claims = [HookSpec(token=TOKEN), HookSpec(token="taken"), HookSpec(token="also-free")]
    told = refusal(api.start, "loser", claims=claims)
    assert told.conflict is not None
    assert told.conflict.run_id == owner
    assert refusal(api.run, "loser").reason == "RUN_NOT_FOUND"
    for token in (TOKEN, "also-free"):
        assert refusal(api.hook, token).reason == "HOOK_NOT_FOUND"
        assert not api.claim(owner, token).already_exists
    api.complete(owner)
    check_nothing_taken(api)
    # The run id is not used up either.
    assert len(api.start("loser", claims=claims).hooks) == 3


def test_hook_failed_claim_takes_nothing_conflict(api: Api) -> None:
    """A lost claim leaves no claim behind that could win later."""
    owner, loser = api.start().run.run_id, api.start().run.run_id
    api.claim(owner, TOKEN, "hook")
    assert refusal(api.claim, loser, TOKEN, "lost").reason == "HOOK_CONFLICT"
    api.complete(owner)
    check_nothing_taken(api)
    assert [h.hook_id for h in _hooks_of(api, loser)] == ["lost"]


def _hooks_of(api: Api, run_id: str) -> list[Any]:
    return list(api.hooks.ListHooks(ListHooksRequest(project=api.project, run_id=run_id)).hooks)


@pytest.mark.parametrize("how", ["cancelled", "expired"])
def test_hook_failed_claim_takes_nothing_given_up_before(
    mortal: Daemon, project: str, how: str
) -> None:
    """Calls that were cancelled, or whose time was up, before the daemon came to them."""
    api = Api(mortal.channel(), project)
    run_id = api.start().run.run_id
    requests = [
        CreateHookRequest(
            project=project, run_id=run_id, hook=HookSpec(hook_id=f"h-{n}", token=f"{TOKEN}-{n}")
        )
        for n in range(20)
    ]
    os.kill(mortal.pid, signal.SIGSTOP)
    eventually(lambda: _stopped(mortal.pid))
    try:
        timeout = 0.1 if how == "expired" else 60
        calls = [api.hooks.CreateHook.future(request, timeout=timeout) for request in requests]
        if how == "cancelled":
            for call in calls:
                call.cancel()
        code = "CANCELLED" if how == "cancelled" else "DEADLINE_EXCEEDED"
        assert {call.code() for call in calls} == {grpc.StatusCode[code]}
    finally:
        os.kill(mortal.pid, signal.SIGCONT)
    # A later call on the same connection: the daemon has come to all of those.
    assert [e.WhichOneof("data") for e in api.log(run_id)] == ["run_created", "run_started"]
    assert not _hooks_of(api, run_id)
    other = api.start().run.run_id
    for n in range(20):
        assert not api.claim(other, f"{TOKEN}-{n}", unique("hook")).already_exists


def _stopped(pid: int) -> bool:
    """Every thread of a process has stopped."""
    stats = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/stat")]
    return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)
