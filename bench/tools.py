"""Finds the programs that the suite runs: on this machine, or where ``make bench`` puts them."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
#: Where ``make bench`` installs what it needs; nothing is installed elsewhere.
BUILD = ROOT / ".build" / "bench"
#: Python with what draws the plots, and with the peer of the workflows.
PYTHON = BUILD / "venv" / "bin" / "python"
LOADGEN = BUILD / "loadgen" / "release" / "hookd-loadgen"


@dataclass(frozen=True)
class Tool:
    """A program that was found.

    Attributes:
        path: where.
        env: what it needs beside our environment.
    """

    path: Path
    env: dict[str, str]

    def environment(self) -> dict[str, str]:
        """The whole environment to run it in."""
        return {**os.environ, **self.env}

    def beside(self, name: str) -> str:
        """The path of a program that comes with this one."""
        return str(self.path.resolve().with_name(name))

    def version(self) -> str:
        """What it says about its version: the first number of its first line."""
        done = subprocess.run(
            [str(self.path), "--version"],
            env=self.environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        for word in done.stdout.replace("=", " ").split():
            if word[0].isdigit():
                return word
        return done.stdout.strip()


def find(
    name: str, *, build: Path = BUILD, path: str | None = None, system: Path = Path("/usr")
) -> Tool | None:
    """A program: of this machine, or else from ``build``.

    Args:
        name: its file's name.
        build: where ``make bench`` installs.
        path: as the variable ``PATH``; that variable if None.
        system: below which PostgreSQL hides its programs from ``PATH``.
    """
    here = shutil.which(name, path=path)
    if here is not None:
        return Tool(Path(here), {})
    hidden = sorted(system.glob(f"lib/postgresql/*/bin/{name}"))
    if hidden:
        return Tool(hidden[-1], {})
    if (build / "bin" / name).exists():
        return Tool(build / "bin" / name, {})
    root = build / "root"
    for pattern in (f"usr/bin/{name}", f"usr/sbin/{name}", f"usr/lib/postgresql/*/bin/{name}"):
        for found in sorted(root.glob(pattern), reverse=True):
            return Tool(found, {"LD_LIBRARY_PATH": _libraries(root)})
    return None


def _libraries(root: Path) -> str:
    """All folders with libraries of the packages that were unpacked there."""
    return ":".join(sorted({str(file.parent) for file in root.rglob("*.so*")}))
