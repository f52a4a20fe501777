"""Looks at files again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hookd_daemon.logs import get_logger

log = get_logger(__name__)

#: So often files are looked at, in seconds.
LOOK_S = 0.5


async def watch(*looks: Callable[[], object]) -> None:
    """Calls functions that look at files, again and again, until it is cancelled."""
    while True:
        await asyncio.sleep(LOOK_S)
        for look in looks:
            try:
                look()
            except Exception:
                # What goes wrong now must not keep it from looking later.
                log.exception("a look at files failed")
