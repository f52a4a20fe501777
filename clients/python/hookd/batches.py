"""Cuts long lists into what one call takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from hookd.errors import HookdError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sized

_Item = TypeVar("_Item")

MAX_ITEMS = 1024
"""The API takes no more in one message."""
MAX_BYTES = 8 * 1024 * 1024
"""Half of the greatest message: room for what is not counted."""


def batches(items: Iterable[_Item], size: Callable[[_Item], int]) -> Iterator[list[_Item]]:
    """Gives the items in lists that fit into one call each."""
    batch: list[_Item] = []
    total = 0
    for item in items:
        more = size(item)
        if batch and (len(batch) == MAX_ITEMS or total + more > MAX_BYTES):
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += more
    if batch:
        yield batch


def check_count(sent: Sized, results: Sized) -> None:
    """Makes sure that there is a result for each item.

    Raises:
        HookdError: There is not.
    """
    if len(sent) != len(results):
        raise HookdError(
            f"The daemon gave {len(results)} results for {len(sent)} items", reason="INTERNAL"
        )
