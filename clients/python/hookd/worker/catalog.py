"""What a worker serves: its workflows and steps, by their names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from hookd.errors import InvalidArgumentError
from hookd.workflows.definition import Step, Workflow

Definition = Workflow[..., Any] | Step[..., Any]
Work = Definition | ModuleType | Iterable[Definition | ModuleType]
"""What a worker can be given: definitions and modules, one or several."""

MAX_WORKFLOWS = 1024
MAX_STEPS = 4096


@dataclass(frozen=True, slots=True)
class Catalog:
    """Workflows and steps by their names."""

    workflows: Mapping[str, Workflow[..., Any]] = field(default_factory=dict)
    steps: Mapping[str, Step[..., Any]] = field(default_factory=dict)

    def check(self) -> None:
        """Makes sure that all annotations are known and can be carried.

        Raises:
            InvalidArgumentError: One is not; the error names it.
        """
        for workflow in self.workflows.values():
            workflow.signature.check()
        for step in self.steps.values():
            step.signature.check()


def catalog_of(work: Work) -> Catalog:
    """Collects definitions, and those that stand in modules.

    Raises:
        InvalidArgumentError: There is nothing among them, something else is,
            or two have one name.
    """
    workflows: dict[str, Workflow[..., Any]] = {}
    steps: dict[str, Step[..., Any]] = {}
    for definition in _definitions(work):
        if isinstance(definition, Workflow):
            _add(workflows, "workflow", definition.workflow_name, definition)
        else:
            _add(steps, "step", definition.step_name, definition)
    if not workflows and not steps:
        where = f"the module {work.__name__}" if isinstance(work, ModuleType) else "it"
        raise InvalidArgumentError.of("work", f"there is no @workflow and no @step in {where}")
    for kind, count, most in (
        ("workflows", len(workflows), MAX_WORKFLOWS),
        ("steps", len(steps), MAX_STEPS),
    ):
        if count > most:
            raise InvalidArgumentError.of(
                "work", f"has {count} {kind}; one worker serves at most {most}"
            )
    return Catalog(workflows, steps)


def _definitions(work: Work) -> Iterator[Definition]:
    if isinstance(work, Workflow | Step | ModuleType):
        items: Iterable[object] = (work,)
    elif isinstance(work, Iterable) and not isinstance(work, str | bytes):
        items = work
    else:
        raise _not_work(work)
    for item in items:
        match item:
            case Workflow() | Step():
                yield item
            case ModuleType():
                yield from (
                    value for value in vars(item).values() if isinstance(value, Workflow | Step)
                )
            case _:
                raise _not_work(item)


def _not_work(value: object) -> InvalidArgumentError:
    kind = type(value).__qualname__
    name = getattr(value, "__qualname__", None)
    about = f"the {kind} {name}" if isinstance(name, str) else f"{kind}"
    return InvalidArgumentError.of(
        "work", f"must be workflows, steps and modules that have some, not {about}"
    )


def _add(known: dict[str, Any], kind: str, name: str, definition: Definition) -> None:
    # One definition may stand in several modules.
    other = known.setdefault(name, definition)
    if other is not definition:
        raise InvalidArgumentError.of(
            "work",
            f'two {kind}s have the name "{name}": {_place(other)} and {_place(definition)}; '
            f"give one of them another with @{kind}(name=…)",
        )


def _place(definition: Definition) -> str:
    function = definition.function
    return f"{function.__module__}.{function.__qualname__}"
