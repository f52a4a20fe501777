"""Engines and the daemon do what the oracle says: the same answers, and the same things there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hookd.v1 import hook_service_pb2, run_service_pb2
from hookd.v1.errors_pb2 import ErrorReason
from hookd_daemon.api.naming import snake
from hookd_daemon.testing.quiet import modest_logs
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model import steps as what
from tests.model.daemon_world import DaemonWorld
from tests.model.machine import Machine
from tests.model.steps import RETENTION_MS
from tests.model.things import CODES
from tests.model.worlds import Memory, Rocks, World
from tests.support import effort

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

#: The calls by which everything is looked at after each step.
LOOKS = {"list_runs", "list_hooks", "list_events"}
#: What is shown elsewhere: answers of webhooks and keys, which change no run, hook, token or
#: payload; see tests/e2e/webhooks and tests/e2e/doors.
CALLS_ELSEWHERE = {"respond_webhook"}
REASONS_ELSEWHERE = {"UNAUTHENTICATED", "PERMISSION_DENIED"}


def test_no_call_and_no_reason_is_forgotten() -> None:
    """What is new in the API has to get into the oracle, or be named above."""
    services = [
        run_service_pb2.DESCRIPTOR.services_by_name["RunService"],
        hook_service_pb2.DESCRIPTOR.services_by_name["HookService"],
    ]
    calls = {snake(method.name) for service in services for method in service.methods}
    # One of them is a call made in another way, the other one of workers.
    ours = {*what.CALLS} - {"get_hook_by_id", "complete_turn"}
    assert calls == ours | LOOKS | CALLS_ELSEWHERE
    reasons = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()}  # noqa: SIM118
    assert reasons - {"UNSPECIFIED"} == CODES.keys() | REASONS_ELSEWHERE


def play(
    worlds: Sequence[World], examples: int, steps: int, restarts: int, reasons: Sequence[str]
) -> None:
    """Plays random examples, and sees that everything has occurred in them.

    Args:
        worlds: what is held against the oracle.
        examples: how many examples, with an effort of 1.
        steps: how many steps each has.
        restarts: how often the worlds go down in each, at most.
        reasons: the reasons of errors that have to occur.
    """
    tally: Counter[str] = Counter()
    body = {"worlds": worlds, "tally": tally, "restarts": restarts}
    kind = seed(effort.seed())(type("Example", (Machine,), body))
    tour = type("Tour", (kind,), {"restarts": 2})()
    tour.begin(some=[0, 0, 0, what.LEASES[2]])
    for step in what.TOUR:
        tour.act(step=step)
    tour.teardown()
    run_state_machine_as_test(
        kind,
        settings=settings(
            max_examples=effort.effort(examples),
            stateful_step_count=steps,
            deadline=None,
            database=None,
            # Making a failure short takes minutes.
            phases=[Phase.generate, Phase.shrink][: 1 + (effort.factor() >= 1)],
            suppress_health_check=list(HealthCheck),
        ),
    )
    if effort.factor() < 1:
        return  # too little for everything to occur
    wanted = [*what.CALLS, *what.OUTCOMES, *what.REPEATS, *what.ENDS, *reasons]
    missing = [word for word in wanted if not tally[word]]
    assert not missing, f"never occurred: {missing}; {tally}"


@pytest.mark.torture
def test_engines_agree_with_the_oracle(tmp_path: Path) -> None:
    """In this process, where a crash is a power cut."""
    engines = [
        Memory("in memory", RETENTION_MS),
        Rocks("on RocksDB", RETENTION_MS, tmp_path),
    ]
    # Whoever counts streams is outside of the engines.
    reasons = [reason for reason in CODES if reason != "LIMIT_EXCEEDED"]
    try:
        with modest_logs():
            play(engines, examples=50, steps=50, restarts=4, reasons=reasons)
    finally:
        for engine in engines:
            engine.close()


@pytest.mark.torture
def test_a_daemon_agrees_with_the_oracle(tmp_path: Path) -> None:
    """A process, over gRPC, where a crash is a SIGKILL."""
    daemon = DaemonWorld(tmp_path, RETENTION_MS)
    try:
        play([daemon], examples=12, steps=60, restarts=1, reasons=list(CODES))
    finally:
        daemon.close()
