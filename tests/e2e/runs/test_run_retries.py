"""``retry_after_lost_answer``: committed, answer lost, daemon killed, asked again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from hookd.v1.common_pb2 import HOOK_STATUS_CLOSED, HOOK_STATUS_DISPOSED, HookSpec
from hookd.v1.run_service_pb2 import (
    CONFLICT_POLICY_TAKE_OVER,
    START_OUTCOME_ALREADY_STARTED,
)

from tests.e2e.runs.retried_calls import Call, answer_of, scenes
from tests.support.api import Api, json_payload, refusal, seconds, unique
from tests.support.daemon import Daemon, running
from tests.support.snapshot import ACTIVE, Snapshot, check_whole, snapshot


@dataclass
class Lost:
    """A call whose answer was thrown away by its caller, before the daemon was killed.

    Attributes:
        project: where it was made.
        call: the call.
        first: the answer that its caller never saw.
        before: the project as it was when the daemon was killed.
    """

    project: str
    call: Call
    first: tuple[object, bool | None]
    before: Snapshot


NAMES = {
    f"{scene.__name__}{'-ended' if ended else ''}": (scene, ended) for scene, ended in scenes()
}


@pytest.fixture(scope="module")
def after_crash(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Daemon, dict[str, Lost]]]:
    """All calls are made, the daemon is killed once, and serves again."""
    with running(tmp_path_factory.mktemp("retries")) as daemon:
        channel = daemon.channel()
        lost = {}
        for name, (scene, ended) in NAMES.items():
            api = Api(channel, unique("project"))
            api.start("owner", claims=[HookSpec(token="taken")])
            call = scene(api)
            first = answer_of(call, api)
            if ended:
                end_all(api)
            lost[name] = Lost(api.project, call, first, snapshot(api))
        daemon.restart()
        yield daemon, lost


def end_all(api: Api) -> None:
    """Ends whatever is active."""
    for run_id, run in snapshot(api).runs.items():
        if run.status in ACTIVE:
            api.complete(run_id, '"ended"')


@pytest.mark.parametrize("name", NAMES)
def test_retry_after_lost_answer(after_crash: tuple[Daemon, dict[str, Lost]], name: str) -> None:
    daemon, every = after_crash
    lost = every[name]
    api = Api(daemon.channel(), lost.project)
    grpc.channel_ready_future(api.channel).result(30)
    assert snapshot(api) == lost.before, "the crash has lost something"
    facts, _ = lost.first
    for _ in range(2):
        told, again = answer_of(lost.call, api)
        assert told == facts
        assert again in (None, True)
        assert snapshot(api) == lost.before, "the retry was applied twice"
    check_whole(api, lost.before)


def test_every_first_answer_was_a_first_one(
    after_crash: tuple[Daemon, dict[str, Lost]],
) -> None:
    """Else the test above would compare retries with retries."""
    _, every = after_crash
    assert {name for name, lost in every.items() if lost.first[1]} == set()


def test_retry_of_a_claim_whose_hook_was_disposed_takes_nothing(daemon: Daemon) -> None:
    """Neither while the token is free, nor when it is another's."""
    api = Api(daemon.channel(), "late")
    api.start("mine")
    api.start("other")
    api.claim("mine", "t", "h")
    api.dispose("mine", "h")
    daemon.restart()
    api = Api(daemon.channel(), "late")
    told = refusal(api.claim, "mine", "t", "h")
    assert (told.code, told.reason) == (grpc.StatusCode.NOT_FOUND, "HOOK_NOT_FOUND")
    assert told.metadata["token"] == "t"
    assert refusal(api.hook, "t").reason == "HOOK_NOT_FOUND"
    theirs = api.claim("other", "t", "h").hook
    assert refusal(api.claim, "mine", "t", "h").reason == "HOOK_NOT_FOUND"
    assert (api.hook("t").run_id, api.hook("t").revision) == ("other", theirs.revision)
    assert [e.WhichOneof("data") for e in api.log("mine")] == [
        "run_created",
        "run_started",
        "hook_created",
        "hook_disposed",
    ]


def test_retry_of_a_claim_whose_run_ended_takes_nothing(api: Api) -> None:
    api.start("mine")
    first = api.claim("mine", "t", "h").hook
    api.complete("mine")
    again = api.claim("mine", "t", "h")
    assert again.already_exists
    assert (again.hook.revision, again.hook.status) == (first.revision, HOOK_STATUS_CLOSED)
    assert refusal(api.hook, "t").reason == "HOOK_NOT_FOUND"
    api.start("other")
    theirs = api.claim("other", "t").hook
    api.claim("mine", "t", "h")
    assert api.hook("t").revision == theirs.revision > first.revision
    # A claim that is no retry is refused as ever.
    assert refusal(api.claim, "mine", "t", "h2").reason == "RUN_NOT_ACTIVE"


def test_retry_of_a_start_whose_hook_was_disposed_takes_nothing(api: Api) -> None:
    api.start("mine", claims=[HookSpec(token="t")])
    api.dispose("mine", "claim-1")
    again = api.start("mine", claims=[HookSpec(token="t")])
    assert again.outcome == START_OUTCOME_ALREADY_STARTED
    assert [hook.status for hook in again.hooks] == [HOOK_STATUS_DISPOSED]
    assert refusal(api.hook, "t").reason == "HOOK_NOT_FOUND"


def test_retry_of_a_take_over_takes_nothing_back(api: Api) -> None:
    """A late retry of the first must not throw out the second."""
    api.start("owner", claims=[HookSpec(token="t")])
    how = {"claims": [HookSpec(token="t")], "on_conflict": CONFLICT_POLICY_TAKE_OVER}
    api.start("first", **how)
    api.start("second", **how)
    again = api.start("first", **how)
    assert again.outcome == START_OUTCOME_ALREADY_STARTED
    assert list(again.superseded_run_ids) == ["owner"]
    assert api.hook("t").run_id == "second"
    assert len(api.log("second")) == 3


def test_retry_of_a_lost_claim_stays_lost(daemon: Daemon) -> None:
    """Though the token has become free since; a new attempt is a new hook id."""
    kinds: dict[str, dict[str, Any]] = {
        "plain": {},
        "metadata": {"metadata": json_payload("1")},
        "ttl": {"ttl": seconds(60)},
    }
    api = Api(daemon.channel(), "stays")
    api.start("owner", claims=[HookSpec(token=kind) for kind in kinds])
    api.start("loser")
    first = {kind: refusal(api.claim, "loser", kind, kind, **kinds[kind]) for kind in kinds}
    api.complete("owner")
    daemon.restart()
    api = Api(daemon.channel(), "stays")
    for kind, more in kinds.items():
        second = refusal(api.claim, "loser", kind, kind, **more)
        assert (second.reason, second.conflict) == ("HOOK_CONFLICT", first[kind].conflict)
        assert refusal(api.hook, kind).reason == "HOOK_NOT_FOUND"
        assert api.claim("loser", kind, f"{kind}-2", **more).hook.token == kind
