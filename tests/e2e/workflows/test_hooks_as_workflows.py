"""The section "Hooks and tokens", written as workflows: payloads, conflicts and disposal."""

from __future__ import annotations

import asyncio

import hookd
import pytest
from hookd import Client, HookNotFoundError, HookSpec, Run, RunFailedError

from tests.e2e.workflows.conftest import StartWorker
from tests.e2e.workflows.programs import hooks
from tests.e2e.workflows.watching import (
    all_but_one_ended,
    check_free,
    log_of,
    result,
    seen,
    types_of,
)
from tests.support.api import unique
from tests.support.daemon import Daemon


async def test_hook_receives_three_payloads_in_order(client: Client) -> None:
    token = unique("order:42/approval")
    run = await client.start(hooks.collect, token, {"who": "alice"})
    payloads = [{"n": 1}, {"n": 2}, {"n": 3, "done": True}]
    answers = [await client.resume_hook(token, payload, wait=30) for payload in payloads]
    assert await result(run) == {"metadata": {"who": "alice"}, "payloads": payloads}
    assert [(a.run_id, a.payload_seq, a.duplicate) for a in answers] == [
        (run.run_id, n, False) for n in (1, 2, 3)
    ]
    assert await types_of(run) == [
        "run_created",
        "run_started",
        "hook_created",
        *["hook_received"] * 3,
        "run_completed",
    ]


async def test_hook_metadata_is_seen_from_outside(client: Client, token: str) -> None:
    run = await client.start(hooks.collect, token, {"who": "alice"})
    hook = await client.get_hook_by_token(token, wait=30)
    assert (hook.run, hook.metadata) == (run, {"who": "alice"})
    await client.resume_hook(token, {"done": True})
    await result(run)


async def owner(client: Client, token: str) -> Run:
    """A run that holds a token, and completes with its first payload."""
    run = await client.start(hooks.process_payment, token)
    await seen(run, "hook_created")
    return run


async def test_hook_reports_conflict_with_owner(client: Client, token: str) -> None:
    first = await owner(client, token)
    revision = (await client.get_hook_by_token(token)).revision
    loser = await client.start(hooks.process_payment, token)
    assert await result(loser) == {
        "success": False,
        "token": token,
        "run_id": first.run_id,
        "hook_id": "hook-1",
        "status": "running",
        "workflow": "process_payment",
        "revision": revision,
        "message": f'Hook token "{token}" is already in use by another workflow '
        f"(run {first.run_id})",
    }
    # The owner has not noticed.
    assert (await client.resume_hook(token, {"amount": 42})).run_id == first.run_id
    assert await result(first) == {"success": True, "payment": {"amount": 42}}
    assert "hook_conflict" not in await types_of(first)


async def test_hook_conflict_is_an_event(client: Client, token: str) -> None:
    """A replay meets it again, though the token is free since; a new hook gets the token."""
    wake = unique("wake")
    first = await owner(client, token)
    loser = await client.start(hooks.lose_and_try_again, token, wake)
    await seen(loser, "hook_created")
    (conflict,) = [event for event in await log_of(loser) if event.type == "hook_conflict"]
    assert conflict.data["conflict"].run_id == first.run_id
    await client.resume_hook(token, "payment")
    await result(first)
    await check_free(client, token)
    await client.resume_hook(wake, None)
    assert await result(loser) == [first.run_id, first.run_id, first.run_id, None]
    assert (await types_of(loser)).count("hook_conflict") == 1


async def test_hook_conflict_is_an_event_for_another_worker(
    shared_daemon: Daemon, start_worker: StartWorker, project: str, token: str
) -> None:
    """The worker that met it is killed, and the token is free when the next one comes."""
    worker = start_worker(shared_daemon, project, "workers:warm")
    async with hookd.connect(shared_daemon.address, project=project) as client:
        first = await owner(client, token)
        loser = await client.start(hooks.lose_and_try_again, token, f"{token}/wake")
        await seen(loser, "hook_created")
        worker.kill()
        await first.cancel()
        await check_free(client, token)
        await client.resume_hook(f"{token}/wake", None)
        second = start_worker(shared_daemon, project, "workers:warm")
        assert await result(loser) == [first.run_id] * 3 + [None]
        second.kill()


async def test_hook_same_id_is_no_conflict(client: Client, token: str) -> None:
    """A replay creates the same hook again, in this worker or in another; that adds no event."""
    run = await client.start(hooks.collect, token)
    revision = (await client.get_hook_by_token(token, wait=30)).revision
    for n in range(4):
        await client.resume_hook(token, {"n": n})
        hook = await client.get_hook_by_token(token)
        assert (hook.run, hook.hook_id, hook.revision) == (run, "hook-1", revision)
    await client.resume_hook(token, {"done": True})
    await result(run)
    kinds = await types_of(run)
    assert (kinds.count("hook_created"), kinds.count("hook_conflict")) == (1, 0)


async def test_hook_same_hook_id_other_run(client: Client, token: str) -> None:
    """The ids of hooks are counted in each run: the first of each is "hook-1"."""
    first = await owner(client, token)
    loser = await client.start(hooks.claim_twice, token)
    assert await result(loser) == [first.run_id] * 2
    conflicts = [event for event in await log_of(loser) if event.type == "hook_conflict"]
    assert [event.correlation_id for event in conflicts] == ["hook-1", "hook-2"]
    assert [event.data["conflict"].hook_id for event in conflicts] == ["hook-1"] * 2
    other = await owner(client, f"{token}/other")
    assert (await client.get_hook_by_token(f"{token}/other")).hook_id == "hook-1"
    for each in (first, other):
        await each.cancel()


async def test_hook_own_run_conflict(client: Client, token: str) -> None:
    run = await client.start(hooks.claim_twice, token)
    assert await result(run) == [None, run.run_id]
    (conflict,) = [e.data["conflict"] for e in await log_of(run) if e.type == "hook_conflict"]
    assert (conflict.run_id, conflict.hook_id) == (run.run_id, "hook-1")
    await check_free(client, token)


async def test_hook_get_conflict(client: Client, token: str) -> None:
    """None for the winner, the owner's run for the loser; repeatable, takes no payload."""
    runs = []
    for name in ("winner", "loser"):
        run = await client.start(hooks.ask_for_conflicts, token, f"{token}/{name}")
        await client.get_hook_by_token(f"{token}/{name}", wait=30)
        runs.append(run)
    await client.resume_hook(token, "kept")
    for name in ("loser", "winner"):
        await client.resume_hook(f"{token}/{name}", None)
    winner, loser = runs
    assert await result(winner) == [None, None, None, "kept", None]
    assert await result(loser) == [winner.run_id] * 3
    assert (await types_of(loser)).count("hook_conflict") == 1


@pytest.mark.parametrize("how", ["await", "dispose", "dispose and wait", "dispose outside"])
async def test_hook_buffered_before_await(client: Client, token: str, how: str) -> None:
    """What came before anyone waits is delivered in order, also after a dispose that follows."""
    wake = f"{token}/wake"
    run = await client.start(hooks.read_late, token, wake, how)
    for n in range(5):
        await client.resume_hook(token, n, wait=30)
    if how == "dispose outside":
        await (await client.get_hook_by_token(token)).dispose()
    await client.resume_hook(wake, None, wait=30)
    assert await result(run) == [0, 1, 2, 3, 4]
    await check_free(client, token)


async def test_hook_dispose_idempotent(client: Client, token: str) -> None:
    wake = f"{token}/wake"
    run = await client.start(hooks.dispose_again, token, wake)
    await client.get_hook_by_token(wake, wait=30)
    await check_free(client, token)
    await client.resume_hook(wake, None)
    assert await result(run) == [None, None]
    gone = [e.data["already_gone"] for e in await log_of(run) if e.type == "hook_disposed"]
    assert gone.count(False) == 1


async def test_hook_dispose_idempotent_on_a_conflicted_hook(client: Client, token: str) -> None:
    """The owner keeps its token."""
    first, wake = await owner(client, token), f"{token}/wake"
    loser = await client.start(hooks.dispose_again, token, wake)
    await client.resume_hook(wake, None, wait=30)
    assert await result(loser) == [first.run_id, first.run_id]
    gone = [e.data["already_gone"] for e in await log_of(loser) if e.type == "hook_disposed"]
    assert False not in gone
    assert (await client.resume_hook(token, "mine")).run_id == first.run_id
    assert await result(first) == {"success": True, "payment": "mine"}


async def test_hook_disposed_from_outside(client: Client, token: str) -> None:
    """The workflow that waits is told; then the outside can dispose it again."""
    run = await client.start(hooks.wait_until_closed, token)
    hook = await client.get_hook_by_token(token, wait=30)
    assert await hook.dispose() is True
    assert await hook.dispose() is False
    assert await result(run) == "disposed"
    assert (await types_of(run)).count("hook_disposed") == 1


async def test_hook_recreated_after_dispose(client: Client, token: str) -> None:
    """In one turn, and over several: a new claim each time, never a conflict with itself."""
    run = await client.start(hooks.claim_again, token, 3)
    for n in range(3):
        await seen(run, "hook_created", 4 + n)
        await client.resume_hook(token, n)
    assert await result(run) == [None, 0, 1, 2]
    kinds = await types_of(run)
    assert "hook_conflict" not in kinds
    assert (kinds.count("hook_created"), kinds.count("hook_disposed")) == (7, 6)
    await check_free(client, token)


async def check_not_found(client: Client, token: str, *runs: Run) -> None:
    """A resume is refused, names the token, and adds no event."""
    before = [(await run.info()).last_seq for run in runs]
    with pytest.raises(HookNotFoundError) as refused:
        await client.resume_hook(token, "lost")
    assert refused.value.token == token
    assert [(await run.info()).last_seq for run in runs] == before


async def test_hook_resume_unknown(client: Client, token: str) -> None:
    run = await owner(client, f"{token}/other")
    await check_not_found(client, token, run)
    await run.cancel()


async def test_hook_resume_disposed(client: Client, token: str) -> None:
    run = await client.start(hooks.own_and_end, [token], f"{token}/signal")
    await client.resume_hook(f"{token}/signal", "dispose", wait=30)
    await client.get_hook_by_token(f"{token}/signal/2", wait=30)
    await check_not_found(client, token, run)
    await client.resume_hook(f"{token}/signal/2", "end")
    assert await result(run) == "end"


@pytest.mark.parametrize("end", ["complete", "fail", "cancel"])
async def test_hook_resume_ended(client: Client, token: str, end: str) -> None:
    signal = f"{token}/signal"
    run = await client.start(hooks.own_and_end, [token], signal, 3600)
    await client.get_hook_by_token(signal, wait=30)
    if end == "cancel":
        await run.cancel()
    else:
        await client.resume_hook(signal, end)
        await seen(run, "run_completed" if end == "complete" else "run_failed")
    # Also while the token is held.
    await check_not_found(client, token, run)
    await check_not_found(client, signal, run)


async def test_hook_resume_payload_id(client: Client, token: str) -> None:
    """The retry after the payload has ended the run is a duplicate, not the next owner's."""
    first = await owner(client, token)
    await client.resume_hook(token, "payment", payload_id="p-1")
    await result(first)
    second = await owner(client, token)
    retry = await client.resume_hook(token, "payment", payload_id="p-1")
    assert (retry.duplicate, retry.run_id) == (True, first.run_id)
    await client.resume_hook(token, "another", payload_id="p-2")
    assert await result(second) == {"success": True, "payment": "another"}


async def test_hook_resume_waits(client: Client, token: str) -> None:
    """Sent before the run has created its hook, before there even is a run."""
    with pytest.raises(HookNotFoundError):
        await client.resume_hook(token, "too early")
    with pytest.raises(HookNotFoundError):
        await client.resume_hook(token, "too early", wait=0.1)
    waiting = asyncio.create_task(client.resume_hook(token, "early", wait=30))
    await asyncio.sleep(0)
    run = await client.start(hooks.process_payment, token)
    assert (await waiting).run_id == run.run_id
    assert await result(run) == {"success": True, "payment": "early"}


async def test_hook_claimed_by_the_start(client: Client, token: str) -> None:
    """``create_hook`` with the token finds the hook that was created with the run."""
    run = await client.start(
        hooks.process_payment,
        token,
        claims=[HookSpec(token)],
        on_conflict="deliver",
        payload="with the start",
    )
    assert await result(run) == {"success": True, "payment": "with the start"}
    assert (await types_of(run)).count("hook_created") == 1
    await check_free(client, token)


async def test_hook_claimed_by_the_start_and_again(client: Client, token: str) -> None:
    """It is found once: a second one with the token is a conflict with the own run."""
    run = await client.start(hooks.claim_twice, token, claims=[HookSpec(token)])
    assert await result(run) == [None, run.run_id]


async def test_hook_claimed_by_the_start_and_disposed(client: Client, token: str) -> None:
    run = await client.start(hooks.claim_again, token, 2, claims=[HookSpec(token)])
    for n in range(2):
        await seen(run, "hook_created", 3 + n)
        await client.resume_hook(token, n)
    assert await result(run) == [None, 0, 1]
    assert "hook_conflict" not in await types_of(run)


async def test_hook_of_a_start_that_delivers_to_the_owner(client: Client, token: str) -> None:
    first = await owner(client, token)
    second = await client.start(
        hooks.process_payment,
        token,
        claims=[HookSpec(token)],
        on_conflict="deliver",
        payload="from the second",
    )
    assert second == first
    assert await result(first) == {"success": True, "payment": "from the second"}


async def test_hook_conflict_storm(cold: Client) -> None:
    """20 runs claim a token at once, on two workers: one winner, and every loser names it."""
    for _ in range(3):
        token = unique("storm")
        runs = [
            await cold.start(hooks.process_payment, token, run_id=unique(token)) for _ in "x" * 20
        ]
        winner = await all_but_one_ended(runs)
        await cold.resume_hook(token, "won")
        results = [await result(run) for run in runs]
        assert results.count({"success": True, "payment": "won"}) == 1
        losers = [lost for lost in results if not lost["success"]]
        assert {lost["run_id"] for lost in losers} == {winner.run_id}
        assert len({lost["revision"] for lost in losers}) == 1
        await check_free(cold, token)


async def test_hook_payload_that_fits_a_declared_type(client: Client, token: str) -> None:
    run = await client.start(hooks.approve, token)
    await client.resume_hook(token, {"by": "alice", "amount": 3}, wait=30)
    assert await result(run) == hooks.Approval("alice", 3)


async def test_hook_workflow_that_fails_frees_what_it_claimed_in_that_turn(
    client: Client, token: str
) -> None:
    run = await client.start("raises", token)
    with pytest.raises(RunFailedError, match="as bad as it gets"):
        await result(run)
    await check_free(client, token)
