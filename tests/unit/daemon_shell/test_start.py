"""What the daemon loads before it serves: each module more is time in every restart."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest
from hookd_daemon import cli, server
from hookd_daemon.config import StartupError

#: A start that goes as far as to the data directory, which cannot be there.
SCRIPT = """
import sys
from hookd_daemon.cli import main

status = main(["serve", f"--data-dir={__file__}/data", "--log-format=json"])
print(status, *sorted({name.partition(".")[0] for name in sys.modules}))
print(*sorted(name for name in sys.modules if name.startswith("hookd_daemon.")))
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> tuple[set[str], set[str]]:
    """The libraries, and the modules of the daemon, that a start loads."""
    script = tmp_path_factory.mktemp("start") / "start.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=60, check=True
    )
    (status, *libraries), modules = (line.split() for line in done.stdout.splitlines())
    assert status == "1", done.stderr
    assert "data directory" in done.stderr or "not a directory" in done.stderr.lower()
    return set(libraries), set(modules)


def test_what_the_http_port_serves_is_not_loaded(loaded: tuple[set[str], set[str]]) -> None:
    libraries, modules = loaded
    assert {"grpc", "rocksdict"} <= libraries, "it has come so far"
    assert not {"starlette", "uvicorn", "h11", "jinja2", "click"} & libraries
    assert "hookd_daemon.http.server" in modules
    assert not {"hookd_daemon.web", "hookd_daemon.http.engine"} & modules


def test_what_only_hookctl_draws_with_is_not_loaded(loaded: tuple[set[str], set[str]]) -> None:
    libraries, _ = loaded
    assert "structlog" in libraries
    assert not {"rich", "pygments"} & libraries


def test_garbage_is_collected_once_it_serves() -> None:
    thresholds = gc.get_threshold()
    gc.disable()
    try:
        server._settle(None)  # type: ignore[arg-type]
        assert gc.isenabled()
    finally:
        gc.enable()
        gc.set_threshold(*thresholds)


def test_garbage_is_collected_again_after_a_start_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_settings: object) -> int:
        assert not gc.isenabled()
        raise StartupError("no luck")

    monkeypatch.setattr(server, "run", fail)
    assert cli.main(["serve", f"--data-dir={tmp_path}"]) == StartupError.exit_status
    assert gc.isenabled()
    assert "no luck" in capsys.readouterr().err
