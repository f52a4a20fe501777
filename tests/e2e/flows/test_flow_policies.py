"""What a start with claims meets: each policy with each kind of holder, all or none."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from hookd.v1.admin_service_pb2 import GetStatsRequest
from hookd.v1.common_pb2 import (
    HOOK_STATUS_ACTIVE,
    RUN_STATUS_CANCELLED,
    RUN_STATUS_COMPLETED,
    RUN_STATUS_RUNNING,
    HookSpec,
)
from hookd.v1.run_service_pb2 import (
    CONFLICT_POLICY_DELIVER,
    CONFLICT_POLICY_FAIL,
    CONFLICT_POLICY_TAKE_OVER,
    CONFLICT_POLICY_UNSPECIFIED,
    CONFLICT_POLICY_USE_EXISTING,
    START_OUTCOME_ALREADY_STARTED,
    START_OUTCOME_DELIVERED,
    START_OUTCOME_STARTED,
    START_OUTCOME_USED_EXISTING,
    ConflictPolicy,
    StartRunResponse,
)

from tests.support.api import Api, json_payload, refusal, seconds
from tests.support.concurrency import eventually
from tests.support.snapshot import check_whole, snapshot

POLICIES = {
    "fail": CONFLICT_POLICY_FAIL,
    "unspecified": CONFLICT_POLICY_UNSPECIFIED,
    "use_existing": CONFLICT_POLICY_USE_EXISTING,
    "deliver": CONFLICT_POLICY_DELIVER,
    "take_over": CONFLICT_POLICY_TAKE_OVER,
}


def start(
    api: Api,
    run_id: str,
    *tokens: str,
    policy: ConflictPolicy.ValueType = CONFLICT_POLICY_FAIL,
    **more: Any,
) -> StartRunResponse:
    """Starts a run that claims tokens; for DELIVER with the payload "1"."""
    if policy == CONFLICT_POLICY_DELIVER:
        more.setdefault("payload", json_payload("1"))
        more.setdefault("payload_id", f"of-{run_id}")
    return api.start(
        run_id, claims=[HookSpec(token=token) for token in tokens], on_conflict=policy, **more
    )


def hold(api: Api, run_id: str = "owner", token: str = "t", after: float = 3600) -> None:
    """A run that has ended and whose token is held."""
    api.start(run_id, claims=[HookSpec(token=token, hold_after=seconds(after))])
    api.complete(run_id)


@pytest.mark.parametrize("policy", POLICIES)
def test_flow_policy_meets_nobody(api: Api, policy: str) -> None:
    answer = start(api, "r", "t", "u", policy=POLICIES[policy])
    assert answer.outcome == START_OUTCOME_STARTED
    assert [(h.hook_id, h.token, h.status) for h in answer.hooks] == [
        ("claim-1", "t", HOOK_STATUS_ACTIVE),
        ("claim-2", "u", HOOK_STATUS_ACTIVE),
    ]
    assert not answer.HasField("conflict")
    assert list(answer.superseded_run_ids) == []
    delivered = ["hook_received"] if policy == "deliver" else []
    assert api.events("r") == ["run_created", "run_started", *["hook_created"] * 2, *delivered]
    assert answer.payload_seq == len(delivered)
    check_whole(api, snapshot(api))


@pytest.mark.parametrize("policy", ["fail", "unspecified"])
def test_flow_policy_fail_meets_an_active_owner(api: Api, policy: str) -> None:
    start(api, "owner", "t", workflow="theirs")
    owner = api.hook("t")
    before = snapshot(api)
    told = refusal(start, api, "r", "u", "t", policy=POLICIES[policy])
    assert (told.code, told.reason) == (grpc.StatusCode.ALREADY_EXISTS, "HOOK_CONFLICT")
    assert told.conflict is not None
    assert (told.conflict.run_id, told.conflict.hook_id) == ("owner", "claim-1")
    assert (told.conflict.token, told.conflict.workflow) == ("t", "theirs")
    assert told.conflict.run_status == RUN_STATUS_RUNNING
    assert told.conflict.revision == owner.revision
    assert told.conflict.claimed_at == owner.created_at
    assert snapshot(api) == before
    assert refusal(api.run, "r").reason == "RUN_NOT_FOUND"


def test_flow_policy_use_existing_meets_an_active_owner(api: Api) -> None:
    start(api, "owner", "t")
    before = snapshot(api)
    answer = start(api, "r", "u", "t", policy=CONFLICT_POLICY_USE_EXISTING)
    assert answer.outcome == START_OUTCOME_USED_EXISTING
    assert answer.run == api.run("owner")
    assert (answer.conflict.run_id, answer.conflict.token) == ("owner", "t")
    assert list(answer.hooks) == []
    assert snapshot(api) == before


def test_flow_policy_deliver_meets_an_active_owner(api: Api) -> None:
    start(api, "owner", "u", "t")
    answer = start(api, "r", "x", "t", policy=CONFLICT_POLICY_DELIVER)
    assert answer.outcome == START_OUTCOME_DELIVERED
    assert (answer.run, answer.conflict.run_id) == (api.run("owner"), "owner")
    assert (answer.payload_seq, answer.payload_duplicate) == (1, False)
    assert refusal(api.run, "r").reason == "RUN_NOT_FOUND"
    assert refusal(api.hook, "x").reason == "HOOK_NOT_FOUND"
    # To the hook whose token was taken, and to no other.
    assert api.payloads("owner", "claim-2", 1) == ["1"]
    assert api.hook("u").payload_count == 0
    again = start(api, "r", "x", "t", policy=CONFLICT_POLICY_DELIVER)
    assert (again.outcome, again.payload_duplicate) == (START_OUTCOME_DELIVERED, True)
    other = json_payload("2")
    told = refusal(start, api, "r", "x", "t", policy=CONFLICT_POLICY_DELIVER, payload=other)
    assert told.reason == "ID_REUSED"
    assert api.hook("t").payload_count == 1


def test_flow_policy_deliver_names_the_owner_to_a_retry_after_its_end(api: Api) -> None:
    start(api, "owner", "u", "t")
    first = start(api, "r", "x", "t", policy=CONFLICT_POLICY_DELIVER)
    api.dispose("owner", "claim-2")
    again = start(api, "r", "x", "t", policy=CONFLICT_POLICY_DELIVER)
    assert (again.conflict, again.payload_duplicate) == (first.conflict, True)
    # Also when the run has claimed the token anew, or has ended.
    api.claim("owner", "t", "second")
    again = start(api, "r", "x", "t", policy=CONFLICT_POLICY_DELIVER)
    assert again.conflict == first.conflict
    api.complete("owner")
    again = start(api, "r", "x", "t", policy=CONFLICT_POLICY_DELIVER)
    assert (again.conflict.hook_id, again.conflict.revision) == ("claim-2", first.conflict.revision)
    assert again.conflict.run_status == RUN_STATUS_COMPLETED


def test_flow_policy_take_over_meets_an_active_owner(api: Api) -> None:
    start(api, "owner", "t", "kept-by-nobody")
    old = api.hook("t").revision
    answer = start(api, "r", "t", policy=CONFLICT_POLICY_TAKE_OVER)
    assert answer.outcome == START_OUTCOME_STARTED
    assert list(answer.superseded_run_ids) == ["owner"]
    assert (api.hook("t").run_id, api.hook("t").revision > old) == ("r", True)
    owner = api.run("owner")
    assert (owner.status, owner.cancel_reason) == (RUN_STATUS_CANCELLED, "superseded by run r")
    assert api.log("owner")[-1].run_cancelled.superseded_by_run_id == "r"
    assert refusal(api.hook, "kept-by-nobody").reason == "HOOK_NOT_FOUND"
    check_whole(api, snapshot(api))


@pytest.mark.parametrize("policy", ["fail", "deliver"])
def test_flow_policy_meets_a_held_token(api: Api, policy: str) -> None:
    """An owner that has ended takes no payload: that is a conflict, too."""
    hold(api)
    before = snapshot(api)
    told = refusal(start, api, "r", "t", policy=POLICIES[policy])
    assert told.conflict is not None
    assert (told.conflict.run_id, told.conflict.run_status) == ("owner", RUN_STATUS_COMPLETED)
    assert snapshot(api) == before


def test_flow_policy_use_existing_meets_a_held_token(api: Api) -> None:
    hold(api)
    answer = start(api, "r", "t", policy=CONFLICT_POLICY_USE_EXISTING)
    assert answer.outcome == START_OUTCOME_USED_EXISTING
    assert (answer.run.run_id, answer.run.status) == ("owner", RUN_STATUS_COMPLETED)
    assert answer.run.output == json_payload("1")


def test_flow_policy_take_over_meets_a_held_token(api: Api) -> None:
    """There is nobody to cancel: the token is taken, the end stays as it was."""
    hold(api)
    ended = api.run("owner")
    answer = start(api, "r", "t", policy=CONFLICT_POLICY_TAKE_OVER)
    assert answer.outcome == START_OUTCOME_STARTED
    assert list(answer.superseded_run_ids) == []
    assert api.hook("t").run_id == "r"
    assert api.run("owner") == ended
    check_whole(api, snapshot(api))


@pytest.mark.parametrize("policy", POLICIES)
def test_flow_policy_meets_a_hold_that_is_over(api: Api, policy: str) -> None:
    hold(api, after=0.05)
    until = api.run("owner").ended_at.ToNanoseconds() + 50_000_000

    eventually(lambda: free(api))
    answer = start(api, "r", "t", policy=POLICIES[policy])
    assert answer.outcome == START_OUTCOME_STARTED
    assert answer.run.created_at.ToNanoseconds() >= until
    assert list(answer.superseded_run_ids) == []


def free(api: Api, token: str = "t") -> bool:
    try:
        api.hook(token)
    except grpc.RpcError:
        return True
    return False


@pytest.mark.parametrize("policy", POLICIES)
def test_flow_policy_meets_its_own_retry(api: Api, policy: str) -> None:
    """Never a conflict with oneself, whatever the policy."""
    first = start(api, "r", "t", "u", policy=POLICIES[policy])
    before = snapshot(api)
    for _ in range(2):
        again = start(api, "r", "t", "u", policy=POLICIES[policy])
        assert again.outcome == START_OUTCOME_ALREADY_STARTED
        assert again.run == api.run("r")
        assert again.hooks[0].revision == first.hooks[0].revision
        assert again.payload_duplicate == (policy == "deliver")
        assert snapshot(api) == before


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_flow_policy_several_claims_all_or_none(api: Api, policy: str, at: int) -> None:
    """One of three tokens is taken, be it the first, the middle or the last."""
    tokens = ["a", "b", "c"]
    start(api, "owner", tokens[at])
    owners = {}
    try:
        start(api, "r", *tokens, policy=POLICIES[policy])
    except grpc.RpcError:
        assert policy in ("fail", "unspecified")
    for token in tokens:
        owners[token] = None if free(api, token) else api.hook(token).run_id
    if policy == "take_over":
        assert owners == dict.fromkeys(tokens, "r")
    else:
        assert owners == {t: "owner" if i == at else None for i, t in enumerate(tokens)}
        assert refusal(api.run, "r").reason == "RUN_NOT_FOUND"
    check_whole(api, snapshot(api))


def test_flow_policy_take_over_of_two_owners(api: Api) -> None:
    """Both are cancelled for it, each once, in one step; a third is left alone."""
    start(api, "one", "a", "b")
    start(api, "two", "c")
    start(api, "three", "d")
    hold(api, "held", "e")
    answer = start(api, "r", "a", "free", "c", "b", "e", policy=CONFLICT_POLICY_TAKE_OVER)
    assert list(answer.superseded_run_ids) == ["one", "two"]
    assert {t: h.run_id for t, h in snapshot(api).tokens.items()} == {
        "a": "r",
        "b": "r",
        "c": "r",
        "e": "r",
        "free": "r",
        "d": "three",
    }
    assert api.run("three").status == RUN_STATUS_RUNNING
    for run_id in ("one", "two"):
        assert api.events(run_id).count("run_cancelled") == 1
    check_whole(api, snapshot(api))


def test_flow_policy_take_over_of_a_held_token_of_the_cancelled(api: Api) -> None:
    """A hold does not outlive a take-over of its own token; another token's does."""
    held = [HookSpec(token=token, hold_after=seconds(3600)) for token in ("t", "stays")]
    api.start("owner", claims=held)
    answer = start(api, "r", "t", policy=CONFLICT_POLICY_TAKE_OVER)
    assert list(answer.superseded_run_ids) == ["owner"]
    assert api.hook("t").run_id == "r"
    conflict = refusal(start, api, "r2", "stays").conflict
    assert conflict is not None
    assert (conflict.run_id, conflict.run_status) == ("owner", RUN_STATUS_CANCELLED)


@pytest.mark.parametrize("policy", ["fail", "use_existing", "deliver"])
def test_flow_policy_conflicts_are_counted(api: Api, policy: str) -> None:
    """A lost claim is a conflict also when its answer is no error."""
    start(api, "owner", "t")

    def conflicts() -> int:
        return api.admin.GetStats(GetStatsRequest()).conflicts_total

    before = conflicts()
    if policy == "fail":
        refusal(start, api, "r", "t", policy=POLICIES[policy])
    else:
        start(api, "r", "t", policy=POLICIES[policy])
    assert conflicts() == before + 1


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"claims": [HookSpec(token="t"), HookSpec(token="t")]}, "claims"),
        ({"claims": [HookSpec(hook_id="h"), HookSpec(hook_id="h")]}, "claims"),
        ({"claims": [HookSpec(token=f"t{i}") for i in range(65)]}, "claims"),
        ({"claims": [HookSpec(token="t"), HookSpec(token="")]}, "claims[1].token"),
        ({"on_conflict": CONFLICT_POLICY_DELIVER}, "claims"),
        ({"on_conflict": 99, "claims": [HookSpec(token="t")]}, "on_conflict"),
        ({"payload": {"data": b"1"}, "claims": [HookSpec(token="t")]}, "payload"),
    ],
)
def test_flow_policy_bad_start_takes_nothing(api: Api, more: dict[str, Any], field: str) -> None:
    told = refusal(api.start, "r", **more)
    assert (told.reason, list(told.fields)) == ("INVALID_ARGUMENT", [field])
    found = snapshot(api)
    assert (found.runs, found.tokens) == ({}, {})
