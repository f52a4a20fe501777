from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import pytest
from hookd_daemon import cli
from hookd_daemon.config import Settings, StartupError


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """Puts a server in place that only keeps the settings it is run with."""
    seen: list[Settings] = []
    server = types.ModuleType("hookd_daemon.server")

    def run(settings: Settings) -> int:
        seen.append(settings)
        if settings.log_level == "error":
            raise StartupError("the store is\nin use")
        return 3

    server.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hookd_daemon.server", server)
    monkeypatch.setattr("hookd_daemon.server", server, raising=False)
    return seen


def test_serve_passes_every_flag_and_returns_the_servers_status(
    served: list[Settings], tmp_path: Path
) -> None:
    config = tmp_path / "c.toml"
    config.write_text("[projects.p]\nretention = 'drop'")
    ready = str(tmp_path / "ready")
    flags = {
        "--config": str(config),
        "--data-dir": "d",
        "--backup-dir": "b",
        "--secrets-dir": "s",
        "--retention": "1h",
        "--listen": "0.0.0.0:0",
        "--http": "",
        "--public-url": "https://hooks.example.com/in/",
        "--trusted-proxies": "10.0.0.0/8, ::1",
        "--tls-cert": "c.pem",
        "--tls-key": "k.pem",
        "--tls-client-ca": "ca.pem",
        "--max-calls-in-flight": "5",
        "--max-streams": "6",
        "--max-token-bytes": "7",
        "--max-active-hooks": "11",
        "--max-active-runs": "12",
        "--max-payload-bytes": "13",
        "--max-calls-per-second": "14",
        "--drain-timeout": "8s",
        "--worker-lease": "9s",
        "--fail-unserved-after": "1h",
        "--log-level": "debug",
        "--log-format": "json",
        "--ready-fd": "2",
        "--ready-file": ready,
    }
    words = [word for pair in flags.items() for word in pair]
    assert cli.main(["serve", *words, "--require-keys", "--insecure", "--log-tokens"]) == 3
    (settings,) = served
    assert settings.describe() == {
        "data_dir": "d",
        "backup_dir": "b",
        "secrets_dir": "s",
        "retention": "1h",
        "projects": {"p": {"retention": "drop"}},
        "public_url": "https://hooks.example.com/in",
        "trusted_proxies": ["10.0.0.0/8", "::1/128"],
        "listen": "0.0.0.0:0",
        "http": None,
        "max_calls_in_flight": 5,
        "max_streams": 6,
        "max_token_bytes": 7,
        "max_active_hooks": 11,
        "max_active_runs": 12,
        "max_payload_bytes": 13,
        "max_calls_per_second": 14,
        "drain_timeout": 8.0,
        "worker_lease": 9.0,
        "fail_unserved_after": 3600.0,
        "log_level": "debug",
        "log_format": "json",
        "log_tokens": True,
        "tls_cert": "c.pem",
        "tls_key": "k.pem",
        "tls_client_ca": "ca.pem",
        "require_keys": True,
        "insecure": True,
        "ready_fd": 2,
        "ready_file": ready,
    }


def test_a_switch_can_be_turned_off_again(
    served: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOKD_LOG_TOKENS", "1")
    cli.main(["serve"])
    cli.main(["serve", "--no-log-tokens"])
    assert [settings.log_tokens for settings in served] == [True, False]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["serve", "--max-streams", "x"], "--max-streams: must be a whole number"),
        (["serve", "--listen", "0.0.0.0:1"], "--listen: 0.0.0.0:1 can be reached"),
        (["serve", "--unheard-of"], "--unheard-of"),
        (["serve", "--listen"], "--listen requires an argument"),
        (["serve", "extra"], "hookd serve takes no extra; see hookd serve --help"),
        (["unheard-of"], "unheard-of"),
        (["serve", "--http", "a\x1b[2J:1\n"], "--http"),
    ],
)
def test_a_bad_command_line_is_one_line_and_status_2(
    served: list[Settings], capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert cli.main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("hookd: error: ")
    assert message in err
    assert err.count("\n") == 1
    assert "\x1b" not in err
    assert not served


def test_a_daemon_that_cannot_start_says_why_in_one_line(
    served: list[Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["serve", "--log-level", "error"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_help_names_every_setting_with_its_variable(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["serve", "--help"]) == 0
    text = capsys.readouterr().out
    for field in Settings.model_fields.keys() - {"projects"}:
        assert "--" + field.replace("_", "-") in text
        assert "HOOKD_" + field.upper() in text
    assert "HOOKD_CONFIG" in text
    assert "127.0.0.1:4665" in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("hookd ")


def test_help_loads_neither_grpc_nor_the_store() -> None:
    code = (
        "import sys; from hookd_daemon import cli; cli.main(['serve', '--help']);"
        "sys.exit(bool({'grpc', 'rocksdict', 'hookd_daemon.server'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
