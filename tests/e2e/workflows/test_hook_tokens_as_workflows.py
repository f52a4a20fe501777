"""The section "Hooks and tokens", written as workflows: tokens, and how they become free."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hookd import Client, HookStatus, Run, RunFailedError

from tests.e2e.workflows.programs import hooks
from tests.e2e.workflows.watching import check_free, eventually, log_of, result, seen
from tests.support.api import unique

TEXTS = [
    "x",
    " ",
    "  order 42  ",
    "\0",
    "a\0b",
    "/a/../b//",
    "a\r\nb\tc",
    "\"'`{}[]%s\\",
    "Zahlung-für-Jörg",
    "é",
    "e\u0301",
    "דרור-עם-\u202e",
    "🪝",
    "👩‍👩‍👧‍👦",
    "\U0010ffff",
    "x" * 512,
    "🪝" * 128,
    "42",
    "--token",
]


def tokens_of(name: str) -> list[str]:
    """Tokens of a test."""
    return [f"{name} plain", f"{name}/with/slash", f"{name}-🪝"]


async def owner_of(client: Client, tokens: list[str], **more: object) -> Run:
    """A run that holds tokens until a payload to the token with "signal" says how to end."""
    run = await client.start(hooks.own_and_end, tokens, f"{tokens[0]} signal", *more.values())
    await client.get_hook_by_token(f"{tokens[0]} signal", wait=30)
    return run


async def check_claimed(client: Client, tokens: list[str]) -> None:
    """Each token can be claimed at once by another workflow."""
    assert await result(await client.start(hooks.claim_all, tokens)) == [None] * len(tokens)


async def check_taken(client: Client, tokens: list[str], owner: Run) -> None:
    """No token can be claimed, and the owner is named."""
    lost = await result(await client.start(hooks.claim_all, tokens))
    assert lost == [owner.run_id] * len(tokens)


@pytest.mark.parametrize("end", ["complete", "fail", "cancel", "dispose"])
async def test_hook_token_free_after(client: Client, token: str, end: str) -> None:
    tokens = tokens_of(token)
    run = await owner_of(client, tokens)
    await check_taken(client, tokens, run)
    signal = f"{tokens[0]} signal"
    match end:
        case "cancel":
            await run.cancel()
        case "dispose":
            await client.resume_hook(signal, "dispose")
            await client.get_hook_by_token(f"{signal}/2", wait=30)
        case "complete":
            await client.resume_hook(signal, "complete")
            assert await result(run) == "complete"
        case "fail":
            await client.resume_hook(signal, "fail")
            with pytest.raises(RunFailedError):
                await result(run)
    await check_claimed(client, tokens)
    if end == "dispose":
        await client.resume_hook(f"{signal}/2", "end")
        assert await result(run) == "end"


async def test_hook_token_free_after_ttl(client: Client, token: str) -> None:
    """Nobody asks for it: the daemon ends the hook, and tells the workflow."""
    run = await client.start(hooks.own_for, token, 1)
    await client.resume_hook(token, "kept", wait=30)
    await check_taken(client, [token], run)
    assert await result(run) == ["kept", "expired"]
    log = await log_of(run)
    (created,) = [event for event in log if event.type == "hook_created"]
    (gone,) = [event for event in log if event.type == "hook_disposed"]
    assert gone.data["cause"] == "expired"
    assert gone.time is not None
    assert created.time is not None
    assert gone.time - created.time >= timedelta(seconds=1)
    await check_claimed(client, [token])


@pytest.mark.parametrize("end", ["complete", "fail", "cancel"])
async def test_hook_token_held_after_completion(client: Client, token: str, end: str) -> None:
    """A late duplicate learns the final status; dispose frees the token at once."""
    run = await owner_of(client, [token], hold_after=3600)
    if end == "cancel":
        await run.cancel()
    else:
        await client.resume_hook(f"{token} signal", end)
        await seen(run, "run_completed" if end == "complete" else "run_failed")
    late = await result(await client.start(hooks.process_payment, token))
    assert (late["success"], late["run_id"]) == (False, run.run_id)
    assert late["status"] == {"complete": "completed", "fail": "failed"}.get(end, "cancelled")
    await (await client.get_hook_by_token(token)).dispose()
    await check_claimed(client, [token])


async def test_hook_token_held_after_completion_until_the_hold_is_over(
    client: Client, token: str
) -> None:
    run = await owner_of(client, [token], hold_after=0.4)
    await client.resume_hook(f"{token} signal", "complete")
    ended = await seen(run, "run_completed")

    async def claimed() -> Run | None:
        claimer = await client.start(hooks.claim, token)
        return claimer if await result(claimer) is None else None

    claimer = await eventually(claimed)
    assert claimer is not None
    (created,) = [event for event in await log_of(claimer) if event.type == "hook_created"]
    assert created.time is not None
    assert ended.time is not None
    assert created.time - ended.time >= timedelta(seconds=0.4)
    assert (await (await run.hook("hook-1")).info()).status is HookStatus.CLOSED


async def test_hook_tokens_any_text(client: Client) -> None:
    run = await client.start(hooks.claim_texts, TEXTS)
    for n, token in enumerate(TEXTS):
        answer = await client.resume_hook(token, n, wait=30)
        assert (answer.run_id, answer.hook_id) == (run.run_id, f"hook-{n + 1}")
    assert await result(run) == list(range(len(TEXTS)))
    await check_free(client, *TEXTS)


async def test_hook_tokens_that_are_none(client: Client, token: str) -> None:
    """Refused where they are made, so that the workflow can go on; they take nothing."""
    run = await client.start(hooks.claim_nonsense, token)
    *told, conflict = await result(run)
    assert conflict == "None"
    assert len(told) == 5
    assert all("token" in text for text in told)
    log = await log_of(run)
    assert [event.data["token"] for event in log if event.type == "hook_created"] == [token]


async def test_hook_failed_claim_takes_nothing(client: Client, token: str) -> None:
    """A claim with facts that are none is refused where it is made; the token stays free."""
    run = await client.start(hooks.claim_with_bad_facts, token, f"{token} done")
    await client.get_hook_by_token(f"{token} done", wait=30)
    await check_claimed(client, [token])
    await client.resume_hook(f"{token} done", None)
    told = await result(run)
    assert [text.partition(":")[0] for text in told] == [
        *["metadata"] * 2,
        *["ttl"] * 2,
        "hold_after",
    ]
    log = await log_of(run)
    assert [event.data["token"] for event in log if event.type == "hook_created"] == [
        f"{token} done"
    ]


async def test_hook_tokens_over_the_limit(client: Client) -> None:
    """The limit is the daemon's: the run fails with an error that says so."""
    run = await client.start(hooks.claim_one, "x" * 513)
    with pytest.raises(RunFailedError) as failed:
        await result(run)
    assert failed.value.type == "InvalidArgumentError"
    assert "token" in failed.value.message
    assert "512" in failed.value.message
    assert "hook_created" not in [event.type for event in await log_of(run)]


async def test_hook_auto_tokens_unique(client: Client) -> None:
    """No repeat within a run or among runs, nothing of the run in them, the same in a replay."""
    runs = [await client.start(hooks.draw, 50) for _ in range(8)]
    drawn = [await result(run) for run in runs]
    tokens = [token for one in drawn for token in one["tokens"]]
    assert len(set(tokens)) == 8 * 50
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{22}", token) for token in tokens)
    assert len({str(one["drawn"]) for one in drawn}) == 8
    for run, one in zip(runs, drawn, strict=True):
        # What the step recorded was drawn before it; what is returned, in the last replay.
        assert one["recorded"] == [*one["tokens"], *one["drawn"]]
        created = [e.data["token"] for e in await log_of(run) if e.type == "hook_created"]
        assert created == one["tokens"]


async def test_hook_auto_tokens_are_not_those_of_the_run_id(warm: Client, cold: Client) -> None:
    """Who knows the run's id, its workflow and its input does not know its tokens."""
    run_id = unique("same")
    drawn = [
        await result(await client.start(hooks.draw, 10, run_id=run_id)) for client in (warm, cold)
    ]
    assert not set(drawn[0]["tokens"]) & set(drawn[1]["tokens"])
    assert drawn[0]["drawn"] != drawn[1]["drawn"]


async def test_hook_projects_are_apart(warm: Client, cold: Client, token: str) -> None:
    runs = {client: await client.start(hooks.process_payment, token) for client in (warm, cold)}
    for client, run in runs.items():
        await client.resume_hook(token, client.project, wait=30)
        assert await result(run) == {"success": True, "payment": client.project}
