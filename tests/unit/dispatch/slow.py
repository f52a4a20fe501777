"""A dispatcher on a store whose disk a test can hold up."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import Any

from hookd.v1.common_pb2 import Payload
from hookd.v1.run_service_pb2 import CONFLICT_POLICY_FAIL
from hookd.v1.worker_service_pb2 import ScheduleStepCommand
from hookd_daemon.api.backend import Backend
from hookd_daemon.clock import Clock
from hookd_daemon.config import Settings
from hookd_daemon.core.commands import Command
from hookd_daemon.core.starting import StartSpec, start_run
from hookd_daemon.core.steps import LeasedStep, StepOutcome, StepSpec
from hookd_daemon.core.turns import LeasedTurn, TurnOutcome, TurnSpec
from hookd_daemon.dispatch.dispatcher import Dispatcher
from hookd_daemon.dispatch.heartbeats import Heartbeats
from hookd_daemon.dispatch.reports import Reports
from hookd_daemon.dispatch.sessions import Offer, Session
from hookd_daemon.dispatch.work import Grant, Item
from hookd_daemon.store.memory import MemoryStore
from hookd_daemon.telemetry import Telemetry

P = "p"


class SlowStore(MemoryStore):
    """Commits at once, and answers when it is let to."""

    def __init__(self) -> None:
        super().__init__()
        self._gates: dict[str, asyncio.Event] = {}
        self.reached = asyncio.Event()

    def hold(self, name: str) -> None:
        """Answers no commit of the function with this name from now on."""
        self._gates[name] = asyncio.Event()
        self.reached.clear()

    def let_go(self, name: str) -> None:
        """Answers those that were held."""
        self._gates.pop(name).set()

    async def transact(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        result = await super().transact(fn, *args, **kwargs)
        gate = self._gates.get(fn.__name__)
        if gate is not None:
            self.reached.set()
            await gate.wait()
        return result


class Place:
    """A dispatcher, and ways to act as its workers.

    Attributes:
        store: its store.
        dispatcher: the dispatcher.
    """

    def __init__(self, store: SlowStore, dispatcher: Dispatcher, backend: Backend) -> None:
        self.store = store
        self.dispatcher = dispatcher
        self.board = dispatcher.board
        self.backend = backend
        self.reports = Reports(dispatcher, backend)
        self.heartbeats = Heartbeats(dispatcher, backend)
        self.stack = ExitStack()
        self._inboxes: dict[Session, deque[Item]] = {}

    def worker(self, worker_id: str, max_turns: int = 1, max_steps: int = 1) -> Session:
        """A worker connects, until the end of the test."""
        return self.stack.enter_context(self.connection(worker_id, max_turns, max_steps))

    def connection(self, worker_id: str, max_turns: int = 1, max_steps: int = 1) -> Any:
        """A worker is connected inside the ``with`` block."""
        return self.dispatcher.session(
            Offer(
                project=P,
                worker_id=worker_id,
                name="",
                workflows={"flow": "v1"},
                steps=frozenset(["charge"]),
                max_turns=max_turns,
                max_steps=max_steps,
            )
        )

    async def start(self, run_id: str) -> None:
        """Starts a run."""
        await self.run(
            start_run,
            StartSpec(
                run_id=run_id,
                workflow="flow",
                input=Payload(),
                attributes={},
                claims=(),
                policy=CONFLICT_POLICY_FAIL,
                payload=Payload(),
                payload_id="",
                external=False,
                lease_ttl_ms=0,
                digest=b"",
                seed=bytes(32),
            ),
        )

    async def run(self, fn: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        """Runs a transaction function of the core."""
        return await self.backend.run(fn, None, P, *args)

    async def complete_turn(
        self, worker: Session, turn: LeasedTurn, *commands: Command, take_steps: int = 0
    ) -> TurnOutcome:
        """Completes a turn."""
        spec = TurnSpec(
            run_id=turn.run.run_id,
            incarnation=turn.run.uid,
            turn_id=f"turn-{turn.run.record.last_seq}",
            seen_seq=turn.run.record.last_seq,
            commands=commands,
            take_steps=take_steps,
        )
        return await self.reports.complete_turn({}, P, worker.worker_id, spec)

    async def complete_step(
        self, worker: Session, step: LeasedStep, *, take_turn: bool = False
    ) -> StepOutcome:
        """Completes a step."""
        spec = StepSpec(
            run_id=step.run.run_id,
            step_id=step.step_id,
            attempt=step.record.attempt,
            incarnation=step.run.uid,
            output=Payload(),
        )
        return await self.reports.complete_step({}, P, worker.worker_id, spec, take_turn=take_turn)

    async def told(self, worker: Session) -> Item:
        """The next thing that a worker is told."""
        inbox = self._inboxes.setdefault(worker, deque())
        if not inbox:
            async with asyncio.timeout(30):
                inbox.extend(await worker.next_items() or ())
        return inbox.popleft()

    async def turn(self, worker: Session) -> LeasedTurn:
        """The next thing a worker is told, which is a turn."""
        item = await self.told(worker)
        assert isinstance(item, Grant)
        assert isinstance(item.leased, LeasedTurn)
        return item.leased

    async def step(self, worker: Session) -> LeasedStep:
        """The next thing a worker is told, which is a step."""
        item = await self.told(worker)
        assert isinstance(item, Grant)
        assert isinstance(item.leased, LeasedStep)
        return item.leased


async def settled() -> None:
    """Lets everything happen that can happen by itself."""
    for _ in range(50):
        await asyncio.sleep(0)


def step(step_id: str = "step-1") -> ScheduleStepCommand:
    """A step is to be executed."""
    return ScheduleStepCommand(step_id=step_id, name="charge")


@asynccontextmanager
async def place() -> AsyncIterator[Place]:
    """A dispatcher that runs inside the ``async with`` block."""
    store = SlowStore()
    settings = Settings()
    telemetry = Telemetry(settings)
    backend = Backend(store, Clock(), settings, telemetry.tracing, telemetry.metrics)
    dispatcher = Dispatcher(backend, 3600)
    running = asyncio.create_task(dispatcher.run())
    here = Place(store, dispatcher, backend)
    try:
        with here.stack:
            yield here
    finally:
        store.close()
        await running
        telemetry.shutdown()
