"""What the demo prints: a heading for each act, a coloured name for each speaker."""

from __future__ import annotations

import asyncio
import sys
from typing import Self

from rich.console import Console, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

_COLOURS = ("cyan", "magenta", "yellow", "blue", "bright_red", "bright_cyan", "bright_magenta")
_NAME_COLUMN = 9
_WIDTH_WITHOUT_TERMINAL = 100


class FailedError(Exception):
    """A step of the demo came out otherwise than promised."""


class Stage:
    """Prints what happens in the order in which it happened, slowly enough to be read.

    Lines wait in a queue: so that nobody who speaks waits for the reader, and
    two who speak one after the other are printed so. Use it as a context
    manager; leaving it prints what is left.

    Args:
        pace: seconds to rest after each line.
    """

    def __init__(self, pace: float) -> None:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")
        terminal = sys.stdout.isatty()
        self._console = Console(
            highlight=False, width=None if terminal else _WIDTH_WITHOUT_TERMINAL
        )
        self._pace = pace
        self._colours: dict[str, str] = {"hookd": "green", "director": "white"}
        self._lines: asyncio.Queue[tuple[RenderableType, float]] = asyncio.Queue()
        self._printer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._printer = asyncio.create_task(self._print())
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._pace = 0.0
        await self.caught_up()
        if self._printer is not None:
            self._printer.cancel()

    async def caught_up(self) -> None:
        """Waits until everything is printed."""
        await self._lines.join()

    async def _print(self) -> None:
        while True:
            line, rests = await self._lines.get()
            self._console.print(line)
            sys.stdout.flush()
            await asyncio.sleep(self._pace * rests)
            self._lines.task_done()

    def act(self, title: str, *lines: str) -> None:
        """Begins an act."""
        self._put("", 0)
        self._put(Rule(Text(f" {title} ", style="bold"), align="left", style="dim"))
        for line in lines:
            self._put(Text(line, style="dim"))

    def says(self, name: str, text: str) -> None:
        """Prints what somebody says or does."""
        colour = self._colours.get(name)
        if colour is None:
            colour = _COLOURS[(len(self._colours) - 2) % len(_COLOURS)]
            self._colours[name] = colour
        self._line(Text(name, style=f"bold {colour}"), Text(text))

    def check(self, true: bool, text: str) -> None:
        """Prints what has been checked.

        Raises:
            FailedError: it is not so.
        """
        if not true:
            self._line(Text("✗", style="bold red"), Text(f"NOT SO: {text}", style="red"))
            raise FailedError(text)
        self._line(Text("✓", style="bold green"), Text(text, style="green"))

    def plain(self, text: str = "") -> None:
        """Prints a line of nobody's."""
        self._put(Text(text))

    def error(self, text: str) -> None:
        """Prints why the demo failed."""
        self._put(Text(text, style="red"))

    def _line(self, name: Text, text: Text) -> None:
        row = Table.grid(padding=(0, 1))
        row.add_column(width=_NAME_COLUMN, justify="right", no_wrap=True)
        row.add_column(overflow="fold")
        row.add_row(name, text)
        self._put(row)

    def _put(self, line: RenderableType, rests: float = 1) -> None:
        self._lines.put_nowait((line, rests))
