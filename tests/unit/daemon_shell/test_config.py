from __future__ import annotations

import os
from pathlib import Path

import pytest
from hookd_daemon.config import ConfigError, Settings, StartupError, load
from hookd_daemon.values import Address


def write(directory: Path, text: str) -> Path:
    path = directory / "hookd.toml"
    path.write_text(text)
    return path


def test_defaults() -> None:
    settings = load(environ={})
    assert settings.data_dir == Path("hookd-data")
    assert settings.backup_dir == Path("hookd-data-backups")
    assert settings.listen_address == Address("127.0.0.1", 4665)
    assert settings.http_address == Address("127.0.0.1", 4666)
    assert settings.retention_ms("any") == 7 * 86_400_000
    assert (settings.max_calls_in_flight, settings.max_streams) == (1024, 20_000)
    assert settings.max_token_bytes == 512
    assert settings.drain_timeout == 10.0
    assert (settings.worker_lease, settings.fail_unserved_after) == (15.0, None)
    assert (settings.log_level, settings.log_tokens, settings.insecure) == ("info", False, False)
    assert settings.ready_fd is None
    assert settings.ready_file is None


def test_flags_win_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    file = write(tmp_path, "max_streams = 1\nmax_token_bytes = 1\nmax_calls_in_flight = 1\n")
    settings = load(
        {"max_streams": "3", "max_token_bytes": None},
        {"HOOKD_MAX_STREAMS": "2", "HOOKD_MAX_TOKEN_BYTES": "2", "HOOKD_CONFIG": str(file)},
    )
    assert settings.max_streams == 3
    assert settings.max_token_bytes == 2
    assert settings.max_calls_in_flight == 1
    assert settings.drain_timeout == 10.0


def test_a_config_flag_wins_over_the_variable(tmp_path: Path) -> None:
    file = write(tmp_path, "max_streams = 7")
    assert load({}, {"HOOKD_CONFIG": "/does/not/exist"}, file).max_streams == 7


def test_backups_go_beside_the_data() -> None:
    assert load({"data_dir": "/var/lib/hookd/"}, {}).backup_dir == Path("/var/lib/hookd-backups")


def test_empty_http_turns_it_off_and_other_empty_variables_count_as_unset() -> None:
    assert load({"http": ""}, {}).http_address is None
    settings = load({}, {"HOOKD_HTTP": "", "HOOKD_RETENTION": "", "HOOKD_CONFIG": ""})
    assert settings.http is None
    assert settings.retention == "7d"


def test_variables_of_the_clients_are_left_alone() -> None:
    load({}, {"HOOKD_ADDRESS": "x", "HOOKD_PROJECT": "y", "HOOKD_PROJECTS": "z"})


def test_retention_per_project(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        """
        retention = "1h30m"
        [projects.audit]
        retention = "keep"
        [projects.scratch]
        retention = "drop"
        [projects."with space"]
        retention = 90
        [projects.plain]
        """,
    )
    settings = load({}, {}, file)
    assert settings.retention_ms("audit") is None
    assert settings.retention_ms("scratch") == 0
    assert settings.retention_ms("with space") == 90_000
    assert settings.retention_ms("plain") == 5_400_000
    assert settings.retention_ms("unheard of") == 5_400_000


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            {"max_token_bytes": "4097"},
            "--max-token-bytes: must be a whole number from 1 to 4096, not '4097'",
        ),
        ({"max_token_bytes": "0"}, "--max-token-bytes: must be a whole number from 1 to 4096"),
        ({"max_streams": "many"}, "--max-streams: must be a whole number from 1 to 1000000"),
        ({"max_streams": "1.5"}, "--max-streams: must be a whole number"),
        ({"max_calls_in_flight": "-1"}, "--max-calls-in-flight: must be a whole number"),
        ({"drain_timeout": "2h"}, "--drain-timeout: must be from 0 to 3600 seconds, not '2h'"),
        ({"drain_timeout": "-1"}, "--drain-timeout: must be a duration"),
        ({"worker_lease": "99ms"}, "--worker-lease: must be from 0.1 to 3600 seconds"),
        ({"worker_lease": "never"}, "--worker-lease: must be a duration"),
        ({"fail_unserved_after": "soon"}, "or a number of seconds, or \"never\", not 'soon'"),
        ({"fail_unserved_after": "0"}, "--fail-unserved-after: must be from 0.1 to"),
        ({"retention": "forever"}, 'or "keep", or "drop", not \'forever\''),
        ({"retention": "36501d"}, "--retention: must be at most 36500d"),
        ({"retention": "-7d"}, "--retention: must be a duration"),
        ({"log_level": "loud"}, "--log-level: must be one of debug, info, warning, error"),
        ({"log_format": "xml"}, "--log-format: must be one of json, console"),
        ({"http": "nowhere"}, "--http: must be HOST:PORT"),
        ({"listen": "::1:1"}, "--listen: must have its IPv6 address in brackets"),
        ({"ready_fd": "one"}, "--ready-fd: must be the number of an open file descriptor"),
        ({"ready_fd": "99999999999999999999"}, "--ready-fd: must be the number of an open"),
        ({"data_dir": ""}, "--data-dir: must be a path"),
        ({"data_dir": "x", "backup_dir": "./x"}, "--backup-dir: this is the data directory"),
    ],
)
def test_a_bad_flag_is_named_with_what_is_allowed(flags: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(flags, {})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bad_variable_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^HOOKD_MAX_STREAMS: must be .* not 'x'$"):
        load({}, {"HOOKD_MAX_STREAMS": "x"})
    with pytest.raises(ConfigError, match=r"^HOOKD_INSECURE: must be true or false, not 'maybe'$"):
        load({}, {"HOOKD_INSECURE": "maybe"})


def test_all_bad_values_are_named_in_one_line() -> None:
    with pytest.raises(ConfigError, match=r"^--data-dir: .*; HOOKD_MAX_STREAMS: [^;]*$"):
        load({"data_dir": ""}, {"HOOKD_MAX_STREAMS": "x"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_streams = 'x'", r"max_streams in .*hookd\.toml: must be a whole number"),
        ("max_streams = true", r"max_streams in .*: must be a whole number .* not 'True'"),
        ("max_streams = [1]", r"max_streams in .*: must be a whole number .* not \[1\]"),
        ("max_strems = 1", r"there is no setting 'max_strems' \(did you mean max_streams\?\)"),
        ("zzz = 1", r"there is no setting 'zzz'$"),
        ("data_dir = 5", r"data_dir in .*: must be a path, not '5'"),
        ("projects = 5", r"projects in .*: must be a table, not '5'"),
        ("projects.a = 5", r"projects\.a in .*: must be a table, not '5'"),
        ("projects.a.retention = 'x'", r"projects\.a\.retention in .*: must be a duration"),
        ("projects.a.retantion = 'x'", r"projects\.a\.retantion in .*: there is no such setting"),
        ("max_streams = = 1", r"hookd\.toml is not valid TOML: .* line 1"),
    ],
)
def test_a_bad_key_is_named_with_its_file(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load({}, {}, write(tmp_path, text))


def test_a_config_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the configuration .*: No such file"):
        load({}, {}, tmp_path / "none.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        load({}, {}, binary)


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "hookd.example.org:0"])
def test_an_address_that_others_reach_needs_insecure(address: str) -> None:
    with pytest.raises(ConfigError, match=r"^--listen: .* can be reached by other machines"):
        load({"listen": address}, {})
    with pytest.raises(ConfigError, match=r"^HOOKD_LISTEN: "):
        load({}, {"HOOKD_LISTEN": address})
    assert load({"listen": address, "insecure": True}, {}).listen == address


@pytest.mark.parametrize("address", ["127.0.0.1:0", "127.8.9.1:0", "[::1]:0", "localhost:0"])
def test_loopback_needs_no_insecure(address: str) -> None:
    assert load({"listen": address}, {}).listen == address


@pytest.mark.parametrize(
    ("text", "seconds"), [("never", None), ("Never ", None), ("500ms", 0.5), ("7d", 604_800.0)]
)
def test_unserved_work_fails_after_a_time_or_never(text: str, seconds: float | None) -> None:
    assert load({"fail_unserved_after": text}, {}).fail_unserved_after == seconds
    assert load({}, {"HOOKD_FAIL_UNSERVED_AFTER": text}).fail_unserved_after == seconds


def test_describe_is_json_of_what_is_in_force(tmp_path: Path) -> None:
    file = write(tmp_path, "[projects.a]\nretention = 'keep'")
    described = load({"drain_timeout": "1m"}, {}, file).describe()
    assert described["drain_timeout"] == 60.0
    assert described["data_dir"] == "hookd-data"
    assert described["projects"] == {"a": {"retention": "keep"}}
    assert set(described) == set(Settings.model_fields)


def test_an_open_descriptor_is_accepted() -> None:
    read, write_end = os.pipe()
    try:
        assert load({"ready_fd": str(write_end)}, {}).ready_fd == write_end
    finally:
        os.close(read)
        os.close(write_end)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().retention = "1d"


def test_exit_statuses() -> None:
    assert StartupError.exit_status == 1
    assert ConfigError.exit_status == 2
