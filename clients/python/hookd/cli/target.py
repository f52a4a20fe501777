"""What ``hookctl worker`` is told to serve."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from types import ModuleType
from typing import Any

from hookd.errors import InvalidArgumentError

_FIELD = "MODULE[:ATTRIBUTE]"


def load(target: str) -> Any:
    """Imports what stands in a module, or the module itself.

    The current directory comes first, as with ``python -m``.

    Raises:
        InvalidArgumentError: There is no such module or attribute, or
            importing the module raised something; that is printed.
    """
    name, colon, attribute = target.partition(":")
    if not all(part.isidentifier() for part in name.split(".")) or name.endswith(".py"):
        raise InvalidArgumentError.of(
            _FIELD, f"must begin with the name of a module, such as shop.workflows, not {name!r}"
        )
    module = _imported(name)
    if not colon:
        return module
    found: Any = module
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise InvalidArgumentError.of(
                _FIELD, f'the module {name} has no attribute "{attribute}"'
            ) from None
    return found


def _imported(name: str) -> ModuleType:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise InvalidArgumentError.of(
                _FIELD, f"there is no module {error.name} in {here}, nor where Python looks"
            ) from None
        _show(error)
        raise _failed(name, error) from None
    except Exception as error:  # noqa: BLE001 - a module may raise anything
        _show(error)
        raise _failed(name, error) from None


def _failed(name: str, error: Exception) -> InvalidArgumentError:
    kind = type(error).__name__
    return InvalidArgumentError.of(_FIELD, f"the module {name} cannot be imported: {kind}: {error}")


def _show(error: Exception) -> None:
    """Prints where it was raised, beginning with the user's module."""
    trace = error.__traceback__
    while trace is not None and _is_machinery(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    traceback.print_exception(type(error), error, trace)


def _is_machinery(filename: str) -> bool:
    return filename in (__file__, importlib.__file__) or filename.startswith("<frozen importlib")
