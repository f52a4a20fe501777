"""The command ``hookctl queues``."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

from cyclopts import App, Parameter

from hookd.cli.context import Context
from hookd.models import QueueInfo

Hidden = Annotated[Context, Parameter(parse=False)]

_COLUMNS = ("kind", "name", "waiting", "leased", "oldest", "workers")


@dataclass(frozen=True, slots=True)
class _Row:
    kind: str
    name: str
    waiting: int
    leased: int
    oldest: timedelta | None
    workers: str


async def queues(*, context: Hidden) -> None:
    """List what waits for workers, and who serves it.

    Args:
        context: The client and where to print.
    """
    found = await context.client.list_queues()
    now = datetime.now(UTC)
    context.output.rows(
        _COLUMNS, found if context.output.json else [_row(queue, now) for queue in found]
    )


def _row(queue: QueueInfo, now: datetime) -> _Row:
    age = None
    if queue.oldest is not None:
        age = timedelta(seconds=round(max(0.0, (now - queue.oldest).total_seconds()), 1))
    return _Row(
        queue.kind,
        queue.name,
        queue.waiting,
        queue.leased,
        age,
        ", ".join(queue.workers) or "nobody serves it",
    )


def register(app: App) -> None:
    """Adds the command to hookctl."""
    app.command(queues)
