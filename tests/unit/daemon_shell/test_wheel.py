"""What is installed elsewhere has everything that the source has."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "daemon" / "hookd_daemon"


def test_the_wheel_of_the_daemon_has_every_file(tmp_path: Path) -> None:
    """Templates, static files, stubs and comments, too. The Rust below it is built already."""
    command = [sys.executable, "-m", "maturin", "build", "--release", "--locked", "--quiet"]
    command += [f"--interpreter={sys.executable}", f"--out={tmp_path}"]
    subprocess.run(command, cwd=ROOT / "daemon", check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        packed = set(files.namelist())
    source = {
        str(path.relative_to(PACKAGE.parent))
        for path in PACKAGE.rglob("*")
        if path.is_file() and path.suffix not in (".pyc", ".so")
    }
    assert {
        "hookd_daemon/py.typed",
        "hookd_daemon/_native.pyi",
        "hookd_daemon/console/templates/base.html",
        "hookd_daemon/console/static/console.js",
        "hookd_daemon/http/rest/comments.json",
    } <= source
    assert source - packed == set()
    assert [name for name in packed if name.startswith("hookd_daemon/_native.") and ".so" in name]
