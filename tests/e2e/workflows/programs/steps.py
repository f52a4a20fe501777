"""Workflows about steps: how often they are executed, and what comes back from them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from hookd import (
    FatalError,
    RetryableError,
    RetryPolicy,
    StepFailedError,
    create_hook,
    get_step_metadata,
    step,
    unguarded,
    workflow,
)
from pydantic import BaseModel

from tests.e2e.workflows.programs.marks import mark, wait_at, wait_for_gate

QUICKLY = RetryPolicy(initial_interval=0.02)


@step
async def note(file: str, word: str) -> str:
    """Leaves a line for each execution."""
    mark(file, word)
    return word


@step
def note_in_a_thread(file: str, word: str) -> str:
    """The same as a plain function."""
    mark(file, word)
    return word


@workflow
async def three_steps(file: str, token: str) -> list[str]:
    """Executes steps with a wait between them."""
    with unguarded():
        mark(file, "begin")
    done = [await note(file, "one"), await note_in_a_thread(file, "two")]
    done.append(await create_hook(token=token))
    done.append(await note(file, "three"))
    return done


@step(retry=QUICKLY)
async def succeed_at(file: str, attempt: int) -> int:
    """Fails at each attempt before this one."""
    current = get_step_metadata().attempt
    mark(file, "attempt", current)
    if current < attempt:
        raise ConnectionError(f"attempt {current} was bad")
    return current


@workflow
async def retried(file: str, attempt: int) -> int:
    """Executes a step that succeeds at an attempt."""
    return await succeed_at(file, attempt)


@step
async def succeed_at_second() -> int:
    """Fails once, and says nothing about when it is tried again."""
    if get_step_metadata().attempt == 1:
        raise ConnectionError("bad")
    return get_step_metadata().attempt


@workflow
async def retried_by_default() -> int:
    """Executes a step without a policy of its own."""
    return await succeed_at_second()


@step(max_retries=1)
async def fail_always(file: str) -> None:
    """Fails, with one retry."""
    mark(file, "attempt", get_step_metadata().attempt)
    raise RetryableError("always", retry_after=0.01)


@workflow
async def retried_once(file: str) -> None:
    """Executes a step that fails, with one retry."""
    await fail_always(file)


@step(retry=QUICKLY)
async def refuse(file: str) -> None:
    """Fails for good."""
    mark(file, "attempt", get_step_metadata().attempt)
    raise FatalError("no such card")


@workflow
async def refused(file: str) -> list[str]:
    """Goes on with something else when a step fails for good."""
    try:
        await refuse(file)
    except FatalError as error:
        return [type(error).__name__, str(error)]
    return []


@step(retry=QUICKLY)
async def ask_later(kind: str, delay: float) -> int:
    """Says when to try again, as seconds or as a point in time."""
    attempt = get_step_metadata().attempt
    if attempt == 1:
        when: Any = delay if kind == "seconds" else datetime.now(UTC) + timedelta(seconds=delay)
        raise RetryableError("busy", retry_after=when)
    return attempt


@workflow
async def asked_later(kind: str, delay: float) -> int:
    """Executes a step that says when to try again."""
    return await ask_later(kind, delay)


@step
async def meet(folder: str, me: str, others: list[str]) -> str:
    """Ends only after the others have begun."""
    mark(f"{folder}/{me}", "here")
    for other in others:
        await wait_for_gate(f"{folder}/{other}")
    return me


@step
def meet_in_a_thread(folder: str, me: str, others: list[str]) -> str:
    """The same as a plain function."""
    mark(f"{folder}/{me}", "here")
    for other in others:
        wait_at(f"{folder}/{other}")
    return me


@workflow
async def parallel(folder: str, names: list[str]) -> list[str]:
    """Executes steps that all wait for each other; every second one in a thread."""
    return await asyncio.gather(
        *(
            (meet_in_a_thread if at % 2 else meet)(folder, name, names)
            for at, name in enumerate(names)
        )
    )


@step
async def end_after(folder: str, me: str, other: str) -> str:
    """Ends only after another step has ended."""
    if other:
        await wait_for_gate(f"{folder}/{other}")
    mark(f"{folder}/{me}", "ended")
    return me


@workflow
async def parallel_in_reverse(folder: str, names: list[str]) -> list[list[str]]:
    """Executes steps that end in the reverse order; tells results and the order of their ends."""
    ended: list[str] = []

    async def one(me: str, other: str) -> str:
        ended.append(await end_after(folder, me, other))
        return me

    results = await asyncio.gather(*map(one, names, [*names[1:], ""]))
    return [results, ended]


class OutOfStockError(Exception):
    """An exception that is not made from its text."""

    def __init__(self, item: str, left: int) -> None:
        super().__init__(f"{item}: only {left} left")
        self.item = item
        self.left = left


@step(max_retries=0)
def take(item: str) -> None:
    """Raises an exception of this module."""
    raise OutOfStockError(item, 2)


@step(max_retries=0)
async def raise_what_nobody_knows() -> None:
    """Raises an exception whose class cannot be found by its name."""

    class SecretError(Exception):
        pass

    raise SecretError("nobody knows")


@workflow
async def failures() -> dict[str, Any]:
    """Tells what came out of steps that fail."""
    found: dict[str, Any] = {}
    try:
        await take("shoes")
    except OutOfStockError as error:
        cause = error.__cause__
        found["known"] = [str(error), error.item, error.left]
        if isinstance(cause, StepFailedError):
            found["cause"] = [cause.step_name, cause.type, cause.attempt]
            found["traceback"] = cause.remote_traceback
    try:
        await raise_what_nobody_knows()
    except StepFailedError as error:
        found["unknown"] = [error.type, error.message]
    return found


@workflow
async def not_caught(item: str) -> None:
    """Fails as its step does."""
    await take(item)


class Color(Enum):
    """A choice."""

    RED = "red"


@dataclass
class Line:
    """A part of an order."""

    item: str
    price: Decimal


class Order(BaseModel):
    """An order."""

    key: UUID
    lines: list[Line]
    color: Color
    placed_at: datetime


@step
def ship(order: Order, label: bytes, *, at: datetime) -> tuple[Order, bytes, timedelta]:
    """Takes and gives values of many types."""
    assert isinstance(label, bytes)
    assert isinstance(order, Order)
    assert isinstance(order.lines[0], Line)
    assert isinstance(order.lines[0].price, Decimal)
    assert order.color is Color.RED
    return order, label[::-1], at - order.placed_at


@workflow
async def values(order: Order, label: bytes, at: datetime) -> tuple[Order, bytes, timedelta]:
    """Hands values of many types to a step and on."""
    assert isinstance(order, Order)
    shipped, turned, took = await ship(order, label, at=at)
    assert isinstance(shipped, Order)
    assert isinstance(took, timedelta)
    return shipped, turned, took
