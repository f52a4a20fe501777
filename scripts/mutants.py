"""Plants bugs, one after the other, and sees that the tests notice each: ``make test-mutants``.

Each patch of ``tests/mutants`` is put into a copy of the tree below ``.build``,
and the tests that it names are run there. They must fail with it, and pass
without any. A bug that no test notices is a hole in the net.
"""

from __future__ import annotations

import sys
import time

import cyclopts
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from scripts.patches import Patch, PatchError, patched, read_all
from scripts.workshop import ROOT, MutantError, Workshop

PATCHES = ROOT / "tests" / "mutants"
BUILD = ROOT / ".build" / "mutants"

app = cyclopts.App(help="Plants bugs and sees that the tests notice them.")
console = Console(highlight=False)
if not console.is_terminal:
    console.width = 140


def _chosen(names: tuple[str, ...]) -> list[Patch]:
    every = read_all(PATCHES)
    unknown = set(names) - {patch.name for patch in every}
    if unknown:
        raise PatchError(f"there is no such mutant: {', '.join(sorted(unknown))}")
    chosen = [patch for patch in every if not names or patch.name in names]
    for patch in chosen:
        patched(patch, ROOT)
    return chosen


@app.default
def main(*names: str, bound: float = 300.0) -> int:
    """Plants the bugs of these names, or all.

    Args:
        names: patches of tests/mutants, without their ending.
        bound: how long the tests of one bug may take, in seconds.

    Returns:
        0 if each was noticed, 1 if one was not, or could not be planted; 130
        after Ctrl-C.
    """
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    try:
        patches = _chosen(names)
        with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
            noticed = plant(patches, Workshop(BUILD), bound, progress)
    except (PatchError, MutantError) as error:
        console.print(f"[red]✗[/] {escape(str(error))}")
        return 1
    except KeyboardInterrupt:
        return 130
    if noticed < len(patches):
        console.print(f"[red]{len(patches) - noticed} of {len(patches)} bugs were not noticed.[/]")
        return 1
    console.print(f"{noticed} of {len(patches)} bugs were noticed.")
    return 0


def plant(patches: list[Patch], workshop: Workshop, bound_s: float, progress: Progress) -> int:
    """Plants bug after bug, and says which test has noticed each.

    Args:
        patches: the bugs.
        workshop: where to plant them.
        bound_s: how long the tests of one may take, in seconds.
        progress: what people watch.

    Returns:
        How many were noticed.

    Raises:
        MutantError: the tests do not pass without any bug.
    """
    task = progress.add_task("the tests without any bug", total=1 + len(patches))
    tests = sorted({test for patch in patches for test in patch.tests})
    # Else that they fail with a bug would tell nothing.
    failed = workshop.failed(tests, bound_s * len(patches))
    if failed:
        raise MutantError(f"without any bug this test fails: {failed}")
    progress.advance(task)
    table = Table("mutant", "the bug", title="Planted bugs", show_lines=True)
    table.add_column("noticed by", overflow="fold")
    table.add_column("s", justify="right")
    noticed = 0
    for patch in patches:
        progress.update(task, description=patch.name)
        begin = time.monotonic()
        try:
            with workshop.planted(patch):
                failed = workshop.failed(patch.tests, bound_s)
            why = "all its tests passed"
        except (PatchError, MutantError) as error:
            failed, why = "", str(error)
        noticed += bool(failed)
        file, _, test = failed.rpartition("::")
        by = f"{file.rpartition('.')[2]}\n{test}" if failed else f"nobody: {why}"
        seconds = time.monotonic() - begin
        table.add_row(patch.name, escape(patch.bug), escape(by), f"{seconds:.0f}")
        mark = "[green]✓[/]" if failed else "[red]✗[/]"
        console.print(f"{mark} {patch.name}: {escape(failed or why)}")
        progress.advance(task)
    console.print(table)
    return noticed


if __name__ == "__main__":
    sys.exit(app())
