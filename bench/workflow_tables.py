"""The workflow part of the report, for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.table import Table


def of(report: dict[str, Any]) -> Iterator[Table]:
    """The tables of what ``workflows.measure`` gave."""
    yield _beside_peer(report)
    yield _curve(report["curve"])


def _beside_peer(report: dict[str, Any]) -> Table:
    peers: dict[str, dict[str, Any]] = report["peer"] or {}
    columns = ("ms: median / p99", ">hookd", *(f">DBOS, {name}" for name in peers))
    rows = []
    for title, name in (
        ("three steps, start to result", "one_at_a_time_ms"),
        ("resume to a step's start", "goes_on_ms"),
        ("resume to the run's result", "ends_ms"),
    ):
        theirs = [_spread(peer[name]) + _times(peer, name) for peer in peers.values()]
        rows.append((title, _spread(report[name]), *theirs))
    theirs = [
        f"{peer['best_per_second']:.0f}" + _times(peer, "per_second") for peer in peers.values()
    ]
    rows.append(("runs of three steps per second", f"{report['per_second']:.0f}", *theirs))
    many = report["in_flight"]
    notes = [
        "In brackets: how many times as fast hookd is."
        if peers
        else "Without the peer: `make bench` installs it.",
        f"Processor time for a run, {many} in flight: "
        f"daemon {report['daemon_ms']:.2f} ms, worker {report['worker_ms']:.2f} ms.",
    ]
    for name, peer in peers.items():
        notes.append(
            f"DBOS {peer['version']}, {name}: SQLite {peer['sqlite']}, "
            f"journal_mode={peer['journal_mode']}, synchronous={peer['synchronous']}, polls every "
            f"{peer['poll']:g} s; {peer['per_second']:.0f} runs per second with {many} "
            "in flight, the table has the better of that and one in flight."
        )
        if "life_ms" in peer:
            notes.append(
                f"DBOS, {name}: {_spread(peer['life_ms'])} ms from step to step of a long run."
            )
    return Table("Workflows, one worker process", columns, rows, notes)


def _curve(curve: dict[str, Any]) -> Table:
    slowest = max(window["median_ms"] for window in curve["windows"])
    rows = [
        (
            f"{window['from_event']:,} to {window['to_event']:,}",
            f"{window['median_ms']:.2f}",
            f"{window['p99_ms']:.2f}",
            "█" * round(30 * window["median_ms"] / slowest),
        )
        for window in curve["windows"]
    ]
    note = (
        f"The last tenth takes {curve['end_to_start']:.2f} times as long as the first. Woken by a "
        f"hook after {curve['events']:,} events, to the start of a step: "
        f"{curve['warm_wake_ms']:.1f} ms in the worker that has the run in memory, "
        f"{curve['cold_wake_ms']:.1f} ms in a new one that replays the log."
    )
    return Table(
        "One run that lives long: from a step's start to the next one's",
        ("events of the log", ">median ms", ">p99 ms", ""),
        rows,
        [note],
    )


def _spread(times: dict[str, float]) -> str:
    return f"{times['median']:.2f} / {times['p99']:.2f}"


def _times(peer: dict[str, Any], name: str) -> str:
    return f" ({peer['times_as_fast'][name]:.2f})"
