"""The report as tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench import workflow_tables
from bench.table import Table

MIB = 1024 * 1024
#: The goals that stand beside the figures: p99 in medians of an idle store, and milliseconds.
P99_IN_MEDIANS, LONGEST_MS = 3, 250


def of(part: str, report: dict[str, Any], names: dict[str, str]) -> Iterator[Table]:
    """The tables of a part of the report.

    Args:
        part: its name.
        report: what the part has measured.
        names: what the targets are called for people.
    """
    match part:
        case "disk":
            yield _disk(report)
        case "index":
            yield _index(report)
        case "loads":
            for load in report["loads"]:
                yield load_table(load, names)
            yield _client(report["client"])
            yield _checked(report["loads"])
        case "growth":
            yield _growth(report["levels"])
            yield _compaction(report["levels"])
            yield _events(report["events"])
        case "footprint":
            yield from _footprint(report)
        case "workflows":
            yield from workflow_tables.of(report)


def _disk(report: dict[str, Any]) -> Table:
    rows = [
        ("4 KiB", ms(report["median_ms"]), f"{report['per_second']:,.0f}", ""),
        *(
            (
                f"{group['records']} records of {report['record_bytes']} bytes",
                ms(group["median_ms"]),
                "",
                f"{group['records_per_second']:,.0f}",
            )
            for group in report["groups"]
        ),
    ]
    columns = ("append and fdatasync", ">median ms", ">syncs/s", ">records/s")
    return Table("The bare disk, one sync after the other", columns, rows)


def _index(report: dict[str, Any]) -> Table:
    rows = []
    for beside in report["beside"]:
        where = f"beside {beside['tokens']:,} tokens"
        for threads, rate in beside["pairs_per_second"].items():
            rows.append(
                (f"pairs of claim and release/s, threads: {threads}", where, f"{rate:,.0f}")
            )
        rows += [(f"{name}, µs", where, f"{us:.2f}") for name, us in beside["call_us"].items()]
    rows += [
        ("bytes per token, resident", "", f"{report['resident_bytes_per_token']:.1f}"),
        ("bytes per token, memory_bytes()", "", f"{report['memory_bytes_per_token']:.1f}"),
        ("slowest batch while growing, ms", "", f"{report['slowest_batch_ms']:.2f}"),
    ]
    return Table("The index alone, in process", ("", "", ">"), rows)


def load_table(load: dict[str, Any], names: dict[str, str]) -> Table:
    """The table of one load."""
    beside_empty = any("share_of_empty" in row for row in load["rows"])
    rows = []
    for row in load["rows"]:
        share = f"{row['share_of_empty']:.0%}" if "share_of_empty" in row else ""
        rows.append(
            (
                f"{row['concurrency']} × {row['real_connections']}",
                names.get(row["target"], row["target"]),
                f"{row['per_second']:,.0f}",
                *((share,) if beside_empty else ()),
                " / ".join(ms(row["latency_ms"][name]) for name in ("p50", "p99", "max")),
                f"{us(row['server_us'])} + {us(row['client_us'])}",
                f"{row['server_cores']:.2f} + {row['client_cores']:.2f}",
            )
        )
    columns = (
        "in flight × connections",
        "",
        ">per second",
        *((">of empty",) if beside_empty else ()),
        ">p50 / p99 / max ms",
        ">µs: server + client",
        ">cores",
    )
    return Table(load["title"], columns, rows)


def _client(rows: list[dict[str, Any]]) -> Table:
    texts = [
        (
            str(row["threads"]),
            f"{row['per_second']:,.0f}",
            f"{us(row['server_us'])} + {us(row['client_us'])}",
            f"{row['server_cores']:.2f} + {row['client_cores']:.2f}",
        )
        for row in rows
    ]
    columns = (">threads", ">per second", ">µs: server + client", ">cores")
    title = "Is the client the bottleneck? Empty calls, 64 in flight over 4 connections"
    return Table(title, columns, texts)


def _checked(loads: list[dict[str, Any]]) -> Table:
    rows = [
        (
            load["title"],
            f"{load['checked']['acknowledged']:,}",
            f"{load['checked']['active']:,}",
            f"{load['checked']['after_kill']:,}",
        )
        for load in loads
        if "checked" in load
    ]
    columns = ("after", ">claims acknowledged", ">tokens taken", ">after kill -9")
    note = "Taken are also the tokens of the warm-up, which are not counted as acknowledged."
    return Table("Is what was acknowledged still there?", columns, rows, [note])


def _growth(levels: list[dict[str, Any]]) -> Table:
    rows = []
    loads = [row["load"] for row in levels[0]["rows"]] if levels else []
    for load in loads:
        found = [next((r for r in at["rows"] if r["load"] == load), None) for at in levels]
        rows.append(
            (
                load,
                *(
                    ""
                    if row is None
                    else f"{row['per_second']:,.0f} · {ms(row['latency_ms']['p50'])} / "
                    f"{ms(row['latency_ms']['p99'])} · {us(row['server_us'])}"
                    for row in found
                ),
            )
        )
    columns = ("", *(f">{at['tokens']:,} tokens" for at in levels))
    note = (
        "Per second · median / p99 in ms · processor time of the server, µs an operation. 64 calls "
        "in flight over 4 connections; 8 batches."
    )
    return Table("Active tokens", columns, rows, [note])


def _compaction(levels: list[dict[str, Any]]) -> Table:
    idle = next((at["quiet"]["latency_ms"]["p50"] for at in levels if at["quiet"]), None)
    rows = []
    for at in levels:
        for name in ("quiet", "compacting"):
            measured = at[name]
            if measured is None:
                continue
            p99 = measured["latency_ms"]["p99"]
            rows.append(
                (
                    f"{at['tokens']:,}",
                    "no" if name == "quiet" else f"{len(measured['compactions_s'])} times",
                    f"{measured['per_second']:,.0f}",
                    ms(measured["latency_ms"]["p50"]),
                    ms(p99),
                    f"{p99 / idle:.1f}" if idle else "",
                    ms(measured["latency_ms"]["max"]),
                )
            )
    columns = (
        ">tokens",
        "compacted",
        ">claims/s",
        ">p50 ms",
        ">p99 ms",
        ">p99 in idle medians",
        ">longest ms",
    )
    note = (
        f"An idle median is that of the first line. Wanted: p99 within {P99_IN_MEDIANS} of them, "
        f"no call longer than {LONGEST_MS} ms."
    )
    return Table("Claims while the store is compacted, 64 in flight × 4", columns, rows, [note])


def _events(rows: list[dict[str, Any]]) -> Table:
    texts = []
    for row in rows:
        kinds = row["by_outcome_ms"] or {"": row["latency_ms"]}
        for outcome, latency in kinds.items():
            texts.append(
                (
                    f"{row['events']:,}",
                    outcome,
                    f"{row['per_second']:,.0f}",
                    ms(latency["p50"]),
                    ms(latency["p99"]),
                    us(row["server_us"]),
                )
            )
    columns = (">events", "", ">all calls/s", ">p50 ms", ">p99 ms", ">server µs")
    return Table("One run with a long log: payloads, and reads of its end", columns, texts)


def _footprint(report: dict[str, Any]) -> Iterator[Table]:
    rows = []
    for at in report["levels"]:
        written = at["write_amplification"]
        rows.append(
            (
                f"{at['tokens']:,}",
                f"{at['runs']:,}",
                f"{at['index_bytes_per_token']:.0f}",
                f"{at['more_bytes_per_token']:.0f}",
                f"{at['stopped']['more_bytes_per_token']:.0f}",
                f"{at['disk_bytes_per_token']:.0f}",
                "" if written is None else f"{written:.1f}",
                f"{at['stopped']['seconds']:.2f}",
                f"{at['killed']['seconds']:.2f}",
            )
        )
    columns = (
        ">tokens",
        ">runs",
        ">index bytes",
        ">process bytes",
        ">after restart",
        ">disk bytes",
        ">bytes written ÷ sent",
        ">restart s",
        ">after kill -9 s",
    )
    yield Table(
        "Active tokens: bytes for each, and restarts",
        columns,
        rows,
        [
            f"Process: resident memory beyond an empty daemon's "
            f"({report['empty_resident_bytes'] / MIB:.0f} MiB), runs and caches included. Sent: "
            f"{report['user_bytes_per_token']} bytes a claim. A restart is from the start of the "
            "process to when it serves."
        ],
    )
    released = report["released"]
    if released:
        life = released["write_amplification_of_life"]
        yield Table(
            "After everything was released",
            ("", ">"),
            [
                ("disk, all tokens active, MiB", f"{released['disk_bytes_before'] / MIB:,.1f}"),
                ("disk, all released, MiB", f"{released['disk_bytes_released'] / MIB:,.1f}"),
                ("disk, compacted, MiB", f"{released['disk_bytes_compacted'] / MIB:,.1f}"),
                ("resident memory, MiB", f"{released['resident_bytes'] / MIB:,.0f}"),
                ("bytes written ÷ sent, whole life", "" if life is None else f"{life:.1f}"),
            ],
            ["The runs are not retained after their end here."],
        )


def ms(value: float) -> str:
    """Milliseconds, as exact as they are."""
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def us(value: float) -> str:
    """Microseconds, as exact as they are."""
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"
