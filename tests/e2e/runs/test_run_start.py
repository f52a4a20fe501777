"""``run_start_idempotent``: one id is one run."""

from __future__ import annotations

import grpc
import pytest
from hookd.v1.common_pb2 import RUN_STATUS_COMPLETED, HookSpec
from hookd.v1.run_service_pb2 import (
    START_OUTCOME_ALREADY_STARTED,
    START_OUTCOME_STARTED,
    StartRunRequest,
)

from tests.support.api import Api, json_payload, refusal, seconds
from tests.support.concurrency import at_once
from tests.support.daemon import Daemon
from tests.support.snapshot import snapshot

SAID: dict[str, object] = {
    "workflow": "w",
    "input": json_payload("1"),
    "attributes": {"a": "b", "c": "d"},
    "claims": [HookSpec(token="t"), HookSpec()],
    "lease_ttl": seconds(3600),
}
OTHERWISE = {
    "workflow": {"workflow": "v"},
    "input": {"input": json_payload("2")},
    "content_type": {"input": {"content_type": "text/plain", "data": b"1"}},
    "no_input": {"input": None},
    "attributes": {"attributes": {"a": "b"}},
    "claims": {"claims": [HookSpec(token="t")]},
    "claim_order": {"claims": [HookSpec(), HookSpec(token="t")]},
    "token": {"claims": [HookSpec(token="u"), HookSpec()]},
    "lease": {"lease_ttl": seconds(60)},
    "external": {"external": False, "lease_ttl": None},
}


def test_run_start_idempotent(api: Api) -> None:
    first = api.start("r", **SAID)
    assert first.outcome == START_OUTCOME_STARTED
    before = snapshot(api)
    again = api.start("r", **SAID)
    assert again.outcome == START_OUTCOME_ALREADY_STARTED
    assert again.run == first.run
    assert again.hooks == first.hooks
    assert len({hook.token for hook in again.hooks}) == 2
    assert snapshot(api) == before


def test_run_start_idempotent_over_restarts(daemon: Daemon) -> None:
    api = Api(daemon.channel(), "p")
    first = api.start("r", **SAID)
    log = api.log("r")
    for _ in range(2):
        daemon.restart()
        api = Api(daemon.channel(), "p")
        again = api.start("r", **SAID)
        assert again.outcome == START_OUTCOME_ALREADY_STARTED
        assert again.hooks == first.hooks
        assert again.run.created_at == first.run.created_at
        assert api.log("r") == log
        assert refusal(api.start, "r", workflow="v").reason == "RUN_EXISTS"
    api.complete("r")
    daemon.restart()
    api = Api(daemon.channel(), "p")
    again = api.start("r", **SAID)
    assert again.outcome == START_OUTCOME_ALREADY_STARTED
    assert again.run.status == RUN_STATUS_COMPLETED


@pytest.mark.parametrize("what", OTHERWISE)
def test_run_start_with_other_content(api: Api, what: str) -> None:
    api.start("r", **SAID)
    before = snapshot(api)
    told = refusal(api.start, "r", **{**SAID, **OTHERWISE[what]})
    assert (told.code, told.reason) == (grpc.StatusCode.ALREADY_EXISTS, "RUN_EXISTS")
    assert told.metadata["run_id"] == "r"
    assert snapshot(api) == before


def test_run_start_by_many_at_once(api: Api) -> None:
    """One of them starts it, the others learn that it is there; strangers are refused."""

    def start(i: int) -> object:
        if i % 4 == 3:
            return refusal(api.start, "r", workflow="other").reason if started() else "RUN_EXISTS"
        return api.start("r", **SAID).outcome

    def started() -> bool:
        return "r" in snapshot(api).runs

    answers = at_once(16, start)
    assert answers[3::4] == ["RUN_EXISTS"] * 4
    outcomes = [answer for answer in answers if answer != "RUN_EXISTS"]
    assert sorted(map(str, outcomes)) == sorted(
        map(str, [START_OUTCOME_STARTED] + [START_OUTCOME_ALREADY_STARTED] * 11)
    )
    assert len(snapshot(api).runs) == 1
    assert [e.seq for e in api.log("r")] == [1, 2, 3, 4]


def test_run_start_in_another_project_is_another_run(api: Api) -> None:
    other = Api(api.channel, api.project + "-b")
    api.start("r", workflow="w", claims=[HookSpec(token="t")])
    theirs = other.start("r", workflow="v", claims=[HookSpec(token="t")])
    assert theirs.outcome == START_OUTCOME_STARTED
    api.complete("r")
    assert other.run("r").workflow == "v"
    assert other.hook("t").run_status == other.run("r").status


def test_run_start_without_an_id_is_a_run_each_time(api: Api) -> None:
    request = StartRunRequest(project=api.project, workflow="w")
    ids = {api.runs.StartRun(request).run.run_id for _ in range(20)}
    assert len(ids) == 20
