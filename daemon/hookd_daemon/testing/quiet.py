"""The daemon's log while it is a guest in another program."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog


@contextmanager
def modest_logs() -> Iterator[None]:
    """Has the daemon log through ``logging``, unless the program has set structlog up.

    structlog by itself would print every line.
    """
    if structlog.is_configured():
        yield
        return
    structlog.configure(
        processors=[
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    try:
        yield
    finally:
        structlog.reset_defaults()
