"""Quotas come from flags, the environment and the file, for all projects and for one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hookd_daemon.config import ConfigError, load


def test_there_are_none_by_default() -> None:
    settings = load(environ={})
    assert settings.quota("max_active_hooks", "p") == 0
    assert settings.quota("max_active_runs", "p") == 0
    assert settings.quota("max_payload_bytes", "p") == 0
    assert settings.quota("max_calls_per_second", "p") == 0


def test_a_project_may_have_its_own(tmp_path: Path) -> None:
    file = tmp_path / "hookd.toml"
    file.write_text(
        """
        max_active_hooks = 10
        [projects.big]
        max_active_hooks = 1000
        [projects.free]
        max_active_hooks = 0
        max_calls_per_second = 5
        """
    )
    settings = load({"max_active_runs": "7"}, {"HOOKD_MAX_PAYLOAD_BYTES": "1000000"}, file)
    assert [settings.quota("max_active_hooks", p) for p in ("big", "free", "any")] == [1000, 0, 10]
    assert settings.quota("max_active_runs", "big") == 7
    assert settings.quota("max_payload_bytes", "free") == 1_000_000
    assert settings.quota("max_calls_per_second", "free") == 5
    assert settings.quota("max_calls_per_second", "any") == 0


@pytest.mark.parametrize("value", ["-1", "many", "1.5", "99999999999999999999"])
def test_a_bad_one_is_named(value: str) -> None:
    with pytest.raises(ConfigError, match="--max-active-runs: must be a whole number from 0 to"):
        load({"max_active_runs": value}, {})
