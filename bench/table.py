"""A table, for the terminal and for a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import rich.table


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        title: above it.
        columns: their headings; those of numbers begin with ``>``.
        rows: the texts.
        notes: below it.
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    notes: Sequence[str] = ()

    def rich(self) -> rich.table.Table:
        """For the terminal."""
        table = rich.table.Table(title=self.title, title_justify="left", title_style="bold")
        for column in self.columns:
            numbers = column.startswith(">")
            table.add_column(column.lstrip(">"), justify="right" if numbers else "left")
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """For a file."""
        names = [column.lstrip(">") for column in self.columns]
        rules = ["--:" if column.startswith(">") else "---" for column in self.columns]
        lines = [names, rules, *self.rows]
        body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        notes = "".join(f"\n\n{note}" for note in self.notes)
        return f"### {self.title}\n\n{body}{notes}\n"
