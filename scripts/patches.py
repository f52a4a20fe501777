"""Planted bugs as patches: unified diffs with two lines above them.

``# Tests:`` names the tests that must notice, as pytest takes them; ``# Bug:``
says in a few words what is wrong. The diff follows, against the root of the tree.

A hunk is put where its old lines stand, wherever that is; they must stand there
exactly once. So a patch outlives changes around it, and cannot come to mean
something else unnoticed. No git is needed, which a source archive may not have.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

HUNK = re.compile(r"^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")


class PatchError(Exception):
    """A patch cannot be read, or does not fit the tree; the text says why."""


@dataclass(frozen=True)
class Hunk:
    """Lines that become other lines; both end with a newline."""

    before: str
    after: str


@dataclass
class Patch:
    """A planted bug.

    Attributes:
        name: of its file, without the ending.
        tests: what pytest is to run; some of it must fail.
        bug: what is wrong, in a few words.
        hunks: for each file, relative to the root, what changes.
    """

    name: str
    tests: list[str] = field(default_factory=list)
    bug: str = ""
    hunks: dict[str, list[Hunk]] = field(default_factory=dict)

    @property
    def is_native(self) -> bool:
        """Whether the Rust extension has to be built anew."""
        return any(path.startswith("native/") for path in self.hunks)


def read_patch(path: Path) -> Patch:
    """Reads a patch.

    Raises:
        PatchError: it is not what the text above asks for.
    """
    patch = Patch(path.stem)
    lines = path.read_text().splitlines(keepends=True)
    hunks: list[Hunk] | None = None
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if line.startswith("# Tests:"):
            patch.tests += line.removeprefix("# Tests:").split()
        elif line.startswith("# Bug:"):
            patch.bug = line.removeprefix("# Bug:").strip()
        elif line.startswith("+++ "):
            name = line.removeprefix("+++ ").split("\t")[0].strip()
            hunks = patch.hunks.setdefault(name.removeprefix("b/"), [])
        elif match := HUNK.match(line):
            if hunks is None:
                raise PatchError(f"{path.name}: a hunk without a file")
            hunk, at = _read_hunk(path, lines, at, *(int(n or 1) for n in match.groups()))
            hunks.append(hunk)
    if not (patch.tests and patch.bug and patch.hunks):
        raise PatchError(f"{path.name}: has to begin with '# Tests: …' and '# Bug: …', then a diff")
    return patch


def _read_hunk(path: Path, lines: list[str], at: int, old: int, new: int) -> tuple[Hunk, int]:
    before: list[str] = []
    after: list[str] = []
    while len(before) < old or len(after) < new:
        line = lines[at] if at < len(lines) else ""
        kind, text = line[:1], line[1:]
        at += 1
        if kind == "\n":  # an editor took the blank off an empty line
            kind, text = " ", "\n"
        if kind not in (" ", "-", "+"):
            raise PatchError(f"{path.name}: a hunk is shorter than its first line says")
        if kind != "+":
            before.append(text)
        if kind != "-":
            after.append(text)
    return Hunk("".join(before), "".join(after)), at


def patched(patch: Patch, root: Path) -> dict[Path, str]:
    """Returns what the files of the tree would be with the patch; writes nothing.

    Raises:
        PatchError: the patch does not fit.
    """
    files = {}
    for name, hunks in patch.hunks.items():
        path = root / name
        if not path.is_file():
            raise PatchError(f"{patch.name}: there is no {name} any more")
        text = path.read_text()
        for number, hunk in enumerate(hunks, 1):
            old = re.compile("^" + re.escape(hunk.before), re.MULTILINE)
            found = list(old.finditer(text))
            if len(found) != 1:
                where = f"the old lines of its change {number} to {name}"
                times = f"are there {len(found)} times" if found else "are not there any more"
                raise PatchError(f"{patch.name}: {where} {times}")
            text = text[: found[0].start()] + hunk.after + text[found[0].end() :]
        files[path] = text
        if path.suffix == ".py":
            _check_python(patch, name, files[path])
    return files


def _check_python(patch: Patch, name: str, text: str) -> None:
    """A bug that nothing can import is noticed by everything, and shows nothing."""
    try:
        compile(text, name, "exec")
    except SyntaxError as error:
        raise PatchError(f"{patch.name}: {name} is no Python any more: {error}") from error


def read_all(folder: Path) -> list[Patch]:
    """Returns all patches of a folder by name.

    Raises:
        PatchError: one cannot be read.
    """
    return [read_patch(path) for path in sorted(folder.glob("*.patch"))]
