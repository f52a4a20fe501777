"""``python -m bench``: hookd beside what it can be held against, in one run."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import cyclopts
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench import disk, load, machine, peers, report, tables, token_index, workflows
from bench.client import Client, load_generator
from bench.levels import Levels
from bench.matrix import Matrix
from bench.plan import DEFAULT, FULL, PARTS, QUICK, Plan
from bench.table import Table

app = cyclopts.App(help="Measures hookd on this machine, beside what it can be held against.")
console = Console()
if not console.is_terminal:
    # A log is as wide as it has to be.
    console.width = 120
RESULTS = Path(__file__).parent / "results"
#: The parts that need a load generator.
LOADED = {"loads", "growth", "footprint"}
NO_CLIENT = (
    "There is no load generator, without which most of a figure would be the client: "
    "`make bench` builds it, with cargo. `--quick` and `--only disk index workflows` do without."
)

Part = Literal["disk", "index", "loads", "growth", "footprint", "workflows"]


class Suite:
    """One run of the suite.

    Args:
        plan: what to measure.
        parts: the parts of it.
        client: puts loads on servers.
        folder: for the data of all servers.
        output: where the report goes.
        progress: what people watch.
    """

    def __init__(
        self,
        plan: Plan,
        parts: tuple[str, ...],
        client: Client,
        folder: Path,
        output: Path,
        progress: Progress,
    ) -> None:
        self._plan = plan
        self._parts = parts
        self._client = client
        self._folder = folder
        self._output = output
        self._progress = progress
        self._begin = time.monotonic()
        found: dict[str, peers.Peer] = {}
        left_out: dict[str, str] = {}
        if client is load.measure:
            left_out = dict.fromkeys(peers.NAMES.values(), "the Python client knows hookd alone")
        elif "loads" in parts:
            found, left_out = peers.available(folder)
        self._peers = found
        self.report: dict[str, Any] = {
            "plan": plan.name,
            "begun": datetime.now(UTC).isoformat(timespec="seconds"),
            "minutes": 0.0,
            "client": "python" if client is load.measure else "hookd-loadgen",
            "machine": machine.describe(folder),
            "peers": {
                name: {"title": peer.title, "settings": peer.settings}
                for name, peer in found.items()
            },
            "left_out": left_out,
            "failures": [],
        }
        for key, value in self.report["machine"].items():
            console.print(f"{key}: {value}")
        for name, why in left_out.items():
            console.print(f"[yellow]left out:[/yellow] {name}: {why}")

    def measure(self) -> None:
        """Measures all parts, and writes the report after each."""
        if "disk" in self._parts:
            self._part("disk", lambda: disk.measure(self._folder, self._plan.syncs))
        if "index" in self._parts:
            self._part("index", lambda: token_index.measure(self._plan))
        if "loads" in self._parts:
            self._loads()
        if {"growth", "footprint"} & set(self._parts):
            self._levels()
        if "workflows" in self._parts:
            self._part(
                "workflows",
                lambda: asyncio.run(workflows.measure(self._folder, self._plan.workflows)),
            )

    def _part(self, part: str, measure: Callable[[], dict[str, Any]]) -> None:
        task = self._progress.add_task(part, total=None)
        measured = measure()
        self._progress.remove_task(task)
        self._add(part, measured)
        self._show(part)

    def _add(self, part: str, measured: dict[str, Any]) -> None:
        self.report[part] = measured
        self.report["minutes"] = (time.monotonic() - self._begin) / 60
        report.write(self.report, self._output)

    def _show(self, part: str) -> None:
        for table in tables.of(part, self.report[part], report.names(self.report)):
            _print(table)

    def _loads(self) -> None:
        task = self._progress.add_task("loads", total=self._plan.measurements())

        def advance(what: str) -> None:
            self._progress.update(task, advance=1, description=what)

        matrix = Matrix(self._folder, self._plan, self._client, self._peers, advance)
        measured: dict[str, Any] = {"client": matrix.client_check(), "loads": []}
        for one in self._plan.loads:
            result = matrix.measure(one)
            if result["rows"]:
                measured["loads"].append({"load": one.name, "title": one.title, **result})
                _print(tables.load_table(measured["loads"][-1], report.names(self.report)))
            self.report["left_out"] |= matrix.left_out
            self.report["failures"] += matrix.failures
            matrix.failures.clear()
            self._add("loads", measured)
        self._progress.remove_task(task)
        for table in list(tables.of("loads", measured, report.names(self.report)))[-2:]:
            _print(table)

    def _levels(self) -> None:
        task = self._progress.add_task("growth", total=None)

        def advance(what: str) -> None:
            self._progress.update(task, description=what)

        levels = Levels(self._folder, self._plan, self._client, advance)
        wanted = {part: part in self._parts for part in ("growth", "footprint")}
        measured = levels.measure(**wanted)
        self._progress.remove_task(task)
        self.report["failures"] += levels.failures
        for part, result in measured.items():
            self._add(part, result)
            self._show(part)


def _print(table: Table) -> None:
    console.print()
    console.print(table.rich())
    for note in table.notes:
        console.print(note, highlight=False)


@app.default
def main(
    *,
    only: Annotated[
        list[Part] | None,
        cyclopts.Parameter(help="Only these parts.", consume_multiple=True, negative=""),
    ] = None,
    quick: Annotated[
        bool,
        cyclopts.Parameter(help="Only see that everything works, in a minute.", negative=""),
    ] = False,
    full: Annotated[
        bool,
        cyclopts.Parameter(
            help="All concurrencies and connections, 5 million tokens.", negative=""
        ),
    ] = False,
    output: Annotated[Path, cyclopts.Parameter(help="Where the report goes.")] = RESULTS,
) -> int:
    """Measures, prints tables, and writes a report: JSON, Markdown, and plots.

    Returns:
        The exit status: 0; 1 if something failed that must not; 2 if there is
        nothing to put a load on servers with.
    """
    plan = QUICK if quick else FULL if full else DEFAULT
    parts = tuple(part for part in PARTS if not only or part in only)
    client = load_generator()
    if client is None:
        if not quick and LOADED & set(parts):
            console.print(NO_CLIENT)
            return 2
        client = load.measure
    console.print(f"Plan: {plan.name}. About {max(1, round(plan.minutes(parts)))} min.")
    # Below the working directory, for that is on a disk; and others may pass
    # through it, because PostgreSQL does not run as root.
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as name:
        Path(name).chmod(0o711)
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            suite = Suite(plan, parts, client, Path(name), output, progress)
            suite.measure()
    problem = report.draw(output)
    if problem is not None:
        console.print(problem)
    for failure in suite.report["failures"]:
        console.print(f"[red]failed:[/red] {failure}", highlight=False)
    console.print(f"The report is in {output / report.MARKDOWN}")
    return 1 if suite.report["failures"] else 0


if __name__ == "__main__":
    sys.exit(app())
