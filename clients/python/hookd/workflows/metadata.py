"""What workflow code and steps can know about their run, and tell about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hookd import validate
from hookd.errors import InvalidArgumentError
from hookd.v1 import worker_service_pb2 as pb
from hookd.workflows.awaitables import Done
from hookd.workflows.context import current, current_or_none
from hookd.workflows.errors import OutsideWorkflowError
from hookd.workflows.step_context import current_step

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class WorkflowMetadata:
    """The run whose code, or one of whose steps, is running here."""

    run_id: str
    workflow_name: str
    project: str
    started_at: datetime | None
    """When the code began for the first time; None in a step."""


def get_workflow_metadata() -> WorkflowMetadata:
    """Gives what is known about the run whose code, or one of whose steps, is running here.

    Raises:
        OutsideWorkflowError: None is.
    """
    runtime = current_or_none()
    if runtime is not None:
        return WorkflowMetadata(
            runtime.run_id, runtime.workflow_name, runtime.project, runtime.started_at
        )
    step = current_step.get()
    if step is None:
        raise OutsideWorkflowError(
            "get_workflow_metadata() can only be called in the code of a workflow, or in a step"
        )
    return WorkflowMetadata(step.run_id, step.workflow, step.run.project, None)


def set_attributes(attributes: Mapping[str, str | None]) -> Done:
    """Sets attributes of the run: names and values for people and for searching.

    Only in the code of a workflow. It is done when the call returns; the
    result can be awaited, and need not be.

    Args:
        attributes: Added to those that the run has; None removes a name.

    Raises:
        InvalidArgumentError: A name or a value is no text, or is empty.
        OutsideWorkflowError: No workflow's code is running here.
    """
    runtime = current("set_attributes()", "in a step, give the workflow what it is to set")
    checked: dict[str, str] = {}
    for name, value in attributes.items():
        key = validate.name(name, "attributes")
        if value is None:
            checked[key] = ""
        else:
            checked[key] = validate.text(value, f"attributes[{key!r}]")
            if not value:
                raise InvalidArgumentError.of(
                    f"attributes[{key!r}]", "must not be empty; None removes the name"
                )
    command = pb.SetAttributesCommand(attributes=checked)
    runtime.commands.give(pb.Command(set_attributes=command))
    return Done()
