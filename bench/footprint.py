"""What active tokens cost: memory, disk, bytes written, time to start again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import admin, servers
from bench.client import Call, Client, LoadError
from bench.plan import USUAL
from bench.processes import Server, cpu_seconds, resident_bytes, written_bytes

#: What a claim's caller has sent: the token, the hook's id, the run's id.
USER_BYTES = 36 + 27 + 26
#: A daemon that uses less of a processor than this has nothing left to do.
IDLE_CORES = 0.05
#: Seconds that it may take until then.
PATIENCE = 3600


class Footprint:
    """A store that is filled, started again, and emptied.

    Args:
        data: its directory.
        client: fills it.
        tokens_per_run: how many tokens each run holds.
        advance: is told what is measured next.
    """

    def __init__(
        self, data: Path, client: Client, tokens_per_run: int, advance: Callable[[str], None]
    ) -> None:
        self._data = data
        self._client = client
        self._tokens_per_run = tokens_per_run
        self._advance = advance
        self._fills: list[Call] = []
        self._levels: list[dict[str, Any]] = []
        self._released: dict[str, Any] = {}
        self._empty_bytes = 0
        self._written: int | None = 0
        self.failures: list[str] = []

    @property
    def _tokens(self) -> int:
        return sum(call.count for call in self._fills)

    @contextmanager
    def _daemon(self, *more: str) -> Iterator[Server]:
        """A daemon whose bytes written are added up."""
        with servers.hookd(self._data, *more) as server:
            yield server
            self._note_written(server)

    def _note_written(self, server: Server) -> None:
        written = written_bytes(server.pid)
        if written is None or self._written is None:
            self._written = None
        else:
            self._written += written

    def fill(self, tokens: int, *, measured: bool) -> None:
        """Fills the store up to so many tokens.

        Args:
            tokens: active tokens in the end.
            measured: whether restarts are measured, too.
        """
        more = tokens - self._tokens
        self._advance(f"{tokens:,} tokens: fill")
        call = Call("hookd", "fill", 16, 4, 0, 0, more, max(1, more // self._tokens_per_run))
        before = self._written
        with self._daemon() as daemon:
            if not self._fills:
                self._empty_bytes = resident_bytes(daemon.pid)
            filled = self._client(daemon, call)
            self._fills.append(call)
            stats, resident = admin.stats(daemon), resident_bytes(daemon.pid)
        written = None if self._written is None or before is None else self._written - before
        if filled is None or stats.active_tokens != tokens:
            raise LoadError(f"{tokens} tokens should be active: {stats.active_tokens} are")
        if not measured:
            return
        self._levels.append(
            {
                "tokens": tokens,
                "runs": sum(one.runs for one in self._fills),
                "fill_per_second": filled.per_second,
                "resident_bytes": resident,
                "more_bytes_per_token": (resident - self._empty_bytes) / tokens,
                "index_bytes_per_token": stats.token_index_bytes / tokens,
                "disk_bytes_per_token": self._disk_bytes() / tokens,
                "write_amplification": None if written is None else written / (more * USER_BYTES),
                **self._restarts(tokens),
            }
        )

    def _restarts(self, tokens: int) -> dict[str, Any]:
        """Starts after an orderly end, and after a crash."""
        self._advance(f"{tokens:,} tokens: restart")
        report: dict[str, Any] = {}
        with ExitStack() as stack:
            daemon = self._restart(stack, "stopped", tokens, report)
            self._leave_unflushed(daemon)
            self._note_written(daemon)
            servers.kill(daemon)
        with ExitStack() as stack:
            self._note_written(self._restart(stack, "killed", tokens, report))
        return report

    def _restart(self, stack: ExitStack, after: str, tokens: int, report: dict[str, Any]) -> Server:
        """Starts a daemon, and notes how long that took and what it knows."""
        begin = time.perf_counter()
        daemon = stack.enter_context(servers.hookd(self._data))
        seconds = time.perf_counter() - begin
        stats = admin.stats(daemon)
        more = resident_bytes(daemon.pid) - self._empty_bytes
        report[after] = {
            "seconds": seconds,
            "recovery_seconds": stats.recovery_time.ToMilliseconds() / 1000,
            "more_bytes_per_token": more / tokens,
        }
        if stats.recovered_tokens != tokens:
            self.failures.append(
                f"a daemon that was {after} has {stats.recovered_tokens} tokens of {tokens}"
            )
        return daemon

    def _leave_unflushed(self, daemon: Server) -> None:
        """Claims and gives up tokens, so that the log is not empty when the crash comes."""
        call = Call("hookd", "claim-release", *USUAL, 0.5, 0)
        try:
            self._client(daemon, call)
        except LoadError as error:
            self.failures.append(str(error))

    def _disk_bytes(self) -> int:
        return sum(file.stat().st_size for file in self._data.rglob("*") if file.is_file())

    def release(self) -> None:
        """Completes all runs, lets them be removed, and compacts."""
        filled = self._disk_bytes()
        with self._daemon("--retention=drop") as daemon:
            for call in self._fills:
                self._advance(f"{call.count:,} tokens: release")
                self._client(daemon, replace(call, load="release-all", concurrency=64))
            left = admin.stats(daemon).active_tokens
            released = self._disk_bytes()
            self._advance("what the ended runs have left is removed")
            _wait_until_idle(daemon)
            self._advance("compaction")
            compacted = admin.compact(daemon)
            resident = resident_bytes(daemon.pid)
        if left:
            self.failures.append(f"{left} tokens are still active after the release of all")
        self._released = {
            "disk_bytes_before": filled,
            "disk_bytes_released": released,
            "disk_bytes_compacted": compacted,
            "resident_bytes": resident,
            "write_amplification_of_life": None
            if self._written is None
            else self._written / (self._tokens * USER_BYTES),
        }

    def report(self) -> dict[str, Any]:
        """All that was measured."""
        return {
            "empty_resident_bytes": self._empty_bytes,
            "user_bytes_per_token": USER_BYTES,
            "tokens_per_run": self._tokens_per_run,
            "levels": self._levels,
            "released": self._released,
        }


def _wait_until_idle(daemon: Server) -> None:
    """Waits until a daemon that nobody calls has done what it does by itself.

    It removes the records of ended runs bit by bit, and no call tells when it is done.
    """
    deadline = time.monotonic() + PATIENCE
    used, busy = cpu_seconds(daemon.pid), True
    while busy and time.monotonic() < deadline:
        time.sleep(1)
        before, used = used, cpu_seconds(daemon.pid)
        busy = used - before > IDLE_CORES
