"""Handles of other runs, inside of a workflow: what they are is known, calls are not made."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, cast

from hookd.run import Run
from hookd.workflows.errors import OutsideWorkflowError

if TYPE_CHECKING:
    from hookd.transport import Transport


class _NoTransport:
    """Stands where a handle has its connection."""

    def __init__(self, project: str) -> None:
        self.project = project

    def __getattr__(self, name: str) -> NoReturn:
        raise OutsideWorkflowError(
            "Workflow code cannot ask the daemon about another run: hand the run's id to a step, "
            "and there, or outside of the workflow, use hookd.get_run(run_id)"
        )


def no_transport(project: str) -> Transport:
    """Gives what stands for the connection of a handle that makes no calls."""
    return cast("Transport", _NoTransport(project))


def owner_of(project: str, run_id: str) -> Run:
    """Gives the handle of a run whose ``run_id`` is all that can be used here."""
    return Run(no_transport(project), run_id)
