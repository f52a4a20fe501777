"""The workflow part of the report, for people."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from bench.workflows import Size


def show(console: Console, report: dict[str, Any], size: Size) -> None:
    """Prints the tables of what ``workflows.measure`` gave."""
    _beside_peer(console, report, size)
    _curve(console, report["curve"])


def _beside_peer(console: Console, report: dict[str, Any], size: Size) -> None:
    peers: dict[str, dict[str, Any]] = report["peer"] or {}
    table = Table("ms: median / p99", "hookd", *(f"DBOS, {name}" for name in peers))
    for title, name in (
        ("three steps, start to result", "one_at_a_time_ms"),
        ("resume to a step's start", "goes_on_ms"),
        ("resume to the run's result", "ends_ms"),
    ):
        theirs = [_spread(peer[name]) + _times(peer, name) for peer in peers.values()]
        table.add_row(title, _spread(report[name]), *theirs)
    theirs = [
        f"{peer['best_per_second']:.0f}" + _times(peer, "per_second") for peer in peers.values()
    ]
    table.add_row("runs of three steps per second", f"{report['per_second']:.0f}", *theirs)
    console.print("\n[bold]Workflows, one worker process[/bold]")
    console.print(table)
    if peers:
        console.print("In brackets: how many times as fast hookd is.")
    else:
        console.print("Without the peer: `make bench` installs it.")
    console.print(
        f"Processor time for a run, {size.in_flight} in flight: "
        f"daemon {report['daemon_ms']:.2f} ms, worker {report['worker_ms']:.2f} ms"
    )
    for name, peer in peers.items():
        console.print(
            f"DBOS {peer['version']}, {name}: SQLite {peer['sqlite']}, "
            f"journal_mode={peer['journal_mode']}, synchronous={peer['synchronous']}, polls every "
            f"{peer['poll']:g} s; {peer['per_second']:.0f} runs per second with {size.in_flight} "
            "in flight, the table has the better of that and one in flight"
        )
        if "life_ms" in peer:
            console.print(
                f"DBOS, {name}: {_spread(peer['life_ms'])} ms from step to step of a long run"
            )


def _curve(console: Console, curve: dict[str, Any]) -> None:
    table = Table("events of the log", "median ms", "p99 ms", "")
    slowest = max(window["median_ms"] for window in curve["windows"])
    for window in curve["windows"]:
        table.add_row(
            f"{window['from_event']:,} to {window['to_event']:,}",
            f"{window['median_ms']:.2f}",
            f"{window['p99_ms']:.2f}",
            "█" * round(30 * window["median_ms"] / slowest),
        )
    console.print("\n[bold]One run that lives long: from a step's start to the next one's[/bold]")
    console.print(table)
    console.print(
        f"The last tenth takes {curve['end_to_start']:.2f} times as long as the first. Woken by a "
        f"hook after {curve['events']:,} events, to the start of a step: "
        f"{curve['warm_wake_ms']:.1f} ms in the worker that has the run in memory, "
        f"{curve['cold_wake_ms']:.1f} ms in a new one that replays the log."
    )


def _spread(times: dict[str, float]) -> str:
    return f"{times['median']:.2f} / {times['p99']:.2f}"


def _times(peer: dict[str, Any], name: str) -> str:
    return f" [bold]({peer['times_as_fast'][name]:.2f})[/bold]"
