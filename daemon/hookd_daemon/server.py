"""The life of the daemon: open, recover, serve, drain, close."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import ServiceDescriptor
from hookd.v1 import (
    admin_service_pb2,
    hook_service_pb2,
    run_service_pb2,
    stream_service_pb2,
    worker_service_pb2,
)

from hookd_daemon import __version__, logs, ready
from hookd_daemon.api.admin import AdminService
from hookd_daemon.api.backend import Backend
from hookd_daemon.api.counting import Counting
from hookd_daemon.api.gate import Gate
from hookd_daemon.api.hooks import HookService
from hookd_daemon.api.lane import ClaimLane
from hookd_daemon.api.runs import RunService
from hookd_daemon.api.streams import StreamService
from hookd_daemon.api.transport import GrpcServer
from hookd_daemon.api.worker import WorkerService
from hookd_daemon.auth.certificates import CertificateError, Certificates
from hookd_daemon.auth.door import Door
from hookd_daemon.auth.keyfile import KeyFile, KeyFileError
from hookd_daemon.auth.watch import watch
from hookd_daemon.clock import Clock
from hookd_daemon.config import Settings, StartupError
from hookd_daemon.console.samples import Samples, reader
from hookd_daemon.core.queues import STEP, WORKFLOW
from hookd_daemon.core.usage import count_active_runs
from hookd_daemon.descriptors import Descriptors
from hookd_daemon.dispatch.board import Board
from hookd_daemon.dispatch.dispatcher import Dispatcher
from hookd_daemon.dispatch.survey import Survey
from hookd_daemon.dispatch.unserved import Unserved
from hookd_daemon.errors import status_name
from hookd_daemon.http.server import HttpServer
from hookd_daemon.store.rocks import RocksStore
from hookd_daemon.store.rocks.directory import DataDirectoryError
from hookd_daemon.sweeper import Sweeper
from hookd_daemon.telemetry.setup import Telemetry
from hookd_daemon.values import Address

if TYPE_CHECKING:
    from starlette.types import ASGIApp

log = logs.get_logger(__name__)

#: The flusher comes back from the disk and wants the interpreter for a moment;
#: at Python's usual 5 ms it would wait for it longer than for the disk.
SWITCH_INTERVAL_S = 0.0005
#: Calls make few reference cycles, and collecting them at Python's usual 700
#: new objects took 7 % of the time of a call: it looks through what they hold.
GC_THRESHOLD = 50_000
#: When the store has failed every call is answered at once. So long, in
#: seconds, these answers may take to get away: what is cut off is told
#: CANCELLED, which nobody retries.
BROKEN_GRACE_S = 2.0


@dataclass(frozen=True, slots=True)
class Serving:
    """A daemon that serves, for the program that it runs in.

    Attributes:
        grpc: the address of the gRPC API.
        http: the address of the HTTP server; None when there is none.
        backend: the store and the time.
        sweeper: fires timers.
        dispatcher: hands work out.
    """

    grpc: str
    http: str | None
    backend: Backend
    sweeper: Sweeper
    dispatcher: Dispatcher


class Daemon:
    """One daemon on one data directory.

    Args:
        settings: what the operator chose.
        on_serving: told once when it serves.
        clock: the time; the machine's if None.
    """

    def __init__(
        self,
        settings: Settings,
        on_serving: Callable[[Serving], None] = lambda _serving: None,
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings
        self._on_serving = on_serving
        self._clock = Clock() if clock is None else clock
        self._telemetry = Telemetry(settings)
        self._counting = Counting(self._telemetry.metrics)
        self._stop = asyncio.Event()
        self._broken: BaseException | None = None
        self._serving = False

    def stop(self) -> None:
        """Asks the daemon to drain and end."""
        self._stop.set()

    def _break(self, error: BaseException) -> None:
        """The store can be written no longer: nothing may be answered any more."""
        if self._broken is None:
            log.error("the store cannot be written; the daemon ends", error=str(error))
            self._broken = error
        self._stop.set()

    def _not_ready(self) -> str | None:
        if self._broken is not None:
            return "the store cannot be written"
        return None if self._serving else "draining" if self._stop.is_set() else "starting"

    async def run(self) -> int:
        """Serves until asked to stop; returns the exit status.

        Raises:
            StartupError: the daemon cannot start.
            DataDirectoryError: the data directory cannot be used.
        """
        settings, metrics = self._settings, self._telemetry.metrics
        door, certificates = self._doors()
        store = RocksStore(
            settings.data_dir,
            on_flush=self._note_flush,
            on_failure=self._break,
            observe=self._counting.observe,
        )
        try:
            backend = Backend(store, self._clock, settings, self._telemetry.tracing, metrics)
            await self._count_runs(store)
            dispatcher = Dispatcher(backend, settings.worker_lease)
            self._observe(store, dispatcher.board)
            log.info(
                "recovered",
                tokens=store.recovered_tokens,
                seconds=round(store.recovery_seconds, 3),
                data_dir=str(settings.data_dir),
            )
            looking = asyncio.create_task(
                watch(
                    door.look,
                    *([certificates.look] if certificates else []),
                    Descriptors().look,
                ),
                name="hookd-watch",
            )
            try:
                return await self._serve(backend, store, dispatcher, door, certificates)
            finally:
                looking.cancel()
        finally:
            store.close()
            await asyncio.to_thread(self._telemetry.shutdown)

    def _doors(self) -> tuple[Door, Certificates | None]:
        """Reads the keys and the certificates."""
        settings = self._settings
        try:
            door = Door(
                KeyFile(settings.data_dir),
                required=settings.keys_required,
                now_ms=self._clock.now_ms,
            )
            certificates = None
            if settings.tls_cert is not None and settings.tls_key is not None:
                certificates = Certificates(
                    settings.tls_cert, settings.tls_key, settings.tls_client_ca
                )
        except (KeyFileError, CertificateError) as error:
            raise StartupError(str(error)) from None
        if door.required and not door.valid:
            log.warning("keys are required, and no key is valid: see hookd keys create")
        return door, certificates

    def _note_flush(self, commits: int, seconds: float) -> None:
        self._telemetry.metrics.commit_group_size.record(commits)
        self._telemetry.metrics.flush_seconds.record(seconds)

    async def _count_runs(self, store: RocksStore) -> None:
        runs = self._counting.runs
        for (_, status), count in (await count_active_runs(store)).items():
            runs[status_name(status)] += count

    def _observe(self, store: RocksStore, board: Board) -> None:
        def active_runs() -> Iterable[tuple[str, int]]:
            return self._counting.runs.items()

        def leases() -> Iterable[tuple[str, int]]:
            counts = board.holding.counts
            return (("turn", counts[WORKFLOW]), ("step", counts[STEP]))

        self._telemetry.metrics.observe(
            active_tokens=store.index.projects,
            index_bytes=store.index.memory_bytes,
            store_bytes=store.disk_bytes,
            active_runs=active_runs,
            workers=lambda: len(board.sessions),
            leases=leases,
        )

    async def _serve(
        self,
        backend: Backend,
        store: RocksStore,
        dispatcher: Dispatcher,
        door: Door,
        certificates: Certificates | None,
    ) -> int:
        settings, telemetry = self._settings, self._telemetry
        survey = Survey(dispatcher.board, backend)
        gate = Gate(telemetry.metrics, settings.max_calls_in_flight, settings.max_streams)
        hooks = HookService(backend)
        services = [
            (service(run_service_pb2, "RunService"), RunService(backend, survey)),
            (service(hook_service_pb2, "HookService"), hooks),
            (service(stream_service_pb2, "StreamService"), StreamService(backend)),
            (
                service(worker_service_pb2, "WorkerService"),
                WorkerService(backend, dispatcher, survey),
            ),
            (
                service(admin_service_pb2, "AdminService"),
                AdminService(backend, store, self._counting),
            ),
        ]
        grpc_server = GrpcServer(
            services,
            door,
            gate,
            telemetry.tracing,
            telemetry.metrics,
            backend.admission,
            ClaimLane(backend, store, hooks).lanes(),
        )
        http_server = None
        http_address = None
        tasks: list[asyncio.Task[None]] = []
        if settings.http_address is not None:
            samples = Samples(
                reader(
                    telemetry.metrics,
                    lambda: sum(self._counting.active_runs()),
                    lambda: len(store.index),
                ),
                store,
            )

            def build() -> ASGIApp:
                # Late, see HttpServer.
                from hookd_daemon.web import build_web  # noqa: PLC0415

                return build_web(
                    settings,
                    backend,
                    services,
                    door,
                    gate,
                    telemetry,
                    samples,
                    projects=store.index.projects,
                    workers=lambda: len(dispatcher.board.sessions),
                    not_ready=self._not_ready,
                    tls=certificates is not None,
                )

            tls = certificates.http_context() if certificates else None
            http_server = HttpServer(settings.http_address, build, tls=tls)
            http_address = str(await http_server.start())
            scheme = "http" if tls is None else "https"
            backend.webhook_base_url = settings.public_url or f"{scheme}://{http_address}"
            tasks.append(asyncio.create_task(samples.run(), name="hookd-samples"))
        sweeper = Sweeper(backend)
        tasks.append(asyncio.create_task(sweeper.run(), name="hookd-sweeper"))
        tasks.append(asyncio.create_task(dispatcher.run(), name="hookd-dispatcher"))
        if settings.fail_unserved_after is not None:
            unserved = Unserved(dispatcher.board, backend, settings.fail_unserved_after)
            tasks.append(asyncio.create_task(unserved.run(), name="hookd-unserved"))
        try:
            credentials = certificates.grpc_credentials() if certificates else None
            grpc_address = str(await grpc_server.start(settings.listen_address, credentials))
        except (RuntimeError, StartupError) as error:
            # Asked before HTTP lets go of its address: it may be the same one.
            why = why_not_bound(settings.listen_address) or str(error)
            if http_server is not None:
                await http_server.stop()
            if isinstance(error, StartupError):
                raise
            raise StartupError(
                f"cannot listen on {settings.listen}: {why} (see --listen)"
            ) from error
        self._serving = True
        self._on_serving(Serving(grpc_address, http_address, backend, sweeper, dispatcher))
        log.info(
            "serving",
            grpc=grpc_address,
            http=http_address,
            version=__version__,
            tls=certificates is not None,
            keys=door.required,
        )
        ready.announce(settings, grpc=grpc_address, http=http_address)
        await self._stop.wait()
        self._serving = False
        log.info("draining", seconds=settings.drain_timeout)
        await grpc_server.not_serving()
        store.end_waits()
        grace = settings.drain_timeout
        await grpc_server.stop(min(grace, BROKEN_GRACE_S) if self._broken else grace)
        await asyncio.gather(*tasks)
        if http_server is not None:
            await http_server.stop()
        ready.retract(settings)
        log.info("stopped")
        return 1 if self._broken else 0


def why_not_bound(address: Address) -> str | None:
    """What the operating system says against an address; gRPC keeps it to itself."""
    try:
        for family, kind, protocol, _, target in socket.getaddrinfo(
            *address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(target)
    except OSError as error:
        return error.strerror
    return None


def service(module: Any, name: str) -> ServiceDescriptor:
    """The description of a service in a generated module."""
    found: ServiceDescriptor = module.DESCRIPTOR.services_by_name[name]
    return found


def _settle(_serving: Serving) -> None:
    """What is there now stays for good; no collection has to look at it."""
    gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(GC_THRESHOLD)


async def _run(settings: Settings) -> int:
    daemon = Daemon(settings, on_serving=_settle)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.stop)
    return await daemon.run()


def run(settings: Settings) -> int:
    """Runs a daemon in this process until SIGTERM or SIGINT.

    Returns:
        The exit status: 0 when it was asked to stop, 1 when it had to.

    Raises:
        StartupError: the daemon cannot start.
    """
    logs.configure(settings)
    ready.retract(settings)
    log.info("starting", version=__version__, **settings.describe())
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        return asyncio.run(_run(settings))
    except DataDirectoryError as error:
        raise StartupError(str(error)) from error
