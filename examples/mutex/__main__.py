"""Shows runs that take turns: ``python -m examples.mutex``."""

import tempfile
from pathlib import Path

from hookd import start

from examples.mutex import workflows
from examples.mutex.workflows import add_to_account
from examples.stage import play

RUNS = 6


async def show() -> None:
    """Has runs add to one number at the same time; without the lock, some would be lost."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder) / "ledger"
        runs = [await start(add_to_account, str(ledger), 5) for _ in range(RUNS)]
        print(f"{RUNS} runs add 5 to one account; each reads it, and then writes it")
        seen = [await run.return_value() for run in runs]
        print(f"each wrote another balance: {sorted(seen)}")
        print(f"in the end there is {ledger.read_text()}")
    logs = [event for run in runs async for event in run.events()]
    waits = sum(event.type == "hook_conflict" for event in logs)
    print(f"{waits} times a run found the lock taken, and tried again")


if __name__ == "__main__":
    play(show, workflows, workers=2)
