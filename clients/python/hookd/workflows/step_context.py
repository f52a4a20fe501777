"""What a step can know about itself while it is executed."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hookd.workflows.errors import OutsideWorkflowError

if TYPE_CHECKING:
    import asyncio

    from hookd.run import Run


@dataclass(frozen=True, slots=True)
class StepContext:
    """The step that is being executed here. The worker makes it."""

    run: Run = field(repr=False)
    """The run that has called the step, through the worker's client."""
    run_id: str
    workflow: str
    step_id: str
    """The step's id in its run: the same for all attempts, so together with the
    run's id it is an idempotency key for what the step does outside."""
    step_name: str
    attempt: int
    """From 1."""
    last_attempt: bool
    """No attempt follows this one if it fails."""
    loop: asyncio.AbstractEventLoop = field(repr=False)
    """The worker's event loop."""
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    """When this attempt began."""
    cancelled: threading.Event = field(default_factory=threading.Event, repr=False)
    """Set when nobody needs the result any more: a step that runs in a thread
    can look, one that is asynchronous is cancelled."""


current_step: ContextVar[StepContext | None] = ContextVar("hookd_step", default=None)


def get_step_metadata() -> StepContext:
    """Gives what is known about the step that is being executed here.

    Raises:
        OutsideWorkflowError: None is.
    """
    step = current_step.get()
    if step is None:
        raise OutsideWorkflowError(
            "get_step_metadata() can only be called in a step that a worker executes"
        )
    return step
