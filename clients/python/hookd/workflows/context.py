"""Which run's code is running here."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hookd.workflows.errors import OutsideWorkflowError
from hookd.workflows.loop import WorkflowLoop

if TYPE_CHECKING:
    from hookd.workflows.runtime import Runtime


# The loop that runs in this thread tells it, and no context variable: a context
# can be copied to where no workflow runs, and left out where one does.
def current_or_none() -> Runtime | None:
    """Gives the runtime of the workflow whose code is running here; None if none is."""
    loop = asyncio._get_running_loop()
    return loop.runtime if isinstance(loop, WorkflowLoop) else None


def current(call: str, hint: str = "") -> Runtime:
    """Gives the runtime of the workflow whose code is running here.

    Args:
        call: What was called, for the error: "sleep()".
        hint: What to do elsewhere.

    Raises:
        OutsideWorkflowError: No workflow's code is running here.
    """
    runtime = current_or_none()
    if runtime is None:
        text = f"{call} can only be called in the code of a workflow"
        raise OutsideWorkflowError(f"{text}: {hint}" if hint else text)
    return runtime


def refuse_inside(call: str) -> None:
    """Makes sure that no workflow's code is running here.

    Raises:
        OutsideWorkflowError: It is.
    """
    if current_or_none() is not None:
        raise OutsideWorkflowError(
            f"{call} talks to the daemon, and cannot be called in the code of a workflow: "
            "call it in a step, or outside of the workflow"
        )
