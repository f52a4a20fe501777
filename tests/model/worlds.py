"""The engines in this process, behind the same handlers, each as an ``Api``."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol
from unittest import mock

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hookd.v1 import (
    hook_service_pb2,
    run_service_pb2,
    stream_service_pb2,
    worker_service_pb2,
)
from hookd_daemon.api import lane as lane_module
from hookd_daemon.api.backend import Backend
from hookd_daemon.api.context import CallContext
from hookd_daemon.api.hooks import HookService
from hookd_daemon.api.lane import ClaimLane
from hookd_daemon.api.runs import RunService
from hookd_daemon.api.status import to_status
from hookd_daemon.api.streams import StreamService
from hookd_daemon.api.worker import WorkerService
from hookd_daemon.clock import Clock
from hookd_daemon.config import Settings
from hookd_daemon.dispatch.dispatcher import Dispatcher
from hookd_daemon.dispatch.survey import Survey
from hookd_daemon.errors import HookdError
from hookd_daemon.store.memory import MemoryStore
from hookd_daemon.store.rocks import RocksStore
from hookd_daemon.store.tx import Store
from hookd_daemon.sweeper import Sweeper
from hookd_daemon.telemetry.setup import Telemetry

from tests.model.facts import Bindings
from tests.model.wire import StatusError
from tests.support.api import Api

WORKER_LEASE_S = 15.0


class World(Protocol):
    """Something that must do what the oracle says.

    Attributes:
        name: for messages.
        bindings: what it has put in the place of symbols.
        api: its services, in the project of the example.
    """

    name: str
    bindings: Bindings
    api: Api

    def enter(self, project: str) -> None:
        """Begins an example, in a project of its own."""

    def leave(self) -> None:
        """Ends it, with a last look at what is there."""

    def crowd(self, run_id: str) -> str:
        """Opens one stream more than there may be, on an active run.

        Returns:
            The reason of the refusal; empty where nothing counts streams.
        """

    def set_time(self, now: int) -> None:
        """Sets the time, and does nothing else."""

    def sweep(self) -> None:
        """Does what is due."""

    def stop(self, how: str) -> None:
        """Goes down; ``how`` is "crash" or "close"."""

    def start(self) -> None:
        """Comes up again, on the data of before."""


class StillClock(Clock):
    """A clock that is set by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0

    def now_ms(self) -> int:
        """See ``Clock.now_ms``."""
        return self.now


class Call(CallContext):
    """A call that nobody waits for."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """See ``CallContext.metadata``."""
        return {}

    def time_remaining(self) -> float | None:
        """See ``CallContext.time_remaining``."""
        return None

    def long_wait(self) -> AbstractContextManager[None]:
        """See ``CallContext.long_wait``."""
        return nullcontext()


class InProcess:
    """A store with the handlers of the API, on an event loop of its own.

    Args:
        name: for messages.
        retention: how long ended runs are kept, in milliseconds.
    """

    def __init__(self, name: str, retention: int) -> None:
        self.name = name
        self.clock = StillClock()
        self.bindings = Bindings()
        self.loop = asyncio.new_event_loop()
        self._settings = Settings(retention=f"{retention}ms")
        self._telemetry = Telemetry(self._settings)
        self._lanes: dict[str, Callable[..., Any]] = {}
        self._services: dict[str, Any] = {}
        self.store: Store | None = None

    def open(self) -> Store:
        """Opens the store."""
        raise NotImplementedError

    def enter(self, project: str) -> None:
        """See ``World.enter``."""
        self.bindings = Bindings()
        self.api = Api.__new__(Api)
        self.api.project = project
        self.api.runs = Stub(self, run_service_pb2, "RunService")
        self.api.hooks = Stub(self, hook_service_pb2, "HookService")
        self.api.streams = Stub(self, stream_service_pb2, "StreamService")
        self.api.workers = Stub(self, worker_service_pb2, "WorkerService")  # type: ignore[attr-defined]
        if self.store is None:
            self.start()

    def leave(self) -> None:
        """See ``World.leave``."""

    def crowd(self, run_id: str) -> str:
        """See ``World.crowd``."""
        return ""

    def set_time(self, now: int) -> None:
        """See ``World.set_time``."""
        self.clock.now = now

    def sweep(self) -> None:
        """See ``World.sweep``."""
        self.loop.run_until_complete(self._sweeper.catch_up())

    def start(self) -> None:
        """See ``World.start``."""
        self.loop.run_until_complete(self._start())
        self.sweep()

    async def _start(self) -> None:
        self.store = store = self.open()
        telemetry = self._telemetry
        backend = Backend(store, self.clock, self._settings, telemetry.tracing, telemetry.metrics)
        self._sweeper = Sweeper(backend)
        dispatcher = Dispatcher(backend, WORKER_LEASE_S)
        survey = Survey(dispatcher.board, backend)
        hooks = HookService(backend)
        self._services = {
            "RunService": RunService(backend, survey),
            "HookService": hooks,
            "StreamService": StreamService(backend),
            "WorkerService": WorkerService(backend, dispatcher, survey),
        }
        if isinstance(store, RocksStore):
            # A log that wants to know of each conflict would have batches go another way.
            with mock.patch.object(lane_module.log, "is_enabled_for", return_value=False):
                self._lanes = ClaimLane(backend, store, hooks).lanes()

    def stop(self, how: str) -> None:
        """See ``World.stop``."""
        assert self.store is not None
        self.store.close()

    def close(self) -> None:
        """Leaves nothing open."""
        if self.store is not None:
            self.store.close()
        self.loop.close()
        self._telemetry.shutdown()

    def handler(self, service: Any, name: str) -> Callable[[Any], Any]:
        """What answers a method: from a request to the answer, or an iterator of answers."""
        method = service.methods_by_name[name]
        answer = GetMessageClass(method.output_type)
        lane = self._lanes.get(f"/{service.full_name}/{name}")
        if lane is None and method.client_streaming:
            return self._claim_batches
        if lane is None:
            snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
            return lambda request: getattr(self._services[service.name], snake)(request, Call())
        if method.client_streaming:
            return lambda requests: _streamed(lane, requests, answer)
        return lambda request: _by_bytes(lane, request, answer)

    async def _claim_batches(
        self, requests: Iterator[hook_service_pb2.ClaimStreamRequest]
    ) -> AsyncIterator[Message]:
        """What the lane of RocksDB does with batches that are not plain."""
        for request in requests:
            answer = hook_service_pb2.ClaimStreamResponse(batch_id=request.batch_id)
            claim = self._services["HookService"].claim_batch
            await claim(Call(), request.project, request.hooks, answer.results.add)
            yield answer


async def _by_bytes(lane: Callable[..., Any], request: Message, answer: Any) -> Message:
    message: Message = answer.FromString(await lane(request.SerializeToString(), Call()))
    return message


async def _streamed(
    lane: Callable[..., Any], requests: Iterator[Message], answer: Any
) -> AsyncIterator[Message]:
    async def sent() -> AsyncIterator[bytes]:
        for request in requests:
            yield request.SerializeToString()

    async for data in lane(sent(), Call()):
        yield answer.FromString(data)


class Stub:
    """A service of a world in this process, called as the stubs of gRPC are."""

    def __init__(self, world: InProcess, module: Any, service: str) -> None:
        self._world = world
        self._service = module.DESCRIPTOR.services_by_name[service]

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(request: Any, timeout: float | None = None) -> Any:
            answer = self._world.handler(self._service, name)(request)
            if hasattr(answer, "__anext__"):
                return Stream(self._world.loop, answer)
            return _wait(self._world.loop, answer)

        return call


class Stream:
    """The messages of an answer that is a stream."""

    def __init__(self, loop: asyncio.AbstractEventLoop, messages: Any) -> None:
        self._loop = loop
        self._messages = messages

    def __iter__(self) -> Iterator[Message]:
        return self

    def __next__(self) -> Message:
        try:
            message: Message = _wait(self._loop, anext(self._messages))
        except StopAsyncIteration:
            raise StopIteration from None
        return message

    def initial_metadata(self) -> None:
        """Waits for the beginning of the answer, as far as there is one."""

    def cancel(self) -> None:
        """Ends it."""
        self._loop.run_until_complete(self._messages.aclose())


def _wait(loop: asyncio.AbstractEventLoop, answer: Awaitable[Any]) -> Any:
    async def wait() -> Any:
        return await answer

    try:
        return loop.run_until_complete(wait())
    except HookdError as error:
        raise StatusError(to_status(error)) from None


class Memory(InProcess):
    """The engine in memory. Its "restart" forgets nothing but when it was started."""

    def open(self) -> Store:
        """See ``InProcess.open``."""
        fresh = MemoryStore()
        if isinstance(self.store, MemoryStore):
            fresh.values, fresh.ordered = self.store.values, self.store.ordered
            fresh.last_revision = self.store.last_revision
        return fresh


class Rocks(InProcess):
    """RocksDB, and the claims that are made in Rust.

    A crash is a power cut: of the log of writes no more is left than was
    synced. What was answered must rest on that.

    Args:
        name: for messages.
        retention: how long ended runs are kept, in milliseconds.
        folder: for the data.
    """

    def __init__(self, name: str, retention: int, folder: Path) -> None:
        super().__init__(name, retention)
        self._folder = folder
        self._lives = 1
        self._synced: dict[str, int] = {}

    def open(self) -> Store:
        """See ``InProcess.open``."""
        store = RocksStore(self._data)
        flush = store.flusher._flush

        def noted() -> None:
            sizes = self._sizes()
            flush()
            self._synced = sizes

        store.flusher._flush = noted
        self._synced = self._sizes()
        return store

    @property
    def _data(self) -> Path:
        return self._folder / str(self._lives)

    def _sizes(self) -> dict[str, int]:
        return {log.name: log.stat().st_size for log in (self._data / "db").glob("*.log")}

    def stop(self, how: str) -> None:
        """See ``World.stop``."""
        before, synced = self._data, dict(self._synced)
        if how == "crash":
            self._lives += 1
            shutil.copytree(before, self._data)
        super().stop(how)
        if how == "crash":
            shutil.rmtree(before)
            for log in (self._data / "db").glob("*.log"):
                with log.open("r+b") as file:
                    file.truncate(min(synced.get(log.name, 0), log.stat().st_size))
