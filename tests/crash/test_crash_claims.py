"""Sixteen client processes claim the same thousand tokens, with and without a crash."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pytest

from tests.crash.processes import Clients
from tests.support.api import Api
from tests.support.daemon import Daemon
from tests.support.snapshot import check_whole, snapshot

CLIENTS = 16
TOKENS = 1000
PROJECT = "storm"


@pytest.mark.parametrize("kill_after", [(), (2_000, 7_000)], ids=["undisturbed", "killed"])
def test_crash_claims_of_sixteen_processes(daemon: Daemon, kill_after: tuple[int, ...]) -> None:
    """Every token has exactly one owner, and every loser names it."""
    arguments = [[daemon.address, PROJECT, f"run-{i}", str(TOKENS), str(i)] for i in range(CLIENTS)]
    answers: dict[str, list[dict[str, Any]]] = defaultdict(list)
    again = answered = ready = 0
    kills = list(kill_after)
    with Clients("claimer.py", arguments) as clients:
        while not clients.all_ended:
            _, said = clients.next()
            if said is None:
                continue
            if "ready" in said:
                ready += 1
                if ready == CLIENTS:
                    clients.tell(go=True)
            elif "again" in said:
                again += 1
            else:
                answers[said["token"]].append(said)
                answered += 1
                if kills and answered >= kills[0]:
                    del kills[0]
                    daemon.restart()
        assert clients.results() == [0] * CLIENTS
    assert not kills
    assert (again > 0) == bool(kill_after), "the kill has disturbed nobody"
    assert answered == CLIENTS * TOKENS

    found = snapshot(Api(daemon.channel(), PROJECT))
    check_whole(Api(daemon.channel(), PROJECT), found)
    assert len(found.tokens) == len(answers) == TOKENS
    wins: Counter[str] = Counter()
    for token, told in answers.items():
        assert sum(answer["won"] for answer in told) == 1, told
        # Winner and losers all name one owner, one hook, one revision: the daemon's.
        owner = found.tokens[token]
        named = {(answer["owner"], answer["hook"], answer["revision"]) for answer in told}
        assert named == {(owner.run_id, owner.hook_id, owner.revision)}
        wins[owner.run_id] += 1
    assert len(wins) > 1, "one client has won all of it: that was no race"
    revisions = [hook.revision for hook in found.tokens.values()]
    assert len(set(revisions)) == TOKENS
    # Each run has an event for each token, won or lost, and no second one.
    for log in found.logs.values():
        kinds = Counter(event.WhichOneof("data") for event in log)
        assert kinds["hook_created"] + kinds["hook_conflict"] == TOKENS
