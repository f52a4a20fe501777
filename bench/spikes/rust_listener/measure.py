"""Measures the Rust listener beside the shipped server; the README says how to run it.

Four servers run at the same time, and are put under load by turns, so that all
meet the same noise: each listener with an empty handler, and with the daemon.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from same_answers import answers

HERE = Path(__file__).parent
ROOT = HERE.parent.parent.parent
BUILD = ROOT / ".build" / "rust_listener"
#: The thread of the listener, as it is named in ``/proc``.
LISTENER = "rust-listener"


@dataclass
class Server:
    """A server under measurement.

    Attributes:
        name: what the table calls it.
        target: what the load generator calls it.
        command: starts it; is given where to say that it serves.
        rounds: what the load generator said, by calls in flight.
        listener_share: the share of its processor time that the Rust thread took.
    """

    name: str
    target: str
    command: list[str]
    address: str = ""
    pid: int = 0
    rounds: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    listener_share: dict[int, list[float]] = field(default_factory=dict)


def build(crate: Path, environment: dict[str, str]) -> Path:
    """Builds a crate below ``.build``; returns the folder with what it made."""
    target = Path(environment.get("CARGO_TARGET_DIR", BUILD / "target"))
    subprocess.run(
        ["cargo", "build", "--release", "--locked", f"--manifest-path={crate / 'Cargo.toml'}"],
        env={**environment, "CARGO_TARGET_DIR": str(target)},
        check=True,
    )
    return target / "release"


def servers(folder: Path) -> list[Server]:
    """The four servers; data goes below ``folder``."""
    hookd = str(Path(sys.executable).with_name("hookd"))
    serve = ["serve", "--listen=127.0.0.1:0", "--http=", "--log-level=warning"]
    rust = [sys.executable, str(HERE / "serve.py")]
    return [
        Server("empty, grpc.aio", "empty", [sys.executable, "-m", "bench.empty_server"]),
        Server("empty, Rust", "empty", [*rust, "empty"]),
        Server("claim, grpc.aio", "hookd", [hookd, *serve, f"--data-dir={folder / 'shipped'}"]),
        Server("claim, Rust", "hookd", [*rust, *serve, f"--data-dir={folder / 'rust'}"]),
    ]


@contextlib.contextmanager
def running(server: Server, environment: dict[str, str]) -> Iterator[None]:
    """Runs a server inside the ``with`` block."""
    read_end, write_end = os.pipe()
    process = subprocess.Popen(
        [*server.command, f"--ready-fd={write_end}"],
        pass_fds=[write_end],
        env=environment,
        cwd=ROOT,
    )
    os.close(write_end)
    try:
        with os.fdopen(read_end) as pipe:
            line = pipe.readline()
        if not line:
            raise RuntimeError(f"{server.name} did not start")
        server.address, server.pid = json.loads(line)["grpc"], process.pid
        yield
    finally:
        process.terminate()
        process.wait(60)


def thread_seconds(pid: int) -> dict[str, float]:
    """Processor time of the threads of a process, added up by name."""
    seconds: dict[str, float] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        fields = (task / "stat").read_text()
        name = fields[fields.index("(") + 1 : fields.rindex(")")]
        ticks = fields[fields.rindex(")") + 2 :].split()[11:13]
        spent = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
        seconds[name] = seconds.get(name, 0.0) + spent
    return seconds


def load(
    loadgen: Path, server: Server, in_flight: int, number: int, args: argparse.Namespace
) -> None:
    """One round against one server; an outcome that is no new claim ends everything."""
    before = thread_seconds(server.pid)
    command = [
        str(loadgen),
        f"--target={server.target}",
        f"--address={server.address}",
        "--load=claim",
        f"--concurrency={in_flight}",
        f"--connections={args.connections}",
        f"--seconds={args.seconds}",
        f"--seed={number}",
        f"--prefix=round{number}",
        f"--pid={server.pid}",
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    after = thread_seconds(server.pid)
    spent = {name: seconds - before.get(name, 0.0) for name, seconds in after.items()}
    share = spent.get(LISTENER, 0.0) / max(sum(spent.values()), 1e-9)
    server.rounds.setdefault(in_flight, []).append(json.loads(done.stdout))
    server.listener_share.setdefault(in_flight, []).append(share)


def check(shipped: Server, rust: Server) -> None:
    """A listener that answers something else would be no comparison."""
    for ours, theirs in zip(answers(rust.address), answers(shipped.address), strict=True):
        if ours != theirs:
            raise RuntimeError(f"behind the Rust listener {ours}, shipped {theirs}")


def row(server: Server, in_flight: int) -> dict[str, Any]:
    """The medians of the rounds."""
    rounds = server.rounds[in_flight]

    def latency(quantile: str) -> float:
        return statistics.median(one["latency_ms"][quantile] for one in rounds)

    def per_call_us(key: str) -> float:
        return statistics.median(one[key] / one["calls"] * 1e6 for one in rounds)

    server_us = per_call_us("server_cpu_seconds")
    return {
        "in_flight": in_flight,
        "server": server.name,
        "per_second": statistics.median(one["per_second"] for one in rounds),
        "p50_ms": latency("p50"),
        "p99_ms": latency("p99"),
        "server_us": server_us,
        "listener_us": server_us * statistics.median(server.listener_share[in_flight]),
        "client_us": per_call_us("client_cpu_seconds"),
        "rounds_per_second": [one["per_second"] for one in rounds],
    }


def main() -> None:
    """Builds, measures, prints a table, and writes ``latest.json`` beside what was built."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds; medians are shown")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a round")
    parser.add_argument("--connections", type=int, default=4, help="at most; never over the calls")
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 64, 256])
    args = parser.parse_args()

    environment = dict(os.environ)
    built = build(HERE, environment)
    BUILD.mkdir(parents=True, exist_ok=True)
    shutil.copy(built / "librust_listener.so", BUILD / "rust_listener.abi3.so")
    loadgen = build(ROOT / "bench" / "loadgen", environment) / "hookd-loadgen"
    more = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = f"{BUILD}:{more}" if more else str(BUILD)

    numbers = itertools.count(1)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=BUILD))
        all_servers = servers(Path(folder))
        for server in all_servers:
            stack.enter_context(running(server, environment))
        check(*(server for server in all_servers if server.target == "hookd"))
        for in_flight in args.in_flight:
            for _ in range(args.rounds):
                for server in all_servers:
                    load(loadgen, server, in_flight, next(numbers), args)
    rows = [row(server, n) for n in args.in_flight for server in all_servers]
    (BUILD / "latest.json").write_text(json.dumps(rows, indent=2) + "\n")
    print(
        f"{'in flight':>9}  {'':15}  {'calls/s':>8}  {'p50 ms':>7}  {'p99 ms':>7}"
        f"  {'server µs':>9}  {'of it Rust':>10}  {'client µs':>9}"
    )
    for one in rows:
        print(
            f"{one['in_flight']:>9}  {one['server']:15}  {one['per_second']:>8,.0f}"
            f"  {one['p50_ms']:>7.2f}  {one['p99_ms']:>7.2f}  {one['server_us']:>9.0f}"
            f"  {one['listener_us']:>10.0f}  {one['client_us']:>9.0f}"
        )


if __name__ == "__main__":
    main()
