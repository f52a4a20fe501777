"""``make torture``: rounds, the failure that ends them, and what Ctrl-C leaves behind."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SAMPLE = "tests/e2e/torture/sample.py"
PATIENCE = 60.0


class Torture:
    """Starts ``scripts.torture`` on the sample.

    Args:
        folder: where the sample notes what it sees.
    """

    def __init__(self, folder: Path) -> None:
        self._notes = folder / "notes"
        self._notes.touch()
        self._env = {**os.environ, "SAMPLE_NOTES": str(self._notes)}

    def notes(self) -> list[dict[str, int]]:
        return [json.loads(line) for line in self._notes.read_text().splitlines()]

    def start(
        self, *arguments: str, stdout: int = subprocess.PIPE, **env: str
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "scripts.torture", SAMPLE, *arguments],
            cwd=ROOT,
            env={**self._env, **env},
            stdout=stdout,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, **env: str) -> tuple[int, str]:
        process = self.start(*arguments, **env)
        said, _ = process.communicate(timeout=PATIENCE)
        return process.returncode, said


@pytest.fixture
def torture(tmp_path: Path) -> Torture:
    return Torture(tmp_path)


def eventually(look: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not look():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_round_is_repeated_with_its_seed_and_effort(torture: Torture) -> None:
    status, said = torture.run("--seed=4665", "--effort=2.5")
    assert status == 0, said
    assert re.search(r"✓ round +1 +seed 4665 +effort 2.5 +4 tests", said)
    assert torture.notes() == [{"seed": 4665, "effort": 25}, {"effort": 1}]


def test_people_see_a_bar(torture: Torture) -> None:
    """Which round and which test it is at, and how many have ended."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        process = torture.start(
            "--minutes=10", stdout=theirs, SAMPLE_WAITS="1", TERM="xterm", COLUMNS="140"
        )
        os.close(theirs)
        shown = ""
        # The third test waits; the end of a terminal is an error.
        with contextlib.suppress(OSError):
            while not re.search(r"round 1: [^\n]*test_that_waits[^\n]*━[^\n]*2/4", shown):
                shown += terminal.read(65536).decode(errors="replace")
            process.send_signal(signal.SIGINT)
            while terminal.read(65536):
                pass
    assert process.wait(PATIENCE) == 130, shown


def test_rounds_try_harder_until_one_fails(torture: Torture) -> None:
    status, said = torture.run("--minutes=10", SAMPLE_FAILS_FROM="15")
    assert status == 1, said
    dice = [note for note in torture.notes() if "seed" in note]
    assert [note["effort"] for note in dice] == [10, 20]
    seeds = [note["seed"] for note in dice]
    assert len(set(seeds)) == 2, "each round has a seed of its own"
    for number, seed in enumerate(seeds, 1):
        assert re.search(rf"{'✓' if number < 2 else '✗'} round +{number} +seed {seed} ", said)
    assert "AssertionError: as it was told" in said
    assert f"  make torture SEED={seeds[1]} EFFORT=2 TESTS={SAMPLE}\n" in said

    # The command for the one test is whole, too.
    (command,) = [line for line in said.splitlines() if line.startswith("  HOOKD_SEED=")]
    env, words = {}, shlex.split(command)
    while "=" in words[0]:
        name, _, env[name] = words.pop(0).partition("=")
    assert words[0] == ".venv/bin/pytest"
    again = subprocess.run(
        [sys.executable, "-m", "pytest", *words[1:]],
        cwd=ROOT,
        env={**os.environ, **env, "SAMPLE_FAILS_FROM": "15"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert again.returncode == 1
    assert f"HOOKD_SEED={seeds[1]} HOOKD_EFFORT=2" in again.stdout
    assert "AssertionError: as it was told" in again.stdout


def test_a_failure_of_pytest_itself_is_no_success(torture: Torture) -> None:
    status, said = torture.run("no-such-file.py", "--minutes=1")
    assert status == 2, said
    assert "no-such-file.py" in said


def test_ctrl_c_leaves_no_daemon_behind(torture: Torture) -> None:
    process = torture.start("--minutes=10", SAMPLE_WAITS="1")
    eventually(lambda: "daemon" in str(torture.notes()))
    (daemon,) = [note["daemon"] for note in torture.notes() if "daemon" in note]
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, said
    assert "Interrupted" in said
    with pytest.raises(ProcessLookupError):
        os.kill(daemon, 0)
