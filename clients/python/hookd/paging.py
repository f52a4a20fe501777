"""Reads a list of the daemon page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hookd import validate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hookd.transport import Transport

_PAGE = 200


async def listed(
    transport: Transport,
    method: Any,
    request: Any,
    items: str,
    limit: int | None = None,
) -> AsyncIterator[Any]:
    """Gives the items of a list, asking for pages as they are needed.

    Args:
        transport: To the daemon.
        method: The call that answers with a page.
        request: Its message; which page it asks for is filled in.
        items: The name of the answer's field that has them.
        limit: At most so many; None for all.
    """
    left = None if limit is None else validate.position(limit, "limit")
    while left is None or left > 0:
        request.page_size = _PAGE if left is None else min(left, _PAGE)
        response = await transport.call(method, request)
        page = getattr(response, items)
        for item in page:
            yield item
        request.page_token = response.next_page_token
        if left is not None:
            left -= len(page)
        if not response.next_page_token:
            return
