"""Every route does what its call does; checked by gRPC, in the same project."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote

import pytest
from hookd.v1.common_pb2 import Hook, Payload, Run

from tests.e2e.rest.client import Rest
from tests.support.api import Api, json_payload, unique


def test_the_conflict_story(rest: Rest) -> None:
    """Two checkouts of one order: the second is told of the first, and hands its work to it."""
    rest.start("harbour")
    won = rest.post("/v1/runs/harbour/hooks", hook_id="payment", token="payment-42")
    assert won.json["hook"]["status"] == "active"
    rest.start("airport")

    lost = rest.post("/v1/runs/airport/hooks", hook_id="payment", token="payment-42")
    assert lost.status == 409
    error = lost.error
    assert (error["code"], error["reason"]) == ("ALREADY_EXISTS", "HOOK_CONFLICT")
    assert error["message"].startswith('Hook token "payment-42" is already in use by another')
    owner = error["conflict"]
    assert owner["run_id"] == "harbour"
    assert owner["revision"] == won.json["hook"]["revision"]
    assert (owner["run_status"], owner["workflow"]) == ("running", "checkout")

    delivered = rest.resume("payment-42", {"amount": 5}, payload_id="charge-7")
    assert delivered.json == {
        "run_id": "harbour",
        "hook_id": "payment",
        "payload_seq": 1,
        "duplicate": False,
    }
    assert rest.resume("payment-42", {"amount": 5}, payload_id="charge-7").json["duplicate"]
    other = rest.resume("payment-42", {"amount": 6}, payload_id="charge-7")
    assert (other.status, other.error["reason"]) == (400, "ID_REUSED")

    ended = rest.post("/v1/runs/harbour:complete", output={"paid": 5})
    assert ended.json["run"]["output"] == {"paid": 5}
    assert rest.get("/v1/runs/harbour").json["run"]["status"] == "completed"
    again = rest.post("/v1/runs/airport/hooks", hook_id="payment-2", token="payment-42")
    assert again.json["hook"]["revision"] > owner["revision"]


def test_start_with_everything(rest: Rest, api: Api) -> None:
    wanted = {
        "input": {"order": 42, "price": 1.5},
        "attributes": {"customer": "ünal"},
        "claims": [
            {"token": "a", "ttl": "1h"},
            {"hook_id": "b", "hold_after": 30, "metadata": [1]},
        ],
        "lease_ttl": "30s",
    }
    started = rest.start("r", on_conflict="fail", **wanted).json
    assert started["outcome"] == "started"
    assert [hook["hook_id"] for hook in started["hooks"]] == ["claim-1", "b"]
    assert started["hooks"][1]["hold_after"] == "30s"
    run: Run = api.run("r")
    assert run.input == json_payload('{"order":42,"price":1.5}')
    assert dict(run.attributes) == {"customer": "ünal"}
    assert run.lease_ttl.seconds == 30
    assert rest.start("r", **wanted).json["outcome"] == "already_started"
    kept = rest.post("/v1/runs/r:keep-alive")
    assert kept.json["lease_expires_at"].endswith("Z")


def test_start_that_delivers(rest: Rest) -> None:
    rest.start("owner", claims=[{"token": "t"}])
    answer = rest.start("late", claims=[{"token": "t"}], on_conflict="deliver", payload={"n": 1})
    told = answer.json
    assert (told["outcome"], told["run"]["run_id"], told["payload_seq"]) == (
        "delivered",
        "owner",
        1,
    )
    assert told["conflict"]["run_id"] == "owner"


def test_payloads_of_other_kinds(rest: Rest, api: Api) -> None:
    data = base64.b64encode(b"\x00\xffpicture").decode()
    rest.start("r", input_raw={"content_type": "image/png", "data": data})
    assert api.run("r").input == Payload(content_type="image/png", data=b"\x00\xffpicture")
    assert rest.get("/v1/runs/r").json["run"]["input_raw"] == {
        "content_type": "image/png",
        "data": data,
    }
    rest.start("j", input={"a": 1}, input_content_type="application/ld+json")
    told = rest.get("/v1/runs/j").json["run"]
    assert (told["input"], told["input_content_type"]) == ({"a": 1}, "application/ld+json")


def test_runs_are_listed_page_by_page(rest: Rest) -> None:
    for name in ("a", "b", "c"):
        rest.start(name)
    rest.post("/v1/runs/b:fail", failure={"type": "Broken", "message": "no", "details": [1]})
    rest.post("/v1/runs/c:cancel", reason="superseded")
    first = rest.get("/v1/runs", page_size=2).json
    assert [run["run_id"] for run in first["runs"]] == ["c", "b"]
    assert first["runs"][0]["cancel_reason"] == "superseded"
    second = rest.get("/v1/runs", page_size=2, page_token=first["next_page_token"]).json
    assert [run["run_id"] for run in second["runs"]] == ["a"]
    assert "next_page_token" not in second
    ended = rest.get("/v1/runs", statuses=["failed", "cancelled"]).json["runs"]
    assert [run["run_id"] for run in ended] == ["c", "b"]
    assert rest.get("/v1/runs", created_before="2001-01-01T00:00:00Z").json == {"runs": []}
    assert rest.get("/v1/runs", workflow="other").json == {"runs": []}
    failure = rest.get("/v1/runs/b").json["run"]["failure"]
    assert failure == {"type": "Broken", "message": "no", "details": [1]}


def test_a_run_is_awaited(rest: Rest) -> None:
    rest.start("r")
    assert rest.post("/v1/runs/r:await").json["run"]["status"] == "running"
    assert rest.post("/v1/runs/r:await", wait="10ms").json["run"]["status"] == "running"
    rest.post("/v1/runs/r:complete", output=None)
    ended = rest.post("/v1/runs/r:await", wait="1m").json["run"]
    assert (ended["status"], ended["output"]) == ("completed", None)


def test_the_log_is_read_in_parts(rest: Rest) -> None:
    rest.start("r", claims=[{"token": "t"}])
    rest.resume("t", "hello")
    told = rest.get("/v1/runs/r/events", page_size=2).json
    assert [event["seq"] for event in told["events"]] == [1, 2]
    assert (told["last_seq"], told["run_status"]) == (4, "running")
    (last,) = rest.get("/v1/runs/r/events", after_seq=3).json["events"]
    assert last["hook_received"]["payload"] == "hello"
    waits = rest.get("/v1/runs/r", with_waits="true").json["waits"]
    assert [(wait["kind"], wait["name"]) for wait in waits] == [("hook", "t")]


def test_hooks_are_read_listed_and_disposed(rest: Rest, api: Api) -> None:
    rest.start("r", claims=[{"hook_id": "h1", "token": "x-1", "metadata": {"who": "me"}}])
    api.claim("r", "y-1", "h2")
    assert rest.get("/v1/runs/r/hooks/h1").json["hook"]["metadata"] == {"who": "me"}
    assert rest.get("/v1/hooks/x-1").json == rest.post("/v1/hooks:get", token="x-1").json
    of_run = rest.get("/v1/runs/r/hooks").json["hooks"]
    assert [hook["token"] for hook in of_run] == ["x-1", "y-1"]
    assert [h["token"] for h in rest.get("/v1/hooks").json["hooks"]] == ["x-1", "y-1"]
    assert [h["token"] for h in rest.get("/v1/hooks", token_prefix="y").json["hooks"]] == ["y-1"]
    gone = rest.post("/v1/runs/r/hooks/h1:dispose").json
    assert (gone["hook"]["status"], gone["already_disposed"]) == ("disposed", False)
    assert rest.get("/v1/hooks/x-1").error["reason"] == "HOOK_NOT_FOUND"


def test_a_batch_has_a_result_for_each(rest: Rest) -> None:
    rest.start("r", claims=[{"token": "taken"}])
    results = rest.post(
        "/v1/hooks",
        hooks=[
            {"run_id": "r", "hook": {"hook_id": "a", "token": "free"}},
            {"run_id": "r", "hook": {"hook_id": "b", "token": "taken"}},
            {"run_id": "nobody", "hook": {"hook_id": "c"}},
            {"run_id": "r", "hook": {"hook_id": "ä"}},
        ],
    ).json["results"]
    assert results[0]["claimed"]["token"] == "free"
    conflict = results[1]["error"]
    assert (conflict["code"], conflict["reason"]) == ("ALREADY_EXISTS", "HOOK_CONFLICT")
    assert conflict["conflict"]["run_id"] == "r"
    assert [r["error"]["reason"] for r in results[2:]] == ["RUN_NOT_FOUND", "INVALID_ARGUMENT"]
    assert results[3]["error"]["metadata"] == {"field": "hooks[3].hook.hook_id"}


TOKENS = [
    "a/b",
    "/",
    "a//b/",
    "ä €",
    "😀",
    "\0",
    "a:resume",
    ":resume",
    "a%2Fb",
    "a?b#c",
    "..",
    ".",
]


@pytest.mark.parametrize("token", TOKENS)
def test_any_token_has_its_place_in_a_path(token: str, rest: Rest, api: Api) -> None:
    run_id = unique("run")
    rest.start(run_id, claims=[{"token": token}])
    quoted = quote(token, safe="")
    assert rest.get(f"/v1/hooks/{quoted}").json["hook"]["token"] == token
    assert rest.resume(token, 1).json["run_id"] == run_id
    assert rest.post("/v1/hooks:resume", token=token, payload=2).json["payload_seq"] == 2
    hook: Hook = api.hook(token)
    assert hook.payload_count == 2


def test_plain_slashes_are_part_of_a_token(rest: Rest) -> None:
    rest.start("r", claims=[{"token": "a/b//c/"}])
    assert rest.get("/v1/hooks/a/b//c/").json["hook"]["token"] == "a/b//c/"
    assert rest.post("/v1/hooks/a/b//c/:resume", payload=1).json["run_id"] == "r"


@pytest.mark.parametrize("run_id", ["a/b", "a:cancel", "%2F", "?", "!~", "x" * 128])
def test_any_run_id_is_one_segment(run_id: str, rest: Rest) -> None:
    rest.start(run_id)
    path = f"/v1/runs/{quote(run_id, safe='')}"
    assert rest.get(path).json["run"]["run_id"] == run_id
    assert rest.post(f"{path}/hooks", token="t").json["hook"]["run_id"] == run_id
    assert rest.post(f"{path}:cancel").json["run"]["status"] == "cancelled"
    # A slash as it is would be another segment.
    assert "/" not in run_id or rest.get(f"/v1/runs/{run_id}").error["reason"] == "NO_ROUTE"


def test_a_resume_waits_for_its_hook(rest: Rest, api: Api) -> None:
    early = rest.resume("late", 1, wait="20ms")
    assert (early.status, early.error["reason"]) == (404, "HOOK_NOT_FOUND")
    rest.start("r")
    api.claim("r", "late")
    assert rest.resume("late", 1, wait="5m").json["run_id"] == "r"
    assert rest.get("/v1/hooks/late", wait="5").json["hook"]["run_id"] == "r"


def test_another_project_sees_nothing(rest: Rest, shared_daemon: Any) -> None:
    rest.start("r", claims=[{"token": "t"}])
    other = Rest(shared_daemon.http, unique("project"))
    assert other.get("/v1/runs/r").error["reason"] == "RUN_NOT_FOUND"
    assert other.resume("t", 1).error["reason"] == "HOOK_NOT_FOUND"
    assert other.start("r", claims=[{"token": "t"}]).json["outcome"] == "started"


def test_without_a_name_the_project_is_default(rest: Rest, shared_daemon: Any) -> None:
    unnamed, named = Rest(shared_daemon.http), Rest(shared_daemon.http, "default")
    run_id = unique("run-of-default")
    assert unnamed.start(run_id).json["run"]["project"] == "default"
    assert named.get(f"/v1/runs/{run_id}").status == 200
