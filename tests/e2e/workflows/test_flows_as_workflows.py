"""The section "Idempotency flows", each written as a workflow."""

from __future__ import annotations

import asyncio

from hookd import Client, HookNotFoundError, HookSpec, Run, RunStatus, StartOutcome

from tests.e2e.workflows.programs import flows
from tests.e2e.workflows.programs.marks import marks
from tests.e2e.workflows.watching import all_but_one_ended, check_free, result, seen, types_of
from tests.support.api import unique

CALLERS = 16


async def winner_of(runs: list[Run]) -> Run:
    """Waits until each of the runs has claimed its token or lost it; gives the one that got it."""

    async def claimed(run: Run) -> bool:
        async for event in run.watch():
            if event.type in ("hook_created", "hook_conflict"):
                return event.type == "hook_created"
        raise AssertionError("the run has ended without a claim")

    won = await asyncio.gather(*map(claimed, runs))
    (winner,) = [run for run, has_won in zip(runs, won, strict=True) if has_won]
    return winner


async def test_flow_reject_duplicate(client: Client, token: str) -> None:
    """Of many deliveries of one order, one is worked on; the others learn by whom."""
    runs = [await client.start(flows.once_per_order, token) for _ in range(CALLERS)]
    winner = await winner_of(runs)
    others = [await result(run) for run in runs if run != winner]
    assert others == [{"duplicate_of": winner.run_id}] * (CALLERS - 1)
    await client.resume_hook(token, {"amount": 42})
    assert await result(winner) == {"payment": {"amount": 42}}
    # When it is over the order may come again.
    again = await client.start(flows.once_per_order, token)
    await client.resume_hook(token, "anew", wait=30)
    assert await result(again) == {"payment": "anew"}


async def test_flow_adopt_owner_result(client: Client, token: str) -> None:
    """The losers wait for the winner, and return its result."""
    runs = [await client.start(flows.report, token) for _ in range(8)]
    winner = await winner_of(runs)
    await client.resume_hook(token, "the one")
    assert [await result(run) for run in runs] == [{"report": "the one"}] * 8
    assert (await types_of(winner)).count("step_scheduled") == 0


async def test_flow_forward_payload_to_owner(client: Client, token: str) -> None:
    """A loser hands what it brought to the winner; each piece arrives once."""
    count = 8
    first = await client.start(flows.inbox, token, 0, count)
    await seen(first, "hook_created")
    others = [await client.start(flows.inbox, token, n + 1, count) for n in range(count)]
    assert [await result(run) for run in others] == ["forwarded"] * count
    assert await result(first) == list(range(1, count + 1))
    assert (await types_of(first)).count("hook_received") == count


async def test_flow_stream_owner_output(client: Client, token: str) -> None:
    """The losers, and whoever looks from outside, show what the winner writes."""
    words = [f"word {n}" for n in range(10)]
    first = await client.start(flows.chat, token)
    await client.resume_hook(token, words[0], wait=30)
    others = [await client.start(flows.chat, token) for _ in range(3)]
    for word in [*words[1:], None]:
        await client.resume_hook(token, word)
    said = [{"word": word} for word in words]
    assert [chunk async for chunk in first.readable()] == said
    assert [await result(run) for run in (first, *others)] == [said] * 4


async def test_flow_supersede_owner(client: Client, token: str) -> None:
    """Cancel the owner, then claim: the last one has the token."""
    runs = []
    for _ in range(5):
        run = await client.start(flows.deploy, token)
        await seen(run, "hook_created")
        runs.append(run)
    assert [await run.status() for run in runs[:-1]] == [RunStatus.CANCELLED] * 4
    assert (await runs[0].info()).cancel_reason == "superseded"
    await client.resume_hook(token, "deployed")
    assert await result(runs[-1]) == "deployed"


async def test_flow_supersede_owner_all_at_once(client: Client, token: str) -> None:
    """However they meet: one is left, and it has the token."""
    runs = [await client.start(flows.deploy, token) for _ in range(8)]
    left = await all_but_one_ended(runs)
    answer = await client.resume_hook(token, "deployed", wait=30)
    assert answer.run_id == left.run_id
    assert await result(left) == "deployed"
    statuses = [await run.status() for run in runs]
    assert statuses.count(RunStatus.CANCELLED) == 7


async def resume_or_start(client: Client, token: str, n: int, most: int) -> Run | None:
    """One caller of the flow; gives the run that it has started, if it has."""
    try:
        await client.resume_hook(token, n, payload_id=f"payload-{n}")
    except HookNotFoundError:
        run = await client.start(
            flows.cart,
            token,
            most,
            claims=[HookSpec(token)],
            on_conflict="deliver",
            payload=n,
            payload_id=f"payload-{n}",
        )
        assert run.started is not None
        return run if run.started.outcome is StartOutcome.STARTED else None
    return None


async def test_flow_resume_or_start(client: Client) -> None:
    """Callers at once: exactly one run, every payload exactly once."""
    for _ in range(3):
        token = unique("cart")
        calls = (resume_or_start(client, token, n, CALLERS) for n in range(CALLERS))
        (run,) = filter(None, await asyncio.gather(*calls))
        assert sorted(await result(run)) == list(range(CALLERS))
        assert (await types_of(run)).count("hook_received") == CALLERS
        await check_free(client, token)


async def test_flow_resume_or_start_while_runs_end(client: Client, token: str) -> None:
    """Runs end after a few payloads: still every payload arrives exactly once."""
    calls = (resume_or_start(client, token, n, 3) for n in range(CALLERS))
    runs = [run for run in await asyncio.gather(*calls) if run]
    # The last one may have got fewer than it takes.
    last = runs[-1] if len(runs) == 1 else await owner_of(client, token, runs)
    extra = 0
    while last is not None and not (await last.status()).ended:
        try:
            await client.resume_hook(token, "extra")
        except HookNotFoundError:
            break
        extra += 1
    got = [item for run in runs for item in await result(run)]
    assert got.count("extra") == extra
    assert sorted(item for item in got if item != "extra") == list(range(CALLERS))


async def owner_of(client: Client, token: str, runs: list[Run]) -> Run | None:
    """The run that has a token now; None when it is free."""
    try:
        return (await client.get_hook_by_token(token)).run
    except HookNotFoundError:
        return None


def check_alone(file: str, names: list[str]) -> None:
    """Nobody came in before the one who was inside had left."""
    lines = [line.split() for line in marks(file)]
    assert len(lines) == 2 * len(names)
    inside = [who for word, who in lines if word == "in"]
    assert lines == [[word, who] for who in inside for word in ("in", "out")]
    assert sorted(inside) == sorted(names)


async def test_flow_mutex(client: Client, token: str, file: str) -> None:
    """A token as a lock, never resumed: nobody else is inside."""
    names = [f"holder-{n}" for n in range(6)]
    runs = [await client.start(flows.exclusive, token, file, name) for name in names]
    assert [await result(run) for run in runs] == names
    check_alone(file, names)
    await check_free(client, token)


async def test_flow_mutex_given_back_by_dispose(client: Client, token: str, file: str) -> None:
    """A run may lock again and again; it needs not end for that."""
    names = [f"holder-{n}" for n in range(3)]
    runs = [await client.start(flows.exclusive_again, token, file, name, 3) for name in names]
    assert [await result(run) for run in runs] == names
    check_alone(file, names * 3)
    await check_free(client, token)
