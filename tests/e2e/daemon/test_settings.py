"""Flags, environment and a TOML file, as a whole process reads them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api
from tests.support.concurrency import eventually
from tests.support.daemon import HOOKD, Daemon, running


def logged(daemon: Daemon, event: str) -> dict[str, Any]:
    """The line of the log with this event."""
    lines = [json.loads(line) for line in daemon.log.splitlines()]
    (found,) = [line for line in lines if line["event"] == event]
    return found


def refused_line(folder: Path, flag: str) -> str:
    """What a daemon says that does not start with this flag: one line, and nothing was made."""
    command = [HOOKD, "serve", f"--data-dir={folder / 'data'}", flag]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert not (folder / "data").exists()
    return line


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    """Each layer shows through where no higher one says anything."""
    config = tmp_path / "hookd.toml"
    config.write_text(
        'retention = "3d"\n'
        "max_streams = 11\n"
        "max_calls_in_flight = 12\n"
        "max_token_bytes = 13\n"
        "[projects.short]\n"
        'retention = "drop"\n'
    )
    env = {"HOOKD_MAX_STREAMS": "21", "HOOKD_MAX_CALLS_IN_FLIGHT": "22"}
    with running(tmp_path, f"--config={config}", "--max-calls-in-flight=32", env=env) as daemon:
        told = logged(daemon, "starting")
    assert told["max_calls_in_flight"] == 32
    assert told["max_streams"] == 21
    assert told["max_token_bytes"] == 13
    assert told["retention"] == "3d"
    assert told["projects"]["short"]["retention"] == "drop"
    assert told["drain_timeout"] == 10
    assert told["data_dir"] == str(daemon.data_dir)


def test_the_file_can_be_named_by_the_environment(tmp_path: Path) -> None:
    """``HOOKD_CONFIG`` does what ``--config`` does."""
    config = tmp_path / "hookd.toml"
    config.write_text("max_streams = 11\n")
    with running(tmp_path, env={"HOOKD_CONFIG": str(config)}) as daemon:
        assert logged(daemon, "starting")["max_streams"] == 11


def test_the_log_shows_no_secrets(tmp_path: Path) -> None:
    """Not even when an exporter that was given one fails, at the most talkative level."""
    env = {
        "HOOKD_API_KEY": "secret-of-a-client",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20secret-of-the-collector",
        "OTEL_BSP_SCHEDULE_DELAY": "20",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
    }
    with running(tmp_path, "--log-level=debug", env=env) as daemon:
        api = Api(daemon.channel())
        api.start("some-run")
        assert daemon.terminate() == 0
    assert "starting" in daemon.log
    assert "secret-of" not in daemon.log


def test_where_it_serves_is_in_the_log_and_in_the_ready_file(tmp_path: Path) -> None:
    """The one line names the ports that were picked, and the process."""
    ready = tmp_path / "ready"
    with running(tmp_path, f"--ready-file={ready}") as daemon:
        eventually(ready.exists)  # it comes after the descriptor's line
        facts = json.loads(ready.read_text())
        assert facts == {"grpc": daemon.address, "http": daemon.http, "pid": daemon.pid}
        told = logged(daemon, "serving")
        assert (told["grpc"], told["http"]) == (daemon.address, daemon.http)
        assert daemon.terminate() == 0
        assert not ready.exists()


@pytest.mark.parametrize("flag", ["--listen=0.0.0.0:0", "--listen=[::]:0", "--http=0.0.0.0:0"])
def test_an_address_that_others_can_reach_is_refused(tmp_path: Path, flag: str) -> None:
    """There are neither TLS nor keys yet, so it has to be asked for."""
    line = refused_line(tmp_path, flag)
    assert "--insecure" in line
    name, _, address = flag.partition("=")
    assert name in line
    assert address in line


def test_an_address_that_others_can_reach_can_be_insisted_on(tmp_path: Path) -> None:
    """``--insecure`` is the operator's word for it."""
    daemon = Daemon(tmp_path, "--insecure")
    daemon.listen = "0.0.0.0:0"
    with daemon:
        daemon.listen = daemon.listen.replace("0.0.0.0", "127.0.0.1")
        assert Api(daemon.channel()).start("some-run").run.run_id == "some-run"


@pytest.mark.parametrize(
    ("flag", "named"),
    [
        ("--max-streams=none", "--max-streams"),
        ("--retention=-1d", "--retention"),
        ("--max-token-bytes=5000", "--max-token-bytes"),
        ("--no-such-flag=1", "--no-such-flag"),
    ],
)
def test_a_bad_flag_is_named_in_one_line(tmp_path: Path, flag: str, named: str) -> None:
    """Exit status 2, and nothing was made."""
    assert named in refused_line(tmp_path, flag)
