"""kill -9 under a mixed load: what was acknowledged is there, and nothing is half there."""

from __future__ import annotations

import random
from typing import Any

from hookd.v1.common_pb2 import (
    HOOK_STATUS_ACTIVE,
    HOOK_STATUS_CLOSED,
    HOOK_STATUS_DISPOSED,
    RUN_STATUS_CANCELLED,
    RUN_STATUS_COMPLETED,
    RUN_STATUS_FAILED,
)

from tests.crash.processes import Clients
from tests.support.api import Api
from tests.support.daemon import Daemon
from tests.support.snapshot import ACTIVE, Snapshot, check_whole, snapshot

CLIENTS = 4
ROUNDS = 10
SEED = 4665
ENDED = {
    "complete": RUN_STATUS_COMPLETED,
    "fail": RUN_STATUS_FAILED,
    "cancel": RUN_STATUS_CANCELLED,
}

Op = dict[str, Any]


def test_crash_under_mixed_load(daemon: Daemon) -> None:
    """Ten times at a moment by the dice, on one data directory that grows on."""
    dice = random.Random(SEED)
    arguments = [[daemon.address, f"c{i}", str(SEED + i)] for i in range(CLIENTS)]
    projects: dict[str, Snapshot] = {}
    kinds: set[str] = set()
    with Clients("mixer.py", arguments) as clients:
        for round_ in range(ROUNDS):
            project = f"round-{round_}"
            clients.tell(project=project)
            done, lost = work_until_killed(clients, daemon, dice.randint(30, 400))
            daemon.start()
            api = Api(daemon.channel(), project)
            found = snapshot(api)
            check_whole(api, found)
            check_acknowledged(found, done)
            # The calls that got no answer are made again: now they have one.
            clients.tell(again=True)
            kept = [said["kept"] for said in collect(clients, CLIENTS)]
            found = snapshot(api)
            check_whole(api, found)
            check_acknowledged(found, done + kept)
            check_once(found)
            projects[project] = found
            kinds |= {op["op"] for op in done if "refused" not in op}
            kinds |= {op["refused"] for op in done if "refused" in op}
            assert len(lost) == CLIENTS
        for project, before in projects.items():
            assert snapshot(Api(daemon.channel(), project)) == before, "an old project changed"
    # The load was mixed: everything was done, and everything refused, at least once.
    assert kinds >= {"start", "start-claim", "take-over", "deliver", "claim", "resume"}
    assert kinds >= {"dispose", "complete", "fail", "cancel", "write"}
    assert kinds >= {"HOOK_CONFLICT", "HOOK_NOT_FOUND"}


def collect(clients: Clients, count: int) -> list[Op]:
    """The next things that the clients say."""
    said = []
    while len(said) < count:
        number, what = clients.next()
        assert what is not None, f"client {number} has ended"
        said.append(what)
    return said


def work_until_killed(clients: Clients, daemon: Daemon, after: int) -> tuple[list[Op], list[Op]]:
    """Kills the daemon after so many answers; returns what was acknowledged, and what lost."""
    done: list[Op] = []
    lost: list[Op] = []
    while len(lost) < CLIENTS:
        (said,) = collect(clients, 1)
        if "lost" in said:
            lost.append(said["lost"])
            continue
        done.append(said["done"])
        if len(done) == after:
            daemon.kill()
    assert len(done) >= after
    return done, lost


def check_acknowledged(found: Snapshot, done: list[Op]) -> None:
    """Everything that a client was told holds."""
    disposed = {(op["run"], op["hook"]) for op in done if op["op"] == "dispose"}
    for op in done:
        if "refused" in op:
            _check_refused(found, op)
        elif "seq" in op:
            _check_payload(found, op)
        elif op["op"] == "claim":
            _check_hook(found, op["run"], op["hook"], op["token"], op["revision"])
        elif "hooks" in op:
            for hook_id, token, revision in op["hooks"]:
                _check_hook(found, op["run"], hook_id, token, revision)
            for run_id in op["superseded"]:
                assert found.runs[run_id].status == RUN_STATUS_CANCELLED
            assert op["run"] in found.runs
        elif op["op"] == "write":
            chunk = found.streams[op["run"], "default"][op["at"]]
            assert chunk.decode() == op["chunk"]
        elif op["op"] in ENDED:
            _check_ended(found, op)
    for run_id, hook_id in disposed:
        hook = found.hooks[run_id, hook_id]
        assert hook.status in (HOOK_STATUS_DISPOSED, HOOK_STATUS_CLOSED)
        held = found.tokens.get(hook.token)
        assert held is None or (held.run_id, held.hook_id) != (run_id, hook_id)


def _check_hook(found: Snapshot, run_id: str, hook_id: str, token: str, revision: int) -> None:
    hook = found.hooks[run_id, hook_id]
    assert (hook.token, hook.revision) == (token, revision)
    if hook.status == HOOK_STATUS_ACTIVE:
        assert found.runs[run_id].status in ACTIVE
        assert found.tokens[token].revision == revision


def _check_payload(found: Snapshot, op: Op) -> None:
    (event,) = [
        event for event in found.logs[op["run"]] if event.hook_received.payload_id == op["payload"]
    ]
    assert (event.correlation_id, event.hook_received.payload_seq) == (op["hook"], op["seq"])
    assert event.hook_received.payload.data.decode() == f'"{op["payload"]}"'


def _check_ended(found: Snapshot, op: Op) -> None:
    run = found.runs[op["run"]]
    assert run.status == ENDED[op["op"]]
    last = found.logs[op["run"]][-1]
    said = {
        "complete": last.run_completed.output.data.decode().strip('"'),
        "fail": last.run_failed.failure.message,
        "cancel": last.run_cancelled.reason,
    }
    assert said[op["op"]] == op["why"]
    assert not [token for token, hook in found.tokens.items() if hook.run_id == op["run"]]


def _check_refused(found: Snapshot, op: Op) -> None:
    if op["refused"] == "RUN_NOT_ACTIVE":
        assert found.runs[op["run"]].status not in ACTIVE
    if op["refused"] == "HOOK_CONFLICT":
        # The owner that was named was there: a conflict too is told only when it is on disk.
        owners = [h for h in found.hooks.values() if h.run_id == op["owner"]]
        assert op["token"] in {hook.token for hook in owners}
    if op["refused"] == "HOOK_CONFLICT" and op["op"] == "claim":
        event = [e for e in found.logs[op["run"]] if e.correlation_id == op["hook"]]
        assert [e.hook_conflict.conflict.run_id for e in event] == [op["owner"]]


def check_once(found: Snapshot) -> None:
    """No payload was appended twice, in whichever run."""
    ids = [
        event.hook_received.payload_id
        for log in found.logs.values()
        for event in log
        if event.WhichOneof("data") == "hook_received"
    ]
    assert len(ids) == len(set(ids))
