"""A quick run goes through all parts, and its figures are possible ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
#: The first of these tests waits for the whole run.
pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a quick run was made in, with its report below ``out``."""
    folder = tmp_path_factory.mktemp("bench")
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", f"--output={folder / 'out'}"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "stdout").write_text(done.stdout)
    return folder


@pytest.fixture(scope="module")
def report(folder: Path) -> dict[str, object]:
    return json.loads((folder / "out" / "report.json").read_text())


def test_nothing_is_left_but_the_report(folder):
    assert sorted(os.listdir(folder)) == ["out", "stdout"]
    assert {"report.json", "report.md"} <= set(os.listdir(folder / "out"))


def test_it_says_what_was_measured_and_what_was_left_out(folder, report):
    said = (folder / "stdout").read_text()
    assert "Plan: quick. About 1 min." in said
    for peer in ("Redis", "PostgreSQL", "etcd"):
        titles = [one["title"] for one in report["peers"].values()]
        assert peer in report["left_out"] or any(title.startswith(peer) for title in titles)
    text = (folder / "out" / "report.md").read_text()
    for part in ("Disk", "Index", "Loads", "Growth", "Memory, disk, recovery", "Workflows"):
        assert f"\n## {part}\n" in text
    for name, why in report["left_out"].items():
        assert f"**Left out:** {name}: {why}." in text


def test_the_report_names_the_machine_and_its_disk(report):
    facts = report["machine"]
    assert {"processor", "python", "file system", "fdatasync of 4 KiB"} <= facts.keys()


def test_nothing_failed(report):
    assert report["failures"] == []


def test_every_load_has_figures_of_hookd_that_are_possible(report):
    loads = {load["load"]: load for load in report["loads"]["loads"]}
    assert {"claim", "claim-batch", "claim-stream", "conflict"} <= loads.keys()
    for load in loads.values():
        assert any(row["target"] == "hookd" for row in load["rows"])
        for row in load["rows"]:
            latency = row["latency_ms"]
            assert row["per_second"] > 0
            assert 0 < latency["min"] <= latency["p50"] <= latency["p99"] <= latency["max"]
            assert sum(row["outcomes"].values()) == row["operations"]
            assert row["server_us"] >= 0
            assert row["client_us"] > 0


def test_claims_stand_beside_an_empty_handler(report):
    (claim,) = [load for load in report["loads"]["loads"] if load["load"] == "claim"]
    points = {(row["concurrency"], row["target"]) for row in claim["rows"]}
    assert {(c, t) for c in (1, 8) for t in ("hookd", "empty")} <= points
    assert all(row["share_of_empty"] > 0 for row in claim["rows"] if row["target"] == "hookd")


def test_what_was_acknowledged_is_there_after_a_kill(report):
    for load in report["loads"]["loads"]:
        checked = load["checked"]
        assert checked["acknowledged"] <= checked["active"] == checked["after_kill"]
        if load["load"] == "claim":
            assert checked["acknowledged"] > 0


def test_growth_is_measured_at_each_level(report):
    levels = report["growth"]["levels"]
    assert [level["tokens"] for level in levels] == [500, 2000]
    for level in levels:
        assert [row["load"] for row in level["rows"]] == ["claim", "claim-batch"]
        for name in ("quiet", "compacting"):
            assert level[name]["per_second"] > 0
            assert max(level[name]["timeline_max_ms"]) > 0
        assert all(begin < end for begin, end in level["compacting"]["compactions_s"])


def test_tokens_cost_memory_and_disk_and_are_read_back(report):
    costs = report["footprint"]
    for level in costs["levels"]:
        assert level["index_bytes_per_token"] > 36
        # The token, the hook's id and the run's id are on disk, compressed.
        assert level["disk_bytes_per_token"] > 20
        assert level["write_amplification"] is None or level["write_amplification"] > 1
        assert all(level[after]["seconds"] > 0 for after in ("stopped", "killed"))
    assert costs["released"]["disk_bytes_compacted"] > 0


def test_the_index_is_measured_with_one_thread_and_with_two(report):
    index = report["index"]
    assert index["memory_bytes_per_token"] > 36
    assert [beside["tokens"] for beside in index["beside"]] == [20_000, 0]
    for beside in index["beside"]:
        assert beside["pairs_per_second"].keys() == {"1", "2"}
        assert min(beside["pairs_per_second"].values()) > 0
        assert min(beside["call_us"].values()) > 0


def test_the_disk_is_measured_alone(report):
    disk = report["disk"]
    assert 0 < disk["median_ms"] <= disk["p99_ms"]
    assert [group["records"] for group in disk["groups"]] == [1, 16, 64, 256]


@pytest.mark.parametrize("name", ["one_at_a_time_ms", "goes_on_ms", "ends_ms"])
def test_times_of_workflows_come_with_their_spread(report, name):
    spread = report["workflows"][name]
    assert 0 < spread["median"] <= spread["p99"]


@pytest.mark.parametrize("name", ["per_second", "daemon_ms", "worker_ms"])
def test_rates_and_costs_of_workflows_are_there(report, name):
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


def test_a_quick_run_leaves_the_peer_of_the_workflows_out(report):
    assert report["workflows"]["peer"] is None
