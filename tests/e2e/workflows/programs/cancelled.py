"""Workflows that are cancelled while they wait for something."""

from __future__ import annotations

import asyncio

from hookd import create_hook, get_step_metadata, sleep, step, unguarded, workflow

from tests.e2e.workflows.programs.marks import is_open, mark, wait_at, wait_for_gate


@step
async def stay(file: str, gate: str) -> str:
    """Waits in a coroutine, and is cancelled when nobody needs it any more."""
    mark(file, "began")
    try:
        await wait_for_gate(gate)
    except asyncio.CancelledError:
        mark(file, "told")
        raise
    mark(file, "ended")
    return "late"


@step
def stay_in_a_thread(file: str, gate: str) -> str:
    """Waits in a thread, and looks whether anybody needs it."""
    mark(file, "began")
    cancelled = get_step_metadata().cancelled
    while not cancelled.wait(0.01):
        if is_open(gate):
            mark(file, "ended")
            return "late"
    mark(file, "told")
    return "late"


@step
async def stay_anyhow(file: str, gate: str) -> str:
    """Does not let itself be cancelled, and reports a result that is too late."""
    mark(file, "began")
    try:
        await wait_for_gate(gate)
    except asyncio.CancelledError:
        await wait_for_gate(gate)
    mark(file, "ended")
    return "late"


@workflow
async def busy(how: str, token: str, file: str, gate: str) -> str:
    """Holds a token, and waits for one thing or another."""
    hook = create_hook(token=token)
    match how:
        case "turn":
            await hook
            with unguarded():
                mark(file, "began")
                wait_at(gate)
            # Too late: nobody may get these.
            create_hook(token=f"{token}/late")
            await stay(file, gate)
        case "sleep":
            await sleep("1h")
        case "hook":
            await hook
        case "async step":
            await stay(file, gate)
        case "sync step":
            await stay_in_a_thread(file, gate)
        case "stubborn step":
            await stay_anyhow(file, gate)
    mark_that_nobody_wants(file)
    return how


def mark_that_nobody_wants(file: str) -> None:
    """A workflow that was cancelled does not come here."""
    raise AssertionError(f"the code went on: {file}")
