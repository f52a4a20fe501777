"""Runs that take turns: a token is a lock."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from hookd import create_hook, random, sleep, step, workflow


@asynccontextmanager
async def mutex(name: str) -> AsyncIterator[None]:
    """Holds a lock for the length of a block. To be used in workflows.

    The lock is free again at the end of the block, and also when the run fails
    or is cancelled; not when a worker dies, because the run goes on.
    """
    while True:
        hook = create_hook(token=f"mutex-{name}")
        if await hook.get_conflict() is None:
            break
        await sleep(random().uniform(0.1, 0.2))  # As random as it looks, and the same in a replay.
    async with hook:
        yield


@workflow
async def add_to_account(ledger: str, amount: int) -> int:
    """Adds to what is in a file; gives what is in it then."""
    async with mutex(ledger):
        balance = await read(ledger)
        await write(ledger, balance + amount)
    return balance + amount


@step
def read(ledger: str) -> int:
    """Reads the balance."""
    file = Path(ledger)
    return int(file.read_text()) if file.exists() else 0


@step
def write(ledger: str, balance: int) -> None:
    """Writes the balance."""
    Path(ledger).write_text(str(balance))
