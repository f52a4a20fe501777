"""Bugs are planted in a copy, and it is told which of them the tests notice."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.progress import Progress

from scripts.mutants import plant
from scripts.patches import read_all
from scripts.workshop import ROOT, MutantError, Workshop

KEYS = "daemon/hookd_daemon/store/keys.py"
TESTS = "tests/unit/store/test_keys.py"
#: A line of it that its tests rest on, the same with a bug, and one that nothing rests on.
GOOD = "    return last[:-1] + bytes([last[-1] + 1])"
BAD = "    return last[:-1] + bytes([last[-1]])"
TITLE = (ROOT / KEYS).read_text().splitlines()[0]


def write(folder: Path, name: str, old: str, new: str, tests: str = TESTS) -> None:
    """A patch that exchanges one line of the keys."""
    diff = f"--- a/{KEYS}\n+++ b/{KEYS}\n@@ -1 +1 @@\n-{old}\n+{new}\n"
    (folder / f"{name}.patch").write_text(f"# Tests: {tests}\n# Bug: {name}.\n{diff}")


def test_what_is_noticed_and_what_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "a-bug", GOOD, BAD)
    write(tmp_path, "b-survivor", TITLE, f"{TITLE}  # a comment")
    write(tmp_path, "c-of-another-tree", "gone = 1", "gone = 2")
    before = (ROOT / KEYS).read_text()
    with Progress(disable=True) as progress:
        patches = read_all(tmp_path)
        assert plant(patches, Workshop(tmp_path / "build"), 60, progress) == 1
    said = capsys.readouterr().out
    assert "✓ a-bug: tests.unit.store.test_keys::test_" in said
    assert "✗ b-survivor: all its tests passed" in said
    assert "✗ c-of-another-tree: " in said
    assert "are not there any more" in said
    assert (ROOT / KEYS).read_text() == before == (tmp_path / "build/tree" / KEYS).read_text()


def test_a_test_that_fails_without_a_bug_shows_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "tests/e2e/torture/sample.py::test_that_fails_when_it_tries_hard"
    write(tmp_path, "a-bug", GOOD, BAD, name)
    monkeypatch.setenv("SAMPLE_FAILS_FROM", "1")
    with Progress(disable=True) as progress, pytest.raises(MutantError, match="without any bug"):
        plant(read_all(tmp_path), Workshop(tmp_path / "build"), 60, progress)
