"""A run waits for somebody's decision, and goes on without it when the time is up."""

import asyncio
from dataclasses import dataclass
from typing import Literal

from hookd import define_hook, step, workflow


@dataclass
class Decision:
    """What somebody has decided."""

    approved: bool
    by: str


decisions = define_hook(Decision)


@workflow
async def approve_expense(
    number: int, timeout: float
) -> Literal["paid", "refused", "nobody answered"]:
    """Pays an expense if it is approved in time."""
    async with decisions.create(token=f"expense-{number}") as hook:
        await ask(number)
        try:
            async with asyncio.timeout(timeout):  # It may be days: it is a durable timer.
                decision = await hook
        except TimeoutError:
            return "nobody answered"
    if not decision.approved:
        return "refused"
    await pay(number, decision.by)
    return "paid"


@step
async def ask(number: int) -> None:
    """Sends a mail with a link to whoever decides."""


@step
async def pay(number: int, approved_by: str) -> None:
    """Pays the expense."""
