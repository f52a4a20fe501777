"""``python -m bench``: claims beside an empty handler, memory, workflows beside a peer."""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import cyclopts
from rich.console import Console
from rich.table import Table

from bench import load, machine, servers, workflow_tables, workflows
from bench.load import Measured

app = cyclopts.App(help="Measures hookd on this machine, beside what it can be held against.")
console = Console()
LATEST = Path(__file__).parent / "results" / "latest.json"
BATCH = 256


def _middle(rounds: list[Measured]) -> Measured:
    """The round with the median throughput."""
    return sorted(rounds, key=lambda m: m.per_second)[len(rounds) // 2]


async def _unary(folder: Path, calls: int, rounds: int) -> dict[str, object]:
    """Claims and empty calls by turns, so that both meet the same noise."""
    report: dict[str, object] = {}
    numbers = itertools.count(0, calls)
    table = Table("in flight", "", "calls/s", "median ms", "p99 ms", "server µs/call")
    with servers.hookd(folder / "unary") as daemon, servers.empty_handler() as empty:
        await load.call_all(daemon, load.START_RUN, load.start_requests("unary", 100), 16)
        for in_flight in (1, 16, 64):
            claims, nothing, ratios = [], [], []
            for _ in range(rounds):
                requests = load.unary_requests("unary", 100, next(numbers), calls)
                nothing.append(await load.call_all(empty, load.CREATE_HOOK, requests, in_flight))
                claims.append(await load.call_all(daemon, load.CREATE_HOOK, requests, in_flight))
                ratios.append(claims[-1].per_second / nothing[-1].per_second)
            ratio = statistics.median(ratios)
            for name, one in (("empty handler", _middle(nothing)), ("claim", _middle(claims))):
                table.add_row(
                    str(in_flight),
                    name,
                    f"{one.per_second:,.0f}",
                    f"{one.median_ms:.2f}",
                    f"{one.p99_ms:.2f}",
                    f"{one.server_us:.0f}",
                )
            table.add_row("", "[bold]ratio[/bold]", f"[bold]{ratio:.0%}[/bold]", "", "", "")
            report[f"in_flight_{in_flight}"] = {
                "empty": asdict(_middle(nothing)),
                "claim": asdict(_middle(claims)),
                "ratio": ratio,
            }
    console.print("\n[bold]Unary CreateHook, durable, beside an empty handler[/bold]")
    console.print(table)
    return report


async def _batches(folder: Path, batches: int, rounds: int) -> dict[str, object]:
    report: dict[str, object] = {}
    table = Table("", "batches in flight", "claims/s", "median ms", "p99 ms", "server µs/claim")
    first = itertools.count(0, batches * BATCH)
    with servers.hookd(folder / "batches") as daemon:
        await load.call_all(daemon, load.START_RUN, load.start_requests("batch", 1000), 16)
        for in_flight in (1, 4, 8):
            unary, stream = [], []
            for _ in range(rounds):
                requests = list(load.batch_requests("batch", 1000, next(first), batches, BATCH))
                unary.append(
                    await load.call_all(daemon, load.CREATE_HOOKS, requests, in_flight, BATCH)
                )
                await load.check_claimed(daemon, requests[-1], want_new=False)
                requests = list(load.stream_requests("batch", 1000, next(first), batches, BATCH))
                stream.append(await load.stream_all(daemon, requests, in_flight, BATCH))
            for name, one in (("CreateHooks", _middle(unary)), ("ClaimStream", _middle(stream))):
                table.add_row(
                    name,
                    str(in_flight),
                    f"{one.per_second:,.0f}",
                    f"{one.median_ms:.2f}",
                    f"{one.p99_ms:.2f}",
                    f"{one.server_us:.1f}",
                )
                report[f"{name}_{in_flight}"] = asdict(one)
    console.print(f"\n[bold]Batches of {BATCH} durable claims[/bold]")
    console.print(table)
    return report


async def _million(folder: Path, tokens: int, runs: int) -> dict[str, object]:
    """Memory of many active tokens, and the restart with them."""
    data = folder / "million"
    with servers.hookd(data) as daemon:
        empty = machine.resident_bytes(daemon.pid)
        starts = load.start_requests("million", runs)
        await load.call_all(daemon, load.START_RUN, starts, 64)
        with_runs = machine.resident_bytes(daemon.pid)
        batches = (tokens + BATCH - 1) // BATCH
        step = 200
        for begin in range(0, batches, step):
            count = min(step, batches - begin)
            requests = list(load.batch_requests("million", runs, begin * BATCH, count, BATCH))
            await load.call_all(daemon, load.CREATE_HOOKS, requests, 4, BATCH)
        full = machine.resident_bytes(daemon.pid)
    begin = time.perf_counter()
    with servers.hookd(data) as daemon:
        seconds = time.perf_counter() - begin
        restarted = machine.resident_bytes(daemon.pid)
    disk = sum(f.stat().st_size for f in data.rglob("*") if f.is_file())
    mib = 1024 * 1024
    report: dict[str, object] = {
        "tokens": batches * BATCH,
        "runs": runs,
        "empty_mib": empty / mib,
        "with_runs_mib": with_runs / mib,
        "full_mib": full / mib,
        "more_mib": (full - empty) / mib,
        "after_restart_more_mib": (restarted - empty) / mib,
        "restart_seconds": seconds,
        "disk_bytes_per_token": disk / (batches * BATCH),
    }
    table = Table("", "")
    table.add_row("active tokens of 36 bytes, on runs", f"{batches * BATCH:,} on {runs:,}")
    table.add_row("resident memory of an empty daemon", f"{empty / mib:.0f} MiB")
    table.add_row("more with all tokens", f"[bold]{(full - empty) / mib:.0f} MiB[/bold]")
    table.add_row("more after a restart", f"{(restarted - empty) / mib:.0f} MiB")
    table.add_row("restart, process start to serving", f"[bold]{seconds:.2f} s[/bold]")
    table.add_row("on disk, runs and logs included", f"{disk / (batches * BATCH):.0f} bytes/token")
    console.print("\n[bold]Many active tokens[/bold]")
    console.print(table)
    return report


@app.default
def main(
    *,
    tokens: Annotated[
        int, cyclopts.Parameter(help="Active tokens of the memory part.")
    ] = 1_000_000,
    calls: Annotated[int, cyclopts.Parameter(help="Unary calls of a round.")] = 3000,
    batches: Annotated[int, cyclopts.Parameter(help="Batches of a round.")] = 200,
    rounds: Annotated[int, cyclopts.Parameter(help="Rounds; medians are shown.")] = 5,
    only: Annotated[str, cyclopts.Parameter(help="unary, batches, memory or workflows.")] = "",
    quick: Annotated[
        bool, cyclopts.Parameter(help="Only see that workflows can be measured; no peer.")
    ] = False,
    output: Annotated[Path, cyclopts.Parameter(help="Where the report goes.")] = LATEST,
) -> None:
    """Measures, prints tables and writes a report in JSON."""
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as name:
        folder = Path(name)
        facts = machine.describe(folder)
        for key, value in facts.items():
            console.print(f"{key}: {value}")
        report: dict[str, object] = {"machine": facts}
        if only in ("", "unary"):
            report["unary"] = asyncio.run(_unary(folder, calls, rounds))
        if only in ("", "batches"):
            report["batches"] = asyncio.run(_batches(folder, batches, rounds))
        if only in ("", "memory"):
            report["memory"] = asyncio.run(_million(folder, tokens, tokens // 10))
        if only in ("", "workflows"):
            size = workflows.QUICK if quick else workflows.Size()
            measured = asyncio.run(workflows.measure(folder, size))
            workflow_tables.show(console, measured, size)
            report["workflows"] = measured
    console.print(
        "\nEvery answer of hookd waits for the disk. The client is one Python process on the same"
        "\nmachine; the requests of claims are made beforehand. Where it is the bottleneck, compare"
        "\nthe servers' processor time. Not measured: a network, TLS, many connections, large"
        "\npayloads, several workers."
    )
    output.parent.mkdir(exist_ok=True)
    output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    app()
