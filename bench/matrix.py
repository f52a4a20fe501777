"""The loads, one after the other, on hookd and on what stands beside it, by turns."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import admin, servers
from bench.client import Call, Client, LoadError, Measured
from bench.peers import Peer
from bench.plan import USUAL, Load, Plan
from bench.processes import Server

#: How long one empty call is measured with each number of threads of the client.
CHECK_THREADS = (1, 2)


@dataclass(frozen=True)
class Target:
    """A kind of server under load.

    Attributes:
        kind: as the load generator knows it.
        start: runs one with its data in this folder.
        own_connections: each call in flight has a connection of its own.
    """

    kind: str
    start: Callable[[Path], AbstractContextManager[Server]]
    own_connections: bool = False

    def connections(self, concurrency: int, connections: int) -> int:
        """How many connections there are where the plan names so many."""
        return concurrency if self.own_connections else min(concurrency, connections)


def targets(peers: dict[str, Peer]) -> dict[str, Target]:
    """All kinds of servers that are here."""

    @contextlib.contextmanager
    def empty(_folder: Path) -> Iterator[Server]:
        with servers.empty_handler() as server:
            yield server

    return {
        "hookd": Target("hookd", servers.hookd),
        "empty": Target("empty", empty),
        **{
            name: Target(peer.target, peer.start, peer.own_connections)
            for name, peer in peers.items()
        },
    }


class Matrix:
    """Measures the loads of a plan.

    Args:
        folder: for the data of all servers.
        plan: the loads.
        client: puts a load on a server.
        peers: those that are here.
        advance: is told what is measured next.
    """

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        client: Client,
        peers: dict[str, Peer],
        advance: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._plan = plan
        self._client = client
        self._targets = targets(peers)
        self._advance = advance
        self.failures: list[str] = []
        self.left_out: dict[str, str] = {}

    def measure(self, load: Load) -> dict[str, Any]:
        """Measures one load at all its points on all its targets.

        Returns:
            The rows of the report, and what a daemon still knew that was killed
            after it had acknowledged them.
        """
        here = {name: self._targets[name] for name in load.targets if name in self._targets}
        cells: dict[tuple[str, int, int], list[Measured | None]] = {}
        data = self._folder / f"{load.name}-hookd"
        with ExitStack() as stack:
            running = {
                name: stack.enter_context(target.start(self._folder / f"{load.name}-{name}"))
                for name, target in here.items()
            }
            for _ in range(self._plan.rounds):
                for concurrency, connections in load.points:
                    for name, target in here.items():
                        self._advance(f"{load.name}, {concurrency} in flight: {name}")
                        call = Call(
                            target.kind,
                            load.name,
                            concurrency,
                            target.connections(concurrency, connections),
                            self._plan.seconds,
                            self._plan.warm_up,
                            load.count,
                        )
                        one = self._try(running[name], call, name)
                        cells.setdefault((name, concurrency, connections), []).append(one)
            claims = admin.stats(running["hookd"])
            servers.kill(running["hookd"])
        acknowledged = sum(
            one.outcomes.get("claimed", 0)
            for (name, _, _), rounds in cells.items()
            for one in rounds
            if name == "hookd" and one is not None
        )
        rows = [
            row
            for (name, concurrency, connections), rounds in cells.items()
            if (row := self._row(load, name, concurrency, connections, rounds)) is not None
        ]
        _beside_empty(rows, cells)
        for name in here.keys() - {row["target"] for row in rows}:
            self.left_out[f"{load.title}: {name}"] = "not measured by this client, or failed"
        return {
            "rows": rows,
            "checked": self._check(
                data, load, acknowledged, claims.claims_total, claims.active_tokens
            ),
        }

    def _try(self, server: Server, call: Call, name: str) -> Measured | None:
        try:
            return self._client(server, call)
        except LoadError as error:
            self.failures.append(f"{name}: {error}")
            return None

    def _row(
        self,
        load: Load,
        name: str,
        concurrency: int,
        connections: int,
        rounds: list[Measured | None],
    ) -> dict[str, Any] | None:
        done = sorted((one for one in rounds if one is not None), key=lambda m: m.per_second)
        if not done:
            return None
        return {
            "load": load.name,
            "target": name,
            "concurrency": concurrency,
            "connections": connections,
            "real_connections": self._targets[name].connections(concurrency, connections),
            **done[len(done) // 2].as_dict(),
            "rounds_per_second": [one.per_second for one in rounds if one is not None],
        }

    def _check(
        self, data: Path, load: Load, acknowledged: int, claims: int, active: int
    ) -> dict[str, Any]:
        """Starts the killed daemon again, and looks for what it had acknowledged."""
        with servers.hookd(data) as daemon:
            recovered = admin.stats(daemon).recovered_tokens
        if claims < acknowledged or recovered != active:
            self.failures.append(
                f"hookd: after {load.name} {acknowledged} claims were acknowledged, {claims} "
                f"counted; {active} tokens were taken, and {recovered} after kill -9"
            )
        return {
            "load": load.name,
            "acknowledged": acknowledged,
            "active": active,
            "after_kill": recovered,
        }

    def client_check(self) -> list[dict[str, Any]]:
        """What the client can do: the empty handler, with more and more of its threads."""
        concurrency, connections = USUAL
        rows = []
        with servers.empty_handler() as empty:
            for threads in CHECK_THREADS:
                self._advance(f"the client itself, threads: {threads}")
                seconds, warm_up = self._plan.seconds, self._plan.warm_up
                call = Call(
                    "empty", "claim", concurrency, connections, seconds, warm_up, threads=threads
                )
                one = self._try(empty, call, "empty")
                if one is not None:
                    rows.append({"threads": threads, **one.as_dict()})
        return rows


def _beside_empty(
    rows: list[dict[str, Any]], cells: dict[tuple[str, int, int], list[Measured | None]]
) -> None:
    """Adds hookd's share of the empty handler's throughput: the median of the rounds' shares."""
    for row in rows:
        point = (row["concurrency"], row["connections"])
        pairs = zip(cells["hookd", *point], cells.get(("empty", *point), ()), strict=False)
        shares = [a.per_second / b.per_second for a, b in pairs if a is not None and b is not None]
        if row["target"] == "hookd" and shares:
            row["share_of_empty"] = statistics.median(shares)
