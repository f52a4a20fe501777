"""Structured logs: one event with fields per line, to stderr.

structlog renders what the daemon logs and what libraries (uvicorn, grpc,
OpenTelemetry) log through the standard library, in one format.
"""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, TextIO

import structlog
from opentelemetry import trace

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger, Processor

    from hookd_daemon.config import Settings

_EventDict = MutableMapping[str, Any]

# Libraries whose every step is of no interest to an operator at level info.
_QUIET_LIBRARIES = ("uvicorn", "grpc", "opentelemetry", "asyncio")


class _Handler(logging.StreamHandler[TextIO]):
    """Ours among the root logger's handlers."""


class _TokenPolicy:
    """Whether raw tokens may be written; set by `configure`, read by `token_field`."""

    raw = False


def configure(settings: Settings) -> None:
    """Sets up logging for the whole process; what was set up before is replaced.

    Args:
        settings: Level, format and whether raw tokens may be written.
    """
    _TokenPolicy.raw = settings.log_tokens
    level = getattr(logging, settings.log_level.upper())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.StackInfoRenderer(),
        _add_trace,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = _Handler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(settings),
            ],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        if isinstance(old, _Handler):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(True)
    for name in _QUIET_LIBRARIES:
        logging.getLogger(name).setLevel(
            level if level <= logging.DEBUG else max(level, logging.WARNING)
        )


def get_logger(name: str) -> FilteringBoundLogger:
    """Returns the logger of a module; to be called at its top with ``__name__``.

    Args:
        name: Appears as the field ``logger``.
    """
    logger: FilteringBoundLogger = structlog.get_logger(name)
    return logger


def token_hash(project: str, token: bytes | str) -> str:
    """Returns what stands for a token in logs, spans and metrics.

    Twelve hex digits of SHA-256: enough to follow one token through a day's
    logs, of no use for resuming its hook. The project is part of it, so that
    equal tokens of two projects are not seen to be equal.

    Args:
        project: The token's project.
        token: The raw token. Text that is not valid Unicode is hashed as well:
            refused tokens are logged too.
    """
    raw = token.encode("utf-8", "surrogatepass") if isinstance(token, str) else token
    return hashlib.sha256(b"%b\0%b" % (project.encode("utf-8", "surrogatepass"), raw)).hexdigest()[
        :12
    ]


def token_field(project: str, token: bytes | str) -> dict[str, str]:
    """Returns the fields of a log line about a token: its hash, and the token if that is on.

    Args:
        project: The token's project.
        token: The raw token.
    """
    fields = {"token_hash": token_hash(project, token)}
    if _TokenPolicy.raw:
        fields["token"] = (
            token if isinstance(token, str) else token.decode("utf-8", "backslashreplace")
        )
    return fields


def _renderers(settings: Settings) -> list[Processor]:
    if settings.log_format == "json":
        return [
            structlog.processors.format_exc_info,
            _in_reading_order,
            structlog.processors.JSONRenderer(),
        ]
    return [
        _escape_unprintable,
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            timestamp_key="time",
            exception_formatter=structlog.dev.plain_traceback,
        ),
    ]


def _add_trace(_: object, __: str, event: _EventDict) -> _EventDict:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event


def _in_reading_order(_: object, __: str, event: _EventDict) -> _EventDict:
    first = {key: event[key] for key in ("time", "level", "event") if key in event}
    return first | {key: value for key, value in event.items() if key not in first}


def _escape_unprintable(_: object, __: str, event: _EventDict) -> _EventDict:
    # Ids come from callers: none may move the cursor of an operator's terminal.
    for key, value in event.items():
        if isinstance(value, str) and key not in ("exception", "stack") and not value.isprintable():
            event[key] = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in value)
    return event
