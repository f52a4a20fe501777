"""So much is allowed, and not one more; what is refused leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from hookd.v1.common_pb2 import Payload
from hookd.v1.run_service_pb2 import CONFLICT_POLICY_TAKE_OVER, START_OUTCOME_STARTED
from hookd.v1.worker_service_pb2 import (
    CompleteRunCommand,
    ScheduleStepCommand,
    StartChildCommand,
    WriteChunksCommand,
)
from hookd_daemon.core import keys
from hookd_daemon.core.delivery import resume_hook
from hookd_daemon.core.ending import cancel_run
from hookd_daemon.core.hooks import Claimed, HookSpec, create_hooks
from hookd_daemon.core.limits import Limits
from hookd_daemon.core.lookup import dispose_hook, load_hook
from hookd_daemon.core.reading import list_events
from hookd_daemon.core.streams import write_chunks
from hookd_daemon.core.usage import ACTIVE_RUNS, count_active_runs
from hookd_daemon.errors import HookNotFoundError, LimitExceededError, RunNotFoundError
from hookd_daemon.store.rocks import RocksStore
from hookd_daemon.store.tx import Tx

from tests.unit.limits.tenant import P, Tenant, told

FULL = "LIMIT_EXCEEDED"


async def test_claims_of_a_batch_are_let_in_up_to_the_limit(tenant: Tenant) -> None:
    tenant.limits = Limits(active_hooks=3)
    await tenant.start("r")
    outcomes = await tenant.claim("r", "a", "b", "c", "d", "e")
    assert told(outcomes) == ["ok"] * 3 + [FULL] * 2
    refused = outcomes[3]
    assert isinstance(refused, LimitExceededError)
    assert refused.metadata == {"limit": "active_hooks", "allowed": "3"}
    assert "active_hooks of 3" in refused.message
    assert "--max-active-hooks" in refused.message


async def test_a_refused_claim_leaves_nothing_and_asks_anew(tenant: Tenant) -> None:
    tenant.limits = Limits(active_hooks=1)
    await tenant.start("r", "a", external=False)
    _, before = await tenant.call(list_events, "r", 0, 100)
    spec = HookSpec("h", "b", metadata=Payload(data=b"m"))
    assert told(await tenant.call(create_hooks, [("r", spec)])) == [FULL]
    _, after = await tenant.call(list_events, "r", 0, 100)
    assert after == before, "not even the run has begun"
    with pytest.raises(HookNotFoundError):
        await tenant.call(load_hook, "r", "h")
    assert await tenant.payload_bytes() == 0
    await tenant.call(dispose_hook, "r", "hook-of-a")
    assert told(await tenant.call(create_hooks, [("r", spec)])) == ["ok"]


async def test_what_is_there_already_is_answered_at_the_limit(tenant: Tenant) -> None:
    """A retry is a retry, and a conflict tells the owner."""
    tenant.limits = Limits(active_hooks=1, payload_bytes=1)
    await tenant.start("r", "a")
    await tenant.start("other")
    (again,) = await tenant.call(create_hooks, [("r", HookSpec("hook-of-a", "a"))])
    assert isinstance(again, Claimed)
    assert again.existed
    outcomes = await tenant.claim("other", "a", "b", metadata=Payload(data=b"much"))
    assert told(outcomes) == ["HOOK_CONFLICT", FULL]


async def test_a_start_claims_all_or_nothing(tenant: Tenant) -> None:
    tenant.limits = Limits(active_hooks=2)
    with pytest.raises(LimitExceededError):
        await tenant.start("r", "a", "b", "c")
    with pytest.raises(RunNotFoundError):
        await tenant.call(list_events, "r", 0, 100)
    assert await tenant.active_runs() == 0
    await tenant.start("r", "a", "b")


async def test_who_takes_over_takes_no_more_than_there_was(tenant: Tenant) -> None:
    tenant.limits = Limits(active_hooks=1, active_runs=1)
    await tenant.start("old", "a")
    with pytest.raises(LimitExceededError):
        await tenant.start("new", "b", policy=CONFLICT_POLICY_TAKE_OVER)
    started = await tenant.start("new", "a", policy=CONFLICT_POLICY_TAKE_OVER)
    assert (started.outcome, started.superseded) == (START_OUTCOME_STARTED, ["old"])
    assert await tenant.active_runs() == 1


async def test_held_tokens_count_until_the_hold_ends(tenant: Tenant) -> None:
    tenant.limits = Limits(active_hooks=1)
    await tenant.start("r")
    await tenant.claim("r", "a", hold_after_ms=500)
    await tenant.complete("r")
    await tenant.start("next")
    assert told(await tenant.claim("next", "b")) == [FULL]
    tenant.now += 500
    await tenant.fire_all()
    assert told(await tenant.claim("next", "b")) == ["ok"]


async def test_runs_are_let_in_up_to_the_limit(tenant: Tenant) -> None:
    tenant.limits = Limits(active_runs=2)
    await tenant.start("a")
    await tenant.start("b", external=False)
    with pytest.raises(LimitExceededError) as refused:
        await tenant.start("c")
    assert refused.value.metadata == {"limit": "active_runs", "allowed": "2"}
    await tenant.start("a")  # a retry
    await tenant.call(cancel_run, "b", "")
    await tenant.start("c")
    await tenant.complete("a")
    await tenant.complete("c")
    assert await tenant.active_runs() == 0


async def test_a_turn_is_refused_as_a_whole(tenant: Tenant) -> None:
    """Its worker fails the run with what it is told."""
    tenant.limits = Limits(active_runs=2, active_hooks=1)
    await tenant.start("r", external=False)
    turn = await tenant.turn()
    children = [StartChildCommand(run_id=f"c{i}", workflow="w") for i in range(2)]
    with pytest.raises(LimitExceededError, match="active_runs"):
        await tenant.complete_turn(turn, HookSpec("h", "a"), *children)
    with pytest.raises(LimitExceededError, match="active_hooks"):
        await tenant.complete_turn(turn, HookSpec("h", "a"), HookSpec("i", "b"))
    with pytest.raises(HookNotFoundError):
        await tenant.call(load_hook, "r", "h")
    assert await tenant.active_runs() == 1
    await tenant.complete_turn(turn, HookSpec("h", "a"), children[0])
    assert await tenant.active_runs() == 2


async def test_payloads_are_counted_by_the_byte(tenant: Tenant) -> None:
    tenant.limits = Limits(payload_bytes=10)
    await tenant.start("r", "t", input=Payload(data=b"123"))
    assert await tenant.payload_bytes() == 3
    with pytest.raises(LimitExceededError) as refused:
        await tenant.call(resume_hook, "t", "p", Payload(data=b"12345678"))
    assert refused.value.metadata == {"limit": "payload_bytes", "allowed": "10"}
    await tenant.call(resume_hook, "t", "p", Payload(data=b"1234"))
    await tenant.call(resume_hook, "t", "p", Payload(data=b"1234"))  # a retry
    assert await tenant.payload_bytes() == 7
    assert told(await tenant.claim("r", "x", metadata=Payload(data=b"1234"))) == [FULL]
    assert told(await tenant.claim("r", "x", metadata=Payload(data=b"12"))) == ["ok"]
    with pytest.raises(LimitExceededError):
        await tenant.call(write_chunks, "r", "s", 0, [Payload(data=b"1")] * 2, "w")
    await tenant.call(write_chunks, "r", "s", 0, [Payload(data=b"1")], "w")
    await tenant.call(write_chunks, "r", "s", 0, [Payload(data=b"1")], "w")  # a retry
    assert await tenant.payload_bytes() == 10
    with pytest.raises(LimitExceededError):
        await tenant.start("s", input=Payload(data=b"1"))
    await tenant.start("s")
    await tenant.call(resume_hook, "t", "empty", Payload())


async def test_what_a_run_needs_to_end_is_counted_and_not_refused(tenant: Tenant) -> None:
    tenant.limits = Limits(payload_bytes=1)
    await tenant.start("r", external=False, input=Payload(data=b"1"))
    step = ScheduleStepCommand(step_id="s", name="work", input=Payload(data=b"12"))
    chunks = WriteChunksCommand(namespace="n", chunks=[Payload(data=b"123")])
    end = CompleteRunCommand(output=Payload(data=b"1234"))
    await tenant.complete_turn(await tenant.turn(), step, chunks, end)
    assert await tenant.payload_bytes() == 1 + 2 + 3 + 4


async def test_bytes_are_kept_until_the_run_is_removed(tenant: Tenant) -> None:
    tenant.limits = Limits(payload_bytes=5)
    await tenant.start("r", input=Payload(data=b"12345"))
    await tenant.complete("r", b"67")
    assert await tenant.payload_bytes() == 7
    with pytest.raises(LimitExceededError):
        await tenant.start("s", input=Payload(data=b"1"))
    tenant.now += 1_000
    await tenant.fire_all()
    assert await tenant.payload_bytes() == 0
    await tenant.start("s", input=Payload(data=b"12345"))


async def test_projects_do_not_share_what_they_may_have(tenant: Tenant) -> None:
    other = Tenant(tenant.store, project="other")
    for each in (tenant, other):
        each.limits = Limits(active_hooks=1, active_runs=1, payload_bytes=1)
        await each.start("r", "t", input=Payload(data=b"1"))
    for each in (tenant, other):
        assert told(await each.claim("r", "u")) == [FULL]
        assert (await each.active_runs(), await each.payload_bytes()) == (1, 1)


async def test_the_counts_are_on_disk(folder: Path) -> None:
    store = RocksStore(folder)
    tenant = Tenant(store, active_runs=2, payload_bytes=5)
    await tenant.start("a", input=Payload(data=b"123"))
    await tenant.start("b", input=Payload(data=b"45"))
    store.close()
    store = RocksStore(folder)
    try:
        tenant = Tenant(store, active_runs=2, payload_bytes=5)
        assert (await tenant.active_runs(), await tenant.payload_bytes()) == (2, 5)
        with pytest.raises(LimitExceededError):
            await tenant.start("c")
    finally:
        store.close()


async def test_runs_that_nobody_counted_are_counted_at_the_start(tenant: Tenant) -> None:
    """As in a store that an older hookd has written."""
    for run_id in ("a", "b", "c"):
        await tenant.start(run_id)
    await tenant.start("d", external=False)
    await tenant.complete("c")

    async def spoil(tx: Tx) -> None:
        tx.add(keys.usage(P, ACTIVE_RUNS), 5)
        tx.add(keys.usage("gone", ACTIVE_RUNS), 7)

    async def left(tx: Tx) -> int:
        return await tx.number(keys.usage("gone", ACTIVE_RUNS))

    await tenant.store.transact(spoil)
    found = await count_active_runs(tenant.store)
    assert sum(found.values()) == 3
    assert await tenant.active_runs() == 3
    assert await tenant.store.transact(left) == 0
