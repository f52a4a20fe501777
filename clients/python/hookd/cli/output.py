"""What hookctl prints: tables for people, JSON for programs."""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hookd.models import Event, Failure, HookConflict
from hookd.payload import Payload

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# For a reader that is no terminal nothing is wrapped or cut.
_UNLIMITED_WIDTH = 100_000


class Lines(tuple[str, ...]):
    """Several texts for people, each on a line of its own."""

    __slots__ = ()


class Output:
    """Prints results in the form that the user asked for.

    Attributes:
        json: It is JSON, for programs.
    """

    def __init__(self, *, json: bool) -> None:
        self.json = json
        self._terminal = sys.stdout.isatty()
        self._console = Console(
            width=None if self._terminal else _UNLIMITED_WIDTH,
            highlight=False,
            soft_wrap=not self._terminal,
        )

    def rows(self, columns: Sequence[str], items: Iterable[Any]) -> None:
        """Prints objects as the rows of a table, or as one JSON array."""
        if self.json:
            self._write(list(items))
            return
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for column in columns:
            table.add_column(column.replace("_", " ").upper(), overflow="fold")
        for item in items:
            table.add_row(*(Text(shown(getattr(item, column))) for column in columns))
        self._print(table)

    def record(self, facts: Any) -> None:
        """Prints one object, a name and a value on each line, or as JSON."""
        if self.json:
            self._write(facts)
            return
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold")
        table.add_column(overflow="fold")
        for name, value in _fields(facts).items():
            if value is not None and value not in ("", {}, ()):
                lines = value if isinstance(value, Lines) else (value,)
                table.add_row(
                    name.replace("_", " "), Text("\n".join(shown(line) for line in lines))
                )
        self._print(table)

    def event(self, event: Event) -> None:
        """Prints an event on a line of its own, at once."""
        if self.json:
            self._write(event)
        else:
            event = for_people(event)
            facts = shown(dict(event.data)) if event.data else ""
            line = f"{event.seq:>5}  {shown(event.time)}  {event.type:<15}  "
            about = f"{event.correlation_id} " if event.correlation_id else ""
            self._console.print(Text(line + shown(about) + facts))
        sys.stdout.flush()

    def say(self, sentence: str, facts: Any) -> None:
        """Prints what was done, or the facts as JSON."""
        if self.json:
            self._write(facts)
        else:
            self._console.print(Text(shown(sentence)))

    def text(self, text: str) -> None:
        """Prints what is for programs whatever the user asked for."""
        sys.stdout.write(text)

    def _print(self, table: Table) -> None:
        """Prints a table; what is no terminal gets no blanks at the ends of lines."""
        if self._terminal:
            self._console.print(table)
            return
        with self._console.capture() as captured:
            self._console.print(table)
        for line in captured.get().splitlines():
            sys.stdout.write(line.rstrip() + "\n")

    def _write(self, value: Any) -> None:
        sys.stdout.write(_json(value) + "\n")


def without_tokens(event: Event, project: str) -> Event:
    """Gives an event whose tokens are replaced by their hashes.

    The hash is the one that the daemon's logs show.
    """
    data = dict(event.data)
    if isinstance(token := data.get("token"), str):
        data["token"] = token_hash(project, token)
    if isinstance(owner := data.get("conflict"), HookConflict):
        hashed = token_hash(project, owner.token)
        data["conflict"] = dataclasses.replace(owner, token=hashed)
    return dataclasses.replace(event, data=data)


def for_people(event: Event) -> Event:
    """Gives an event with less in it: errors without their tracebacks, nothing that is empty."""
    data = {
        name: f"{value.type}: {value.message}" if isinstance(value, Failure) else value
        for name, value in event.data.items()
        if value not in ("", None)
    }
    return dataclasses.replace(event, data=data)


def failure_lines(failure: Failure) -> Lines:
    """Gives why a run failed for people: what was raised and, below, where it was raised."""
    lines = [f"{failure.type}: {failure.message}"]
    if isinstance(failure.details, dict):
        trace = failure.details.get("traceback")
        # Its last line says again what was raised.
        lines += trace.rstrip().splitlines()[:-1] if isinstance(trace, str) else ()
    return Lines(lines)


def token_hash(project: str, token: str) -> str:
    """Gives what stands for a token where the token itself must not."""
    digest = hashlib.sha256(project.encode() + b"\0" + token.encode()).hexdigest()
    return digest[:12]


def shown(value: Any) -> str:
    """Gives a value as people read it, on one line and without control characters."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.astimezone().isoformat(sep=" ", timespec="milliseconds")
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g} s"
    text = value if isinstance(value, str) else _json(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _fields(facts: Any) -> Mapping[str, Any]:
    if isinstance(facts, dict):
        return facts
    return {field.name: getattr(facts, field.name) for field in dataclasses.fields(facts)}


def _json(value: Any) -> str:
    return to_json(value, bytes_mode="base64", timedelta_mode="float", fallback=_plain).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, Payload):
        return {"content_type": value.content_type, "data": value.data}
    return str(value)
