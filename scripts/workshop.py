"""A copy of the tree in which bugs are planted, and the tests run."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from scripts.patches import Patch, PatchError, patched

ROOT = Path(__file__).resolve().parent.parent
#: What the tests read; see tests/support/effort.py. Always the same, so that
#: whether a bug is noticed is no matter of luck; and little, as it is done so often.
DICE = {"HOOKD_SEED": "1", "HOOKD_EFFORT": "0.5"}
NOT_COPIED = shutil.ignore_patterns(
    ".git", ".build", ".venv", "target", "node_modules", "__pycache__", ".*_cache", ".hypothesis"
)


class MutantError(Exception):
    """The bugs cannot be planted; the text says why."""


class Workshop:
    """The copy of the tree, in which the bugs are planted.

    Args:
        folder: where to make it; what was built there before is used again.

    Raises:
        MutantError: the copy could not be made so that its code is what runs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tree = tree = folder / "tree"
        shutil.rmtree(tree, ignore_errors=True)
        shutil.copytree(ROOT, tree, ignore=NOT_COPIED)
        # The copy comes before what is installed, also in the processes of tests.
        paths = [tree / "daemon", tree / "clients" / "python", tree]
        self._env = {**os.environ, **DICE, "PYTHONPATH": os.pathsep.join(map(str, paths))}
        asked = subprocess.run(
            [sys.executable, "-c", "import hookd, hookd_daemon._native as n; print(n.__file__)"],
            cwd=tree,
            env=self._env,
            capture_output=True,
            text=True,
            check=False,
        )
        where = asked.stdout.strip()
        if asked.returncode or tree not in Path(where).parents:
            raise MutantError(f"the code of the copy is not what runs:\n{where}{asked.stderr}")
        self._native = Path(where)

    @contextlib.contextmanager
    def planted(self, patch: Patch) -> Iterator[None]:
        """Has the bug in the copy inside the ``with`` block.

        Raises:
            PatchError: it does not fit, or cannot be built.
        """
        changed = patched(patch, self._tree)
        before = {path: path.read_text() for path in changed}
        built = self._native.read_bytes()
        try:
            for path, text in changed.items():
                path.write_text(text)
            if patch.is_native:
                self._build(patch)
            yield
        finally:
            for path, text in before.items():
                path.write_text(text)
            if patch.is_native:
                _replace(self._native, built)

    def _build(self, patch: Patch) -> None:
        """Builds the extension of the copy, in a folder that is kept for the next time."""
        wheels = self._folder / "wheels"
        shutil.rmtree(wheels, ignore_errors=True)
        command = [sys.executable, "-m", "maturin", "build", "--release", "--locked", "--quiet"]
        command += [f"--interpreter={sys.executable}", f"--out={wheels}"]
        command += [f"--target-dir={self._folder / 'target'}"]
        done = subprocess.run(
            command, cwd=self._tree / "daemon", capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise PatchError(f"{patch.name}: cannot be built:\n{done.stderr}")
        (wheel,) = wheels.glob("*.whl")
        with zipfile.ZipFile(wheel) as files:
            _replace(self._native, files.read(f"hookd_daemon/{self._native.name}"))

    def failed(self, tests: list[str], bound_s: float) -> str:
        """Runs tests in the copy until one fails; returns its name, empty if none does.

        Args:
            tests: as pytest takes them.
            bound_s: how long they may take, in seconds.

        Raises:
            MutantError: they could not be run, or took too long.
        """
        report = self._folder / "report.xml"
        report.unlink(missing_ok=True)
        command = [sys.executable, "-m", "pytest", "--exitfirst", "--quiet", "--tb=short"]
        command += ["-p", "no:cacheprovider", "--hypothesis-seed=1", f"--junitxml={report}", *tests]
        with (self._folder / "tests.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=self._tree,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            try:
                status = process.wait(bound_s)
            except subprocess.TimeoutExpired:
                raise MutantError(f"they took more than {bound_s:.0f} s") from None
            finally:
                # With it, the daemons that its tests have started.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if status == 0:
            return ""
        # Not an error of a fixture or of an import: a test that went to its end and said no.
        for case in ElementTree.parse(report).iter("testcase") if status == 1 else ():
            if case.find("failure") is not None:
                return f"{case.get('classname')}::{case.get('name')}"
        end = (self._folder / "tests.log").read_text(errors="replace")[-3000:]
        raise MutantError(f"no test failed, but pytest ended with {status}:\n{end}")


def _replace(library: Path, data: bytes) -> None:
    """Exchanges a library as a new file: who still runs has the old one mapped."""
    fresh = library.with_suffix(".fresh")
    fresh.write_bytes(data)
    fresh.replace(library)
