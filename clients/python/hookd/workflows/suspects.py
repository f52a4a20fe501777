"""Looks at the code of a workflow for what it must not do, without running it."""

from __future__ import annotations

import dis
import os
import sys
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import PurePath
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Final

from hookd.workflows.rules import ENVIRONMENT, FUNCTIONS, TIME, Rule

# What a type makes anew each time it is asked.
_METHODS: Final[dict[tuple[object, str], str]] = {
    (datetime, "now"): "datetime.now()",
    (datetime, "utcnow"): "datetime.utcnow()",
    (datetime, "today"): "datetime.today()",
    (date, "today"): "date.today()",
}

_GLOBAL: Final = frozenset(("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"))
_LOCAL: Final = frozenset(
    ("LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_BORROW", "LOAD_DEREF", "LOAD_FROM_DICT_OR_DEREF")
)
_ATTRIBUTE: Final = frozenset(("LOAD_ATTR", "LOAD_METHOD"))
_STORE: Final = frozenset(("STORE_FAST", "STORE_DEREF"))
# They stand between a name and what is taken of it, and change nothing.
_NEUTRAL: Final = frozenset(("CACHE", "EXTENDED_ARG", "PUSH_NULL", "PRECALL", "NOP", "RESUME"))

_MOST_DECORATORS = 100


class _Unknown:
    """What a name stands for when that cannot be seen."""


_UNKNOWN: Final = _Unknown()


def warnings_for(function: object) -> list[str]:
    """Finds what a workflow's function must not call, as far as it can be seen.

    Looked at are the function, what is defined in it, and the functions of the
    same module that it names; not what they do with the things they are given,
    and not code that mentions ``hookd.unguarded``.

    Args:
        function: The function of a workflow.

    Returns:
        A line each, with the place and what to do instead.
    """
    found: dict[str, None] = {}
    known = _known()
    todo, seen = [_function_of(function)], set[FunctionType]()
    while todo:
        each = todo.pop(0)
        if each is not None and each not in seen:
            seen.add(each)
            look = _Look(each, known)
            found |= dict.fromkeys(look.warnings())
            todo += look.named
    return list(found)


def _known() -> dict[int, tuple[str, Rule]]:
    """Gives what must not be called, by identity: also what `guards` has replaced."""
    known = {
        id(os.environ): ("os.environ", ENVIRONMENT),
        id(os.getenv): ("os.getenv()", ENVIRONMENT),
    }
    for (module, name), rule in FUNCTIONS.items():
        found = getattr(sys.modules.get(module), name, None)
        while found is not None:
            known[id(found)] = (f"{module}.{name}()", rule)
            found = getattr(found, "__wrapped__", None)
    return known


def _function_of(thing: object) -> FunctionType | None:
    """Gives the function behind decorators, and behind a workflow; not that of a step."""
    for _ in range(_MOST_DECORATORS):
        if isinstance(thing, FunctionType) and "__wrapped__" not in vars(thing):
            return thing
        held = getattr(thing, "__dict__", {})
        if "step_name" in held:
            return None
        thing = held.get("__wrapped__")
    return None


class _Look:
    """A look at one function, and at what is defined in it.

    Attributes:
        named: The functions of the same module that it names.
    """

    def __init__(self, function: FunctionType, known: dict[int, tuple[str, Rule]]) -> None:
        self.named: list[FunctionType | None] = []
        self._function = function
        self._known = known

    def warnings(self) -> Iterator[str]:
        """Gives what it finds, a line each."""
        code = self._function.__code__
        cells = zip(code.co_freevars, self._function.__closure__ or (), strict=False)
        yield from self._of(code, {name: _content(cell) for name, cell in cells})

    def _of(self, code: CodeType, names: dict[str, object]) -> Iterator[str]:
        if "unguarded" in code.co_names:
            return
        names = dict(names)
        # What the last instruction has given, and the last `import` statement.
        current: object = _UNKNOWN
        imported: object = _UNKNOWN
        for at in dis.get_instructions(code):
            name, word = at.argval, at.opname
            found: tuple[str, Rule] | None = None
            if word in _NEUTRAL:
                continue
            if word in _GLOBAL:
                current = self._global(name)
                found = self._known.get(id(current))
            elif word in _LOCAL:
                current = names.get(name, _UNKNOWN)
                found = self._known.get(id(current))
            elif word in _ATTRIBUTE:
                current, found = self._attribute(current, name)
            elif word == "IMPORT_NAME":
                # `import a.b` gives a; `from a.b import c` takes c from b.
                imported = sys.modules.get(name, _UNKNOWN)
                current = sys.modules.get(name.partition(".")[0], _UNKNOWN)
            elif word == "IMPORT_FROM":
                current, _ = self._attribute(imported, name)
            else:
                if word in _STORE:
                    names[name] = current
                current = _UNKNOWN
            if found is not None:
                line = at.positions.lineno if at.positions else None
                yield _line(code, line or code.co_firstlineno, *found)
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                yield from self._of(constant, names)

    def _global(self, name: str) -> object:
        found: object = self._function.__globals__.get(name, _UNKNOWN)
        inner = _function_of(found)
        if inner is not None and inner.__module__ == self._function.__module__:
            self.named.append(inner)
        return found

    def _attribute(self, owner: object, name: str) -> tuple[object, tuple[str, Rule] | None]:
        """Gives what the attribute of a module or a type is, without running any code."""
        if isinstance(owner, type):
            call = _METHODS.get((owner, name))
            return vars(owner).get(name, _UNKNOWN), (call, TIME) if call else None
        if isinstance(owner, ModuleType):
            member = vars(owner).get(name, _UNKNOWN)
            return member, self._known.get(id(member))
        return _UNKNOWN, None


def _content(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        return _UNKNOWN  # Nothing is in it yet.


def _line(code: CodeType, line: int, call: str, rule: Rule) -> str:
    place = f"{PurePath(code.co_filename).name}:{line}"
    return f"{place}: {call} in {code.co_qualname} {rule.why}: {rule.hint}"
