"""A saga whose every execution of a step leaves a line in a file; see ``test_crash_workflows``."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import Any

from hookd import (
    FatalError,
    RetryPolicy,
    create_hook,
    get_step_metadata,
    sleep,
    step,
    workflow,
)

#: Every execution of a step is noted here, also one whose result is lost.
EXECUTIONS = "SAGA_EXECUTIONS"
QUICKLY = RetryPolicy(max_retries=3, initial_interval=0.02)


def token_of(order: int) -> str:
    """The token of an order."""
    return f"order-{order}"


def fails_for_good(order: int) -> bool:
    """Whether the goods of an order are out of stock."""
    return order % 5 == 0


def _note(order: int, what: str) -> str:
    about = get_step_metadata()
    nonce = uuid.uuid4().hex
    line = {
        "order": order,
        "what": what,
        "run_id": about.run_id,
        "step_id": about.step_id,
        "attempt": about.attempt,
        "nonce": nonce,
    }
    # One write of one short line: lines of several processes do not mix.
    with Path(os.environ[EXECUTIONS]).open("a") as file:
        file.write(json.dumps(line) + "\n")
    return nonce


@step(retry=QUICKLY)
async def act(order: int, what: str) -> str:
    """Does something for an order; every third thing fails at its first attempt."""
    nonce = _note(order, what)
    if what == "ship" and fails_for_good(order):
        raise FatalError("out of stock")
    if (order + len(what)) % 3 == 0 and get_step_metadata().attempt == 1:
        raise ConnectionError("the line was bad")
    return nonce


@step(retry=QUICKLY)
def undo(order: int, what: str) -> str:
    """Takes something back; a plain function, in a thread."""
    return _note(order, f"undo {what}")


@workflow
async def saga(order: int) -> dict[str, Any]:
    """Reserves, charges, waits for an approval, and ships, or takes all of it back."""
    done: dict[str, str] = {}
    async with create_hook(token=token_of(order)) as hook:
        try:
            for what in ("reserve", "charge"):
                done[what] = await act(order, what)
            await sleep(0.02)
            approval = await hook
            done["ship"] = await act(order, "ship")
        except FatalError as error:
            undone = {what: await undo(order, what) for what in reversed(list(done))}
            return {"ok": False, "why": str(error), "done": done, "undone": undone}
    return {"ok": True, "approval": approval, "done": done}
