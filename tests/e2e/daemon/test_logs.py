"""The log: one JSON object per line, ids and hashes in it, tokens never."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import grpc
from hookd.v1.common_pb2 import HookSpec
from hookd.v1.hook_service_pb2 import CreateHooksRequest, HookClaim
from hookd.v1.run_service_pb2 import CONFLICT_POLICY_USE_EXISTING
from hookd_daemon.logs import token_hash

from tests.support.api import Api, refusal, seconds
from tests.support.daemon import Daemon, running

TOKEN = "payment-4711-hush"


def play(api: Api) -> None:
    """Everything that a token can meet."""
    api.start("owner-run")
    api.start("loser-run")
    api.claim("owner-run", TOKEN, "hook")
    refusal(api.claim, "loser-run", TOKEN, "lost")
    batch = [HookClaim(run_id="loser-run", hook=HookSpec(hook_id="lost-too", token=TOKEN))]
    api.hooks.CreateHooks(CreateHooksRequest(hooks=batch))
    claims = [HookSpec(token=TOKEN)]
    refusal(api.start, "fail-run", claims=claims)
    api.start("use-run", claims=claims, on_conflict=CONFLICT_POLICY_USE_EXISTING)
    api.resume(TOKEN, '"delivered"', "first")
    refusal(api.resume, TOKEN, '"other"', "first")
    refusal(api.resume, f"{TOKEN}-of-nobody")
    refusal(api.claim, "loser-run", TOKEN * 100)
    refusal(api.claim, "no-such-run", TOKEN)
    refusal(api.claim, "owner-run", f"{TOKEN}-2", "hook")
    api.claim("owner-run", f"{TOKEN}-with-ttl", ttl=seconds(0.01))
    api.complete("owner-run")
    refusal(api.resume, TOKEN)
    raw = api.channel.unary_unary("/hookd.v1.HookService/ResumeHook")
    refusal(raw, b"\xff" + TOKEN.encode())
    unknown = api.channel.unary_unary(f"/hookd.v1.HookService/{TOKEN}")
    assert refusal(unknown, b"").code == grpc.StatusCode.UNIMPLEMENTED


def lines(daemon: Daemon) -> list[dict[str, Any]]:
    """The lines of the log; each must be a JSON object."""
    found = [json.loads(line) for line in daemon.log.splitlines()]
    assert all(isinstance(line, dict) for line in found)
    return found


def test_the_most_talkative_log_has_ids_and_hashes_and_no_token(tmp_path: Path) -> None:
    """Also of the libraries below, and of calls that went wrong."""
    with running(tmp_path, "--log-level=debug") as daemon:
        play(Api(daemon.channel()))
        assert daemon.terminate() == 0
    log = lines(daemon)
    for line in log:
        assert {"time", "level", "event"} <= line.keys()
    conflicts = [line for line in log if line["event"] == "hook conflict"]
    assert [line["run_id"] for line in conflicts] == [
        "loser-run",
        "loser-run",
        "fail-run",
        "use-run",
    ]
    for line in conflicts:
        assert line["owner_run_id"] == "owner-run"
        assert line["project"] == "default"
        assert line["token_hash"] == token_hash("default", TOKEN)
    assert "hush" not in daemon.log


def test_the_usual_log_tells_of_conflicts_and_not_of_every_call(tmp_path: Path) -> None:
    """Those of batches are too many; what a caller did wrong is the caller's business."""
    with running(tmp_path) as daemon:
        play(Api(daemon.channel()))
        assert daemon.terminate() == 0
    log = lines(daemon)
    conflicts = [line["run_id"] for line in log if line["event"] == "hook conflict"]
    assert conflicts == ["loser-run", "fail-run", "use-run"]
    others = [line["event"] for line in log if line["event"] != "hook conflict"]
    assert others == ["starting", "recovered", "serving", "draining", "stopped"]
    assert "hush" not in daemon.log


def test_the_log_shows_tokens_to_an_operator_who_asks(tmp_path: Path) -> None:
    """``--log-tokens`` puts them beside their hashes."""
    with running(tmp_path, "--log-level=debug", "--log-tokens") as daemon:
        play(Api(daemon.channel()))
    conflicts = [line for line in lines(daemon) if line["event"] == "hook conflict"]
    assert conflicts
    assert all(line["token"] == TOKEN for line in conflicts)
