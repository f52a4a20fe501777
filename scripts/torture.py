"""Runs the random tests round after round, for as long as one likes: ``make torture``.

Each round runs the tests that are marked ``torture`` with another seed, and
tries harder than the one before. It ends at the first failure, and says how to
repeat that round. The output of each round's tests is below ``.build/torture``.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import cyclopts
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from scripts.torture_reports import PIPE

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / ".build" / "torture"
#: Seconds that the tests may take to end, and to end their daemons, when told to.
PATIENCE = 30.0

app = cyclopts.App(help="Runs the random tests round after round.")
console = Console(highlight=False)
if not console.is_terminal:
    console.width = 140


@dataclass
class Round:
    """A run of all the tests with one seed.

    Attributes:
        seed: what they draw from.
        effort: how hard they try; 1 is what ``make test`` does.
        tests: how many there are; 0 until that is known.
        ended: how many have ended.
        failed: the first that has failed; empty if none has.
        seconds: how long it took.
        status: what pytest ended with.
    """

    seed: int
    effort: float
    tests: int = 0
    ended: int = 0
    failed: str = ""
    seconds: float = 0.0
    status: int = 0


class Tests:
    """The random tests, which are run in a process of their own.

    Args:
        chosen: as pytest takes them; all if empty.
        progress: what people watch.
    """

    def __init__(self, chosen: tuple[str, ...], progress: Progress) -> None:
        self._chosen = chosen
        self._progress = progress
        self._task = progress.add_task("", total=None)

    def run(self, number: int, seed: int, effort: float) -> Round:
        """Runs a round; returns how it went.

        Raises:
            KeyboardInterrupt: it was interrupted; the tests and their daemons have ended.
        """
        round_ = Round(seed, effort)
        begin = time.monotonic()
        self._progress.reset(self._task, description=f"round {number}", total=None)
        with self._process(number, round_) as (process, lines):
            for line in lines:
                ((what, value),) = json.loads(line).items()
                if what == "tests":
                    round_.tests = value
                elif what == "begun":
                    self._progress.update(
                        self._task, description=f"round {number}: {escape(value[-70:])}"
                    )
                elif what == "ended":
                    round_.ended += 1
                elif what == "failed":
                    round_.failed = round_.failed or value
                self._progress.update(self._task, completed=round_.ended, total=round_.tests)
            round_.status = process.wait()
        round_.seconds = time.monotonic() - begin
        return round_

    @contextlib.contextmanager
    def _process(
        self, number: int, round_: Round
    ) -> Iterator[tuple[subprocess.Popen[bytes], Iterator[str]]]:
        """The process of a round, and what it tells; nothing of it is left behind."""
        command = [sys.executable, "-m", "pytest", "-m", "torture", "--exitfirst", "--tb=short"]
        command += ["-p", "scripts.torture_reports", f"--hypothesis-seed={round_.seed}"]
        read_end, write_end = os.pipe()
        env = {"HOOKD_SEED": f"{round_.seed}", "HOOKD_EFFORT": f"{round_.effort:g}"}
        with log_of(number).open("wb") as log:
            process = subprocess.Popen(
                [*command, *self._chosen],
                cwd=ROOT,
                env={**os.environ, **env, PIPE: str(write_end)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[write_end],
                # Ctrl-C is for us: we pass it on, once, and wait.
                start_new_session=True,
            )
        os.close(write_end)
        try:
            with os.fdopen(read_end) as lines:
                yield process, lines
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(PATIENCE)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def log_of(number: int) -> Path:
    """Where the output of a round's tests is."""
    return LOGS / f"round-{number}.log"


def rounds(minutes: float, tests: Tests) -> Iterator[Round]:
    """Runs rounds until the time is up, one at least; yields how each went.

    The n-th tries n times as hard as ``make test`` does, or as hard as there is
    time for. So long runs come to histories that are long as well as many.
    """
    end = time.monotonic() + minutes * 60
    effort, number = 1.0, 1
    while True:
        done = tests.run(number, secrets.randbelow(1 << 32), effort)
        yield done
        number += 1
        fits = (end - time.monotonic()) / max(done.seconds / done.effort, 0.001)
        effort = min(float(number), round(fits, 1))
        if effort < 1:
            return


@app.default
def main(*tests: str, minutes: float = 10.0, seed: int | None = None, effort: float = 1.0) -> int:
    """Runs the random tests.

    Args:
        tests: some of them, as pytest takes them; all by default.
        minutes: for how long about.
        seed: of a round that is to be repeated; only that one is run.
        effort: of that round.

    Returns:
        0 if nothing has failed, 1 if something has, 2 if the tests could not
        be run, 130 after Ctrl-C.
    """
    LOGS.mkdir(parents=True, exist_ok=True)
    for old in LOGS.glob("round-*.log"):
        old.unlink()
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    done: list[Round] = []
    try:
        with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
            runner = Tests(tests, progress)
            every = rounds(minutes, runner) if seed is None else [runner.run(1, seed, effort)]
            for round_ in every:
                done.append(round_)
                _say_round(len(done), round_)
                if round_.status:
                    break
    except KeyboardInterrupt:
        console.print("Interrupted; the tests and their daemons have ended.")
        _say_sum(done)
        return 130
    if done[-1].status:
        return _say_failure(len(done), done[-1], tests)
    _say_sum(done)
    return 0


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say_round(number: int, round_: Round) -> None:
    mark = "[red]✗[/]" if round_.status else "[green]✓[/]"
    console.print(
        f"{mark} round {number:3}   seed {round_.seed:<10}   effort {round_.effort:<5g}"
        f"   {round_.ended} tests   {round_.seconds:.0f} s"
    )


def _say_sum(done: list[Round]) -> None:
    passed = [round_ for round_ in done if not round_.status]
    if passed:
        tests = sum(round_.ended for round_ in passed)
        seconds = sum(round_.seconds for round_ in passed)
        console.print(f"{len(passed)} rounds, {tests} tests, {seconds:.0f} s; nothing has failed.")


def _say_failure(number: int, round_: Round, tests: tuple[str, ...]) -> int:
    print(log_of(number).read_text(errors="replace"))
    if not round_.failed:
        console.print(f"[red]pytest ended with {round_.status}[/], and no test has failed.")
        return 2
    console.print(f"[red]{escape(round_.failed)} has failed.[/] To repeat the round, or the test:")
    chosen = f" TESTS={shlex.quote(' '.join(tests))}" if tests else ""
    dice = f"HOOKD_SEED={round_.seed} HOOKD_EFFORT={round_.effort:g}"
    # Not by the console, which wraps long lines: they are there to be copied.
    print(f"  make torture SEED={round_.seed} EFFORT={round_.effort:g}{chosen}")
    print(f"  {dice} .venv/bin/pytest --hypothesis-seed={round_.seed} {shlex.quote(round_.failed)}")
    return 1


if __name__ == "__main__":
    sys.exit(app())
