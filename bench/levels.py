"""A store that is filled step by step: what a token costs, and whether loads slow down."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import admin, servers
from bench.client import Call, Client, LoadError, Measured
from bench.footprint import Footprint
from bench.plan import BATCH, USUAL, Plan
from bench.processes import Server

#: Before the store is compacted for the first time.
QUIET_S = 0.5
#: The loads that would soon claim more than what they are measured beside.
BATCHED = {"claim-batch", "claim-stream"}
#: Their batches in flight and connections, and how many claims they make.
FEW_BATCHES, CLAIMS = (8, 4), 100 * BATCH


class Levels:
    """Fills a store, and measures at each number of active tokens.

    Args:
        folder: for the data.
        plan: the levels and the loads.
        client: puts a load on a server.
        advance: is told what is measured next.
    """

    def __init__(
        self, folder: Path, plan: Plan, client: Client, advance: Callable[[str], None]
    ) -> None:
        self._folder = folder
        self._plan = plan
        self._client = client
        self._advance = advance
        self.failures: list[str] = []

    def measure(self, *, growth: bool, footprint: bool) -> dict[str, Any]:
        """Walks through the levels.

        Args:
            growth: whether the loads are measured at each.
            footprint: whether memory, disk and restarts are.
        """
        data = self._folder / "levels"
        report: dict[str, Any] = {}
        costs = Footprint(data, self._client, self._plan.tokens_per_run, self._advance)
        for tokens in self._plan.levels:
            costs.fill(tokens, measured=footprint)
            if growth:
                # The loads leave tokens behind.
                shutil.copytree(data, self._copy(tokens))
        if growth:
            report["growth"] = {"levels": self._growth(), "events": self._events()}
        if footprint:
            costs.release()
            report["footprint"] = costs.report()
        self.failures += costs.failures
        return report

    def _copy(self, tokens: int) -> Path:
        return self._folder / f"copy-{tokens}"

    def _growth(self) -> list[dict[str, Any]]:
        """The loads at all levels, by turns: all meet the same noise."""
        rounds: dict[tuple[int, str], list[Measured]] = {}
        levels = []
        with ExitStack() as stack:
            daemons = {
                tokens: stack.enter_context(servers.hookd(self._copy(tokens)))
                for tokens in self._plan.levels
            }
            for load in self._plan.level_loads:
                for _ in range(self._plan.rounds):
                    for tokens, daemon in daemons.items():
                        self._advance(f"{tokens:,} tokens: {load}")
                        one = self._try(daemon, self._load(load))
                        if one is not None:
                            rounds.setdefault((tokens, load), []).append(one)
            for tokens, daemon in daemons.items():
                self._advance(f"{tokens:,} tokens: without compaction")
                quiet = self._try(daemon, self._call("claim", self._plan.compaction_seconds))
                self._advance(f"{tokens:,} tokens: while the store is compacted")
                compacting = self._compacting(daemon)
                rows = [
                    {"load": load, **_middle(rounds[tokens, load]).as_dict()}
                    for load in self._plan.level_loads
                    if (tokens, load) in rounds
                ]
                levels.append(
                    {
                        "tokens": tokens,
                        "rows": rows,
                        "quiet": None if quiet is None else quiet.as_dict(),
                        "compacting": compacting,
                    }
                )
        for tokens in daemons:
            shutil.rmtree(self._copy(tokens))
        return levels

    def _load(self, load: str) -> Call:
        """A load at a level; one that claims by the batch is kept short, lest few become many."""
        if load in BATCHED:
            return Call("hookd", load, *FEW_BATCHES, 0, 0, CLAIMS)
        return self._call(load)

    def _call(self, load: str, seconds: float = 0.0, count: int = 0) -> Call:
        seconds = seconds or self._plan.seconds
        return Call("hookd", load, *USUAL, seconds, self._plan.warm_up, count)

    def _try(self, server: Server, call: Call) -> Measured | None:
        try:
            return self._client(server, call)
        except LoadError as error:
            self.failures.append(str(error))
            return None

    def _compacting(self, daemon: Server) -> dict[str, Any] | None:
        """Claims while the store is compacted, again and again."""
        over = threading.Event()
        spans: list[tuple[float, float]] = []
        begin = time.monotonic() + self._plan.warm_up

        def work() -> None:
            while not over.wait(QUIET_S):
                started = time.monotonic() - begin
                admin.compact(daemon)
                spans.append((started, time.monotonic() - begin))

        thread = threading.Thread(target=work)
        thread.start()
        try:
            one = self._try(daemon, self._call("claim", self._plan.compaction_seconds))
        finally:
            over.set()
            thread.join()
        return None if one is None else {**one.as_dict(), "compactions_s": spans}

    def _events(self) -> list[dict[str, Any]]:
        """Payloads into, and reads from, one run whose log has become long."""
        rows = []
        with ExitStack() as stack:
            daemon = stack.enter_context(servers.hookd(self._folder / "events"))
            for events in self._plan.events:
                self._advance(f"a log of {events:,} events")
                one = self._try(daemon, self._call("long-run", count=events))
                if one is not None:
                    rows.append({"events": events, **one.as_dict()})
        return rows


def _middle(rounds: list[Measured]) -> Measured:
    """The round with the median throughput."""
    return sorted(rounds, key=lambda one: one.per_second)[len(rounds) // 2]
