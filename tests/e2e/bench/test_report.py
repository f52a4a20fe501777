"""What people read is what was measured."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

from bench import plots, report, tables
from tests.e2e.bench import sample

NAMES = {"hookd": "hookd", "redis": "Redis 1.2.3"}


def test_the_report_says_what_it_stands_beside_and_what_is_missing():
    text = report.markdown(sample.report(), ["loads-throughput.svg", "growth-tokens.svg"])
    assert "- fdatasync of 4 KiB: 0.25 ms (median)" in text
    assert "Beside it: Redis 1.2.3 (appendfsync always)." in text
    assert "**Left out:** etcd: etcd is not installed." in text
    assert "**Failed:** redis: it fell over" in text
    loads, growth = text.split("## Growth")
    assert "![loads-throughput.svg](loads-throughput.svg)" in loads
    assert "![growth-tokens.svg](growth-tokens.svg)" in growth
    assert "## Index" not in text


def test_a_quick_run_and_a_slow_client_are_no_secret():
    one = sample.report() | {"plan": "quick", "client": "python"}
    text = report.markdown(one, [])
    assert "its figures say nothing" in text
    assert "a Python client" in text
    assert "say nothing" not in report.markdown(sample.report(), [])


def test_a_load_has_a_line_for_each_measurement():
    (load,) = sample.report()["loads"]["loads"]
    table = tables.load_table(load, NAMES)
    assert [row[:4] for row in table.rows] == [
        ("1 × 1", "hookd", "500", "50%"),
        ("64 × 4", "hookd", "1,800", "90%"),
        ("16 × 4", "hookd", "1,500", "75%"),
        ("64 × 8", "hookd", "1,700", ""),
        ("64 × 4", "Redis 1.2.3", "13,000", ""),
    ]
    assert "of empty" in table.columns[3]
    assert all(row[4] == "2.00 / 5.00 / 10.00" for row in table.rows)


def test_without_an_empty_handler_there_is_no_column_for_it():
    (load,) = sample.report()["loads"]["loads"]
    load["rows"] = [row for row in load["rows"] if "share_of_empty" not in row]
    table = tables.load_table(load, NAMES)
    assert not any("empty" in column for column in table.columns)
    assert [row[3] for row in table.rows] == ["2.00 / 5.00 / 10.00"] * 2


def test_pauses_under_compaction_are_held_against_the_median_of_an_idle_store():
    _, compaction, _ = tables.of("growth", sample.report()["growth"], NAMES)
    assert [(row[0], row[1], row[5], row[6]) for row in compaction.rows] == [
        ("10", "no", "2.5", "10.00"),
        ("10", "2 times", "2.5", "10.00"),
        ("1,000", "no", "2.5", "10.00"),
        ("1,000", "2 times", "4.0", "16.00"),
    ]


def test_a_table_in_markdown_lines_numbers_up_at_the_right():
    _, _, checked = tables.of("loads", sample.report()["loads"], NAMES)
    lines = checked.markdown().splitlines()
    assert lines[0] == "### Is what was acknowledged still there?"
    assert lines[3] == "| --- | --: | --: | --: |"
    assert lines[4] == "| Claims, one a call | 6,500 | 7,000 | 7,000 |"


def test_throughput_is_drawn_where_most_was_measured():
    (load,) = sample.report()["loads"]["loads"]
    assert plots.usual_connections(load) == 4
    lines = plots.by_concurrency(load, 4, plots.throughput)
    assert lines == {"hookd": ([1, 16, 64], [500, 1500, 1800]), "redis": ([64], [13_000])}


def test_growth_is_drawn_by_load():
    rates, slow = plots.by_tokens(sample.report()["growth"]["levels"])["claim"]
    assert rates == ([10, 1000], [1000, 900])
    assert slow == ([10, 1000], [5.0, 5.0])


def test_without_what_draws_there_are_no_plots_and_old_ones_go(tmp_path):
    report.write(sample.report(), tmp_path)
    (tmp_path / "old.svg").write_text("")
    why = report.draw(tmp_path, tmp_path / "no-python")
    assert "make bench" in why
    assert sorted(os.listdir(tmp_path)) == ["report.json", "report.md"]


def test_a_drawing_that_fails_says_why(tmp_path):
    report.write(sample.report(), tmp_path)
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho no ink >&2\nexit 1\n")
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    assert report.draw(tmp_path, python) == "no plots: no ink"


def test_plots_are_drawn_and_shown_in_the_report(tmp_path):
    report.write(sample.report(), tmp_path)
    why = report.draw(tmp_path)
    if not report.tools.PYTHON.exists():
        # What draws is installed by `make bench` alone.
        assert "make bench" in why
        return
    assert why is None
    names = {path.name for path in tmp_path.glob("*.svg")}
    assert names == {
        "growth-timeline.svg",
        "growth-tokens.svg",
        "loads-claim-latency.svg",
        "loads-latency.svg",
        "loads-throughput.svg",
    }
    assert all("<svg" in path.read_text() for path in tmp_path.glob("*.svg"))
    text = Path(tmp_path / "report.md").read_text()
    assert all(f"![{name}]({name})" in text for name in names)
    assert json.loads((tmp_path / "report.json").read_text()) == sample.report()
