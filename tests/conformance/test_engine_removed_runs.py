"""A run that was removed, before its remains are: they must not speak for a new one."""

from __future__ import annotations

from hookd.v1.common_pb2 import RUN_STATUS_RUNNING, Payload
from hookd.v1.run_service_pb2 import CONFLICT_POLICY_FAIL, START_OUTCOME_STARTED
from hookd_daemon.core import keys
from hookd_daemon.core.delivery import resume_hook
from hookd_daemon.core.ending import complete_run
from hookd_daemon.core.firing import collect_garbage, fire_timer
from hookd_daemon.core.hooks import HookSpec
from hookd_daemon.core.moment import Moment
from hookd_daemon.core.reading import list_events
from hookd_daemon.core.starting import Started, StartSpec, start_run
from hookd_daemon.core.streams import list_streams, write_chunks
from hookd_daemon.records.v1.records_pb2 import TIMER_KIND_RETENTION, TimerRecord
from hookd_daemon.store.keys import end_of
from hookd_daemon.store.tx import Store, Tx

P = "project"
NOW = Moment(now_ms=1_000, retention_ms=1_000)
SPEC = StartSpec(
    run_id="r",
    workflow="w",
    input=Payload(),
    attributes={},
    claims=[HookSpec("h", "t")],
    policy=CONFLICT_POLICY_FAIL,
    payload=Payload(),
    payload_id="",
    external=True,
    lease_ttl_ms=0,
    digest=b"digest",
    seed=b"seed",
)


async def live_and_go(store: Store) -> None:
    """A run starts, takes a payload, writes a chunk, ends, and is removed."""
    started: Started = await store.transact(start_run, NOW, P, SPEC)
    await store.transact(resume_hook, NOW, P, "t", "payload", Payload(data=b"old"))
    await store.transact(write_chunks, NOW, P, "r", "s", None, [Payload(data=b"old")], "")
    await store.transact(complete_run, NOW, P, "r", Payload())
    timer = TimerRecord(kind=TIMER_KIND_RETENTION, project=P, run_id="r", run_uid=started.run.uid)
    await store.transact(fire_timer, NOW, None, timer)


async def collect_all(store: Store, limit: int) -> int:
    """Removes all that is left; returns in how many goes."""
    begin: bytes | None = keys.GARBAGE
    goes = 0
    while (begin := await store.transact(collect_garbage, begin, limit)) is not None:
        goes += 1
        assert goes < 100
    return goes


async def test_a_run_begun_afresh_is_not_mistaken_for_the_removed_one(store: Store) -> None:
    await live_and_go(store)
    started = await store.transact(start_run, NOW, P, SPEC)
    assert started.outcome == START_OUTCOME_STARTED
    assert await store.transact(list_streams, NOW, P, "r") == []
    _, events = await store.transact(list_events, NOW, P, "r", 0, 100)
    assert [event.seq for event in events] == [1, 2, 3]
    # The same payload id with other bytes: neither a duplicate nor reused.
    told = await store.transact(resume_hook, NOW, P, "t", "payload", Payload(data=b"new"))
    assert (told.payload_seq, told.duplicate) == (1, False)


async def test_the_removal_of_the_remains_spares_the_new_run(store: Store) -> None:
    await live_and_go(store)
    await store.transact(start_run, NOW, P, SPEC)
    await store.transact(resume_hook, NOW, P, "t", "payload", Payload(data=b"new"))
    assert await collect_all(store, limit=2) > 1
    again = await store.transact(resume_hook, NOW, P, "t", "payload", Payload(data=b"new"))
    assert again.duplicate
    run, events = await store.transact(list_events, NOW, P, "r", 0, 100)
    assert run.record.status == RUN_STATUS_RUNNING
    assert events[-1].hook_received.payload.data == b"new"


async def test_the_search_begins_behind_what_is_gone(store: Store) -> None:
    """What was deleted before would be passed over each time, until RocksDB compacts."""
    for _ in range(3):
        await live_and_go(store)
    first, second, third = await store.transact(garbage)
    begin = await store.transact(collect_garbage, second, 100)
    while begin == second:
        begin = await store.transact(collect_garbage, begin, 100)
    assert begin is not None
    assert second < begin <= third
    assert await store.transact(garbage) == [first, third]
    while begin is not None:
        begin = await store.transact(collect_garbage, begin, 100)
    assert await store.transact(garbage) == [first]


async def garbage(tx: Tx) -> list[bytes]:
    """The notes of what is to be removed."""
    return [key for key, _ in await tx.scan(keys.GARBAGE, end_of(keys.GARBAGE), 100)]
