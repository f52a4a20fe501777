"""The benchmark of workflows measures what it says, on a daemon and workers of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The report of a quick run."""
    folder = tmp_path_factory.mktemp("bench")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "bench",
            "--only=workflows",
            "--quick",
            f"--output={folder / 'report.json'}",
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "One run that lives long" in done.stdout
    assert os.listdir(folder) == ["report.json"]
    return json.loads((folder / "report.json").read_text())


def test_the_report_names_the_machine_and_its_disk(report):
    facts = report["machine"]
    assert {"processor", "python", "fdatasync of 4 KiB"} <= facts.keys()


@pytest.mark.parametrize("name", ["one_at_a_time_ms", "goes_on_ms", "ends_ms"])
def test_times_come_with_their_spread(report, name):
    spread = report["workflows"][name]
    assert 0 < spread["median"] <= spread["p99"]


@pytest.mark.parametrize("name", ["per_second", "daemon_ms", "worker_ms"])
def test_rates_and_costs_are_there(report, name):
    assert report["workflows"][name] >= 0


def test_the_curve_covers_the_life_of_the_run(report):
    curve = report["workflows"]["curve"]
    assert curve["events"] > 80
    froms = [window["from_event"] for window in curve["windows"]]
    tos = [window["to_event"] for window in curve["windows"]]
    assert len(froms) == 10
    assert froms[1:] == tos[:-1]
    assert all(0 < window["median_ms"] <= window["p99_ms"] for window in curve["windows"])
    assert curve["end_to_start"] > 0
    assert curve["warm_wake_ms"] > 0
    assert curve["cold_wake_ms"] > 0


def test_without_the_peer_there_are_no_ratios(report):
    assert report["workflows"]["peer"] is None
