"""A project that calls the transaction functions themselves, within limits."""

from __future__ import annotations

import itertools
from typing import Any

from hookd.v1.common_pb2 import Payload
from hookd.v1.run_service_pb2 import CONFLICT_POLICY_FAIL
from hookd_daemon.core import keys, usage
from hookd_daemon.core.ending import complete_run
from hookd_daemon.core.firing import fire_timer
from hookd_daemon.core.hooks import Claimed, HookSpec, Outcome, create_hooks
from hookd_daemon.core.limits import Limits
from hookd_daemon.core.moment import Moment
from hookd_daemon.core.queues import WORKFLOW, read_queue
from hookd_daemon.core.starting import Started, StartSpec, start_run
from hookd_daemon.core.timers import next_timers
from hookd_daemon.core.turns import LeasedTurn, TurnOutcome, TurnSpec, complete_turn, lease_turn
from hookd_daemon.store.tx import Store, Tx

P = "project"


class Tenant:
    """A project.

    Attributes:
        store: where it is.
        project: its name.
        limits: what it may have.
        now: the time, in milliseconds since 1970.
    """

    def __init__(self, store: Store, project: str = P, **limits: int) -> None:
        self.store = store
        self.project = project
        self.limits = Limits(**limits)
        self.now = 1_000_000
        self._ids = itertools.count(1)

    @property
    def moment(self) -> Moment:
        """The moment of a call."""
        return Moment(self.now, retention_ms=1_000, limits=self.limits)

    async def call(self, fn: Any, *args: Any) -> Any:
        """Runs a transaction function."""
        return await self.store.transact(fn, self.moment, self.project, *args)

    async def start(self, run_id: str, *tokens: str, **more: Any) -> Started:
        """Starts a run."""
        spec: dict[str, Any] = {
            "run_id": run_id,
            "workflow": "flow",
            "input": Payload(),
            "attributes": {},
            "claims": [HookSpec(f"hook-of-{token}", token) for token in tokens],
            "policy": CONFLICT_POLICY_FAIL,
            "payload": Payload(),
            "payload_id": "",
            "external": True,
            "lease_ttl_ms": 0,
            "digest": run_id.encode(),
            "seed": bytes(32),
        }
        started: Started = await self.call(start_run, StartSpec(**(spec | more)))
        return started

    async def claim(self, run_id: str, *tokens: str, **more: Any) -> list[Outcome]:
        """Claims tokens in one batch, each for a new hook."""
        specs = [HookSpec(f"hook-{next(self._ids)}", token, **more) for token in tokens]
        outcomes: list[Outcome] = await self.call(create_hooks, [(run_id, spec) for spec in specs])
        return outcomes

    async def complete(self, run_id: str, output: bytes = b"") -> None:
        """Ends a run."""
        await self.call(complete_run, run_id, Payload(data=output))

    async def turn(self) -> LeasedTurn:
        """Takes the first turn that is ready."""
        entries = await self.store.transact(read_queue, self.project, WORKFLOW, "flow", 0, 1)
        turn: LeasedTurn = await self.call(lease_turn, entries[0], 0)
        return turn

    async def complete_turn(self, turn: LeasedTurn, *commands: Any) -> TurnOutcome:
        """Completes a turn."""
        spec = TurnSpec(
            run_id=turn.run.run_id,
            incarnation=turn.run.uid,
            turn_id=f"turn-{next(self._ids)}",
            seen_seq=turn.run.record.last_seq,
            commands=commands,
        )
        outcome: TurnOutcome = await self.call(complete_turn, spec)
        return outcome

    async def fire_all(self) -> None:
        """Fires all timers that are due."""
        due, _ = await self.store.transact(next_timers, b"", self.now, 1_000)
        for key, timer in due:
            await self.store.transact(fire_timer, self.moment, key, timer)

    async def active_runs(self) -> int:
        """How many are counted."""
        return await self.store.transact(_number, keys.usage(self.project, usage.ACTIVE_RUNS))

    async def payload_bytes(self) -> int:
        """How many are counted."""
        return await self.store.transact(_number, keys.usage(self.project, usage.PAYLOAD_BYTES))


async def _number(tx: Tx, key: bytes) -> int:
    return await tx.number(key)


def told(outcomes: list[Outcome]) -> list[str]:
    """What became of claims: ``ok``, or the reason why not."""
    return ["ok" if isinstance(o, Claimed) else o.reason for o in outcomes]
