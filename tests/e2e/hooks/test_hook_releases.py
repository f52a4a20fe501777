"""The ends of a claim: in one step with their cause, and never before it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import grpc
import pytest
from hookd.v1.common_pb2 import Hook, HookSpec, HookStatus, RunStatus
from hookd.v1.events_pb2 import DISPOSE_CAUSE_EXPIRED, DISPOSE_CAUSE_REQUESTED
from hookd.v1.hook_service_pb2 import (
    CreateHooksRequest,
    HookClaim,
    HookRef,
    ReceivePayloadsRequest,
)
from hookd.v1.run_service_pb2 import KeepAliveRequest

from tests.support.api import Api, Refusal, refusal, seconds, unique
from tests.support.concurrency import at_once, eventually
from tests.support.daemon import Daemon

TOKENS = ["plain", "with/slash and space", "emoji-🪝"]


def owner_of(api: Api, **more: object) -> tuple[str, list[Hook]]:
    """A run that holds all of TOKENS."""
    run_id = api.start(**more).run.run_id
    return run_id, [api.claim(run_id, t, f"hook-{n}").hook for n, t in enumerate(TOKENS)]


def check_free(api: Api, old: list[Hook]) -> None:
    """Each token can be claimed at once, by a claim with a greater revision."""
    run_id = api.start().run.run_id
    for hook in old:
        won = api.claim(run_id, hook.token)
        assert not won.already_exists
        assert won.hook.revision > hook.revision
        assert api.resume(hook.token).run_id == run_id


def closed(api: Api, run_id: str, hook_id: str) -> tuple[HookStatus, RunStatus]:
    """How a hook stands when no more payloads can come; waits for that."""
    ref = HookRef(run_id=run_id, hook_id=hook_id)
    request = ReceivePayloadsRequest(project=api.project, ref=ref)
    *_, last = api.hooks.ReceivePayloads(request, timeout=60)
    return last.closed.status, last.closed.run_status


def test_hook_token_free_after_completion(api: Api) -> None:
    run_id, hooks = owner_of(api)
    api.complete(run_id)
    check_free(api, hooks)
    assert closed(api, run_id, "hook-0") == (
        HookStatus.HOOK_STATUS_CLOSED,
        RunStatus.RUN_STATUS_COMPLETED,
    )


def test_hook_token_free_after_failure(api: Api) -> None:
    run_id, hooks = owner_of(api)
    api.fail(run_id)
    check_free(api, hooks)
    assert closed(api, run_id, "hook-0")[1] == RunStatus.RUN_STATUS_FAILED


def test_hook_token_free_after_cancel(api: Api) -> None:
    run_id, hooks = owner_of(api)
    api.cancel(run_id)
    check_free(api, hooks)
    assert closed(api, run_id, "hook-0")[1] == RunStatus.RUN_STATUS_CANCELLED


def test_hook_token_free_after_dispose(api: Api) -> None:
    run_id, hooks = owner_of(api)
    for n in range(len(TOKENS)):
        answer = api.dispose(run_id, f"hook-{n}")
        assert not answer.already_disposed
        assert answer.hook.status == HookStatus.HOOK_STATUS_DISPOSED
    check_free(api, hooks)
    last = api.log(run_id)[-1]
    assert last.hook_disposed.cause == DISPOSE_CAUSE_REQUESTED
    assert last.correlation_id == "hook-2"
    # The end of the run that had them takes nothing from their new owner.
    api.complete(run_id)
    assert all(api.hook(t).status == HookStatus.HOOK_STATUS_ACTIVE for t in TOKENS)


def test_hook_token_free_after_ttl(api: Api) -> None:
    run_id = api.start().run.run_id
    hook = api.claim(run_id, "short", "hook", ttl=seconds(0.4)).hook
    assert hook.expires_at.ToMilliseconds() == hook.created_at.ToMilliseconds() + 400
    # Nobody asks for the token: the daemon ends the hook by itself.
    assert closed(api, run_id, "hook") == (
        HookStatus.HOOK_STATUS_EXPIRED,
        RunStatus.RUN_STATUS_RUNNING,
    )
    check_free(api, [hook])
    event = api.log(run_id)[-1]
    assert event.hook_disposed.cause == DISPOSE_CAUSE_EXPIRED
    assert event.time.ToMilliseconds() >= hook.expires_at.ToMilliseconds()


def claim_when_free(api: Api, run_id: str, token: str) -> Hook:
    """Claims again and again, each time as a new hook, until the claim is won."""

    def attempt() -> Hook | None:
        try:
            return api.claim(run_id, token).hook
        except grpc.RpcError as error:
            if Refusal(error).reason != "HOOK_CONFLICT":
                raise
            return None

    return eventually(attempt)


def test_hook_token_free_after_ttl_not_before(api: Api) -> None:
    run_id, other = api.start().run.run_id, api.start().run.run_id
    hook = api.claim(run_id, "short", "hook", ttl=seconds(0.4)).hook
    won = claim_when_free(api, other, "short")
    assert won.created_at.ToMilliseconds() >= hook.expires_at.ToMilliseconds()
    assert api.hook_by_id(run_id, "hook").status == HookStatus.HOOK_STATUS_EXPIRED


def test_hook_token_free_after_ttl_that_passed_while_the_daemon_was_down(
    mortal: Daemon, project: str
) -> None:
    api = Api(mortal.channel(), project)
    run_id = api.start().run.run_id
    hook = api.claim(run_id, "short", "hook", ttl=seconds(0.3)).hook
    stays = api.claim(run_id, "long", "stays", ttl=seconds(3600)).hook
    mortal.restart()
    api = Api(mortal.channel(), project)
    other = api.start().run.run_id
    won = claim_when_free(api, other, "short")
    assert won.created_at.ToMilliseconds() >= hook.expires_at.ToMilliseconds()
    assert won.revision > stays.revision
    assert api.hook("long") == stays


def test_hook_token_free_after_lease_expiry(api: Api) -> None:
    run_id, hooks = owner_of(api, lease_ttl=seconds(0.6))
    renewed = api.runs.KeepAlive(
        KeepAliveRequest(project=api.project, run_id=run_id)
    ).lease_expires_at
    ended = api.ended(run_id)
    assert ended.status == RunStatus.RUN_STATUS_FAILED
    assert ended.failure.type == "LEASE_EXPIRED"
    assert ended.ended_at.ToMilliseconds() >= renewed.ToMilliseconds()
    check_free(api, hooks)
    assert closed(api, run_id, "hook-0") == (
        HookStatus.HOOK_STATUS_CLOSED,
        RunStatus.RUN_STATUS_FAILED,
    )


def test_hook_token_free_after_lease_expiry_not_before(api: Api) -> None:
    started = api.start(lease_ttl=seconds(0.4)).run
    api.claim(started.run_id, "leased", "hook")
    won = claim_when_free(api, api.start().run.run_id, "leased")
    assert won.created_at.ToMilliseconds() >= started.lease_expires_at.ToMilliseconds()


def test_hook_token_free_after_completion_and_a_crash(mortal: Daemon, project: str) -> None:
    """The end and the release are one: a crash right after leaves no token behind."""
    api = Api(mortal.channel(), project)
    run_id, hooks = owner_of(api)
    kept = api.start().run.run_id
    stays = api.claim(kept, "stays", "hook").hook
    api.dispose(run_id, "hook-0")
    api.complete(run_id)
    mortal.restart()
    api = Api(mortal.channel(), project)
    assert api.run(run_id).status == RunStatus.RUN_STATUS_COMPLETED
    check_free(api, hooks)
    assert api.hook("stays") == stays


ENDS: dict[str, tuple[Callable[[Api, str], object], RunStatus]] = {
    "complete": (Api.complete, RunStatus.RUN_STATUS_COMPLETED),
    "fail": (Api.fail, RunStatus.RUN_STATUS_FAILED),
    "cancel": (Api.cancel, RunStatus.RUN_STATUS_CANCELLED),
}


@pytest.mark.parametrize("end", ENDS)
def test_hook_token_held_after_completion(api: Api, end: str) -> None:
    finish, status = ENDS[end]
    run_id, late = api.start().run.run_id, api.start().run.run_id
    api.claim(run_id, "held", "hook", hold_after=seconds(3600))
    api.claim(run_id, "not-held", "other")
    finish(api, run_id)

    told = refusal(api.claim, late, "held")
    assert told.conflict is not None
    assert (told.conflict.run_id, told.conflict.run_status) == (run_id, status)
    assert api.hook("held").status == HookStatus.HOOK_STATUS_HELD
    assert closed(api, run_id, "hook") == (HookStatus.HOOK_STATUS_HELD, status)
    api.claim(late, "not-held")

    # Dispose frees it at once, and once.
    log = api.log(run_id)
    assert not api.dispose(run_id, "hook").already_disposed
    check_free(api, [api.hook_by_id(run_id, "hook")])
    assert api.dispose(run_id, "hook").already_disposed
    assert api.log(run_id) == log, "a log ends with the end of its run"
    assert api.hook("held").run_id != run_id


def test_hook_token_held_after_completion_until_the_hold_is_over(api: Api) -> None:
    run_id = api.start().run.run_id
    api.claim(run_id, "held", "hook", hold_after=seconds(0.4))
    ended = api.complete(run_id)
    won = claim_when_free(api, api.start().run.run_id, "held")
    assert won.created_at.ToMilliseconds() >= ended.ended_at.ToMilliseconds() + 400
    assert api.hook_by_id(run_id, "hook").status == HookStatus.HOOK_STATUS_CLOSED


def test_hook_token_held_after_completion_survives_a_crash(mortal: Daemon, project: str) -> None:
    api = Api(mortal.channel(), project)
    run_id = api.start().run.run_id
    api.claim(run_id, "held", "hook", hold_after=seconds(3600))
    api.claim(run_id, "held-shortly", "short", hold_after=seconds(0.3))
    ended = api.complete(run_id)
    mortal.restart()
    api = Api(mortal.channel(), project)
    late = api.start().run.run_id
    told = refusal(api.claim, late, "held")
    assert told.conflict is not None
    assert told.conflict.run_status == RunStatus.RUN_STATUS_COMPLETED
    won = claim_when_free(api, late, "held-shortly")
    assert won.created_at.ToMilliseconds() >= ended.ended_at.ToMilliseconds() + 300


def test_hook_dispose_idempotent(mortal: Daemon, project: str) -> None:
    api = Api(mortal.channel(), project)
    run_id = api.start().run.run_id
    api.claim(run_id, "token", "hook")
    first = api.dispose(run_id, "hook")
    again = api.dispose(run_id, "hook")
    assert (first.already_disposed, again.already_disposed) == (False, True)
    assert again.hook == first.hook
    mortal.restart()  # a replay, after a crash
    api = Api(mortal.channel(), project)
    assert api.dispose(run_id, "hook").already_disposed
    assert api.events(run_id).count("hook_disposed") == 1


def test_hook_dispose_idempotent_for_two_clients_at_once(api: Api) -> None:
    run_id = api.start().run.run_id
    for n in range(20):
        api.claim(run_id, "token", f"hook-{n}")
        answers = at_once(2, lambda _, n=n: api.dispose(run_id, f"hook-{n}"))
        assert sorted(a.already_disposed for a in answers) == [False, True]
    assert api.events(run_id).count("hook_disposed") == 20


def test_hook_dispose_idempotent_on_a_conflicted_hook(api: Api) -> None:
    owner, loser = api.start().run.run_id, api.start().run.run_id
    hook = api.claim(owner, "token", "hook").hook
    refusal(api.claim, loser, "token", "lost")
    log = api.log(loser)
    for _ in range(2):
        answer = api.dispose(loser, "lost")
        assert answer.already_disposed
        assert answer.hook.status == HookStatus.HOOK_STATUS_CONFLICTED
    assert api.log(loser) == log
    assert api.hook("token") == hook, "the owner keeps its token"


def test_hook_dispose_idempotent_leaves_the_next_owner_alone(api: Api) -> None:
    """A late retry of a dispose takes nothing from who has the token now."""
    first, second = api.start().run.run_id, api.start().run.run_id
    api.claim(first, "token", "hook")
    api.dispose(first, "hook")
    hook = api.claim(second, "token", "hook").hook
    assert api.dispose(first, "hook").already_disposed
    assert api.hook("token") == hook
    # Not even in the same run, and not when the run has ended.
    api.dispose(second, "hook")
    renewed = api.claim(second, "token", "hook-2").hook
    assert api.dispose(second, "hook").already_disposed
    api.complete(first)
    assert api.dispose(first, "hook").already_disposed
    assert api.hook("token") == renewed
    # Nor when it was the end of the run that freed the token.
    api.complete(second)
    third = api.start().run.run_id
    last = api.claim(third, "token", "hook-2").hook
    assert api.dispose(second, "hook-2").already_disposed
    assert api.hook("token") == last
    assert api.hook_by_id(second, "hook-2").status == HookStatus.HOOK_STATUS_CLOSED


def test_hook_dispose_unknown(api: Api) -> None:
    run_id = api.start().run.run_id
    assert refusal(api.dispose, run_id, "no-such-hook").reason == "HOOK_NOT_FOUND"
    assert refusal(api.dispose, "no-such-run", "hook").reason == "RUN_NOT_FOUND"
    assert api.events(run_id) == ["run_created", "run_started"]


@pytest.mark.parametrize("gone", ["disposed", "expired"])
def test_hook_recreated_after_dispose(api: Api, gone: str) -> None:
    """The same hook id again is told that it is gone, and takes the token from nobody."""
    run_id, other = api.start().run.run_id, api.start().run.run_id
    if gone == "disposed":
        more: dict[str, object] = {}
        api.claim(run_id, "token", "hook")
        api.dispose(run_id, "hook")
    else:
        more = {"ttl": seconds(0.001)}
        api.claim(run_id, "token", "hook", **more)
        closed(api, run_id, "hook")
    log = api.log(run_id)

    told = refusal(api.claim, run_id, "token", "hook", **more)
    assert (told.code, told.reason) == (grpc.StatusCode.NOT_FOUND, "HOOK_NOT_FOUND")
    assert gone in told.message
    assert told.metadata["hook_id"] == "hook"
    assert api.log(run_id) == log
    assert refusal(api.hook, "token").reason == "HOOK_NOT_FOUND"

    mine = api.claim(other, "token", "theirs").hook
    assert refusal(api.claim, run_id, "token", "hook", **more).reason == "HOOK_NOT_FOUND"
    assert api.hook("token") == mine
    api.dispose(other, "theirs")
    assert not api.claim(run_id, "token", unique("hook")).already_exists


def test_hook_token_free_after_ttl_for_a_batch_that_has_begun(mortal: Daemon, project: str) -> None:
    """Batches come to tokens whose time is just up: what they claimed before stays claimed."""
    api = Api(mortal.channel(), project)
    owner, other = api.start().run.run_id, api.start().run.run_id

    def batch(run_id: str, *specs: HookSpec) -> CreateHooksRequest:
        hooks = [HookClaim(run_id=run_id, hook=spec) for spec in specs]
        return CreateHooksRequest(project=project, hooks=hooks)

    # More of them than the daemon ends in one go by itself.
    count = 400
    half = seconds(0.5)
    short_lived = [HookSpec(hook_id=f"s-{n}", token=f"short-{n}", ttl=half) for n in range(count)]
    api.hooks.CreateHooks(batch(owner, *short_lived))
    last = api.hook_by_id(owner, f"s-{count - 1}")
    batches = [
        batch(other, *(HookSpec(hook_id=f"{t}-{n}", token=f"{t}-{n}") for t in ("free", "short")))
        for n in reversed(range(count))
    ]
    # The daemon sleeps through the deadline: the batches are there when it wakes.
    os.kill(mortal.pid, signal.SIGSTOP)
    try:
        calls = [api.hooks.CreateHooks.future(request, timeout=60) for request in batches]
        eventually(lambda: time.time() * 1000 > last.expires_at.ToMilliseconds() + 1)
    finally:
        os.kill(mortal.pid, signal.SIGCONT)
    for call in calls:
        free, short = call.result().results
        assert free.HasField("claimed"), free.error.message
        assert short.HasField("claimed"), short.error.message
        assert api.hook(free.claimed.token).revision == free.claimed.revision
        assert api.hook(short.claimed.token).run_id == other
    assert api.events(other).count("hook_created") == 2 * count
