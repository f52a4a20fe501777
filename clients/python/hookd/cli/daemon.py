"""The commands ``hookctl stats``, ``backup`` and ``compact``."""

from typing import Annotated

from cyclopts import App, Parameter

from hookd.cli.context import Context

Hidden = Annotated[Context, Parameter(parse=False)]


async def stats(
    *, context: Hidden, all_projects: Annotated[bool, Parameter(negative="")] = False
) -> None:
    """Show how the daemon stands.

    Args:
        context: The client and where to print.
        all_projects: Count the runs and tokens of all projects.
    """
    context.output.record(await context.client.stats(all_projects=all_projects))


async def backup(name: str | None = None, /, *, context: Hidden) -> None:
    """Write a backup, on the daemon's machine, while calls go on.

    `hookd restore` makes a data directory from it.

    Args:
        name: The name of the new directory; made from the time when absent.
        context: The client and where to print.
    """
    result = await context.client.backup(name)
    context.output.say(result.path, result)


async def compact(*, context: Hidden) -> None:
    """Compact the store, while calls go on.

    Args:
        context: The client and where to print.
    """
    context.output.record(await context.client.compact())


def register(app: App) -> None:
    """Adds the commands to hookctl."""
    for command in (stats, backup, compact):
        app.command(command)
