"""The connection to the daemon: one channel, deadlines, retries, errors.

Everything that the client sends goes through here. A call is sent again for
as long as its deadline allows when the daemon could not be reached or did not
answer: every mutating call carries an id of its own, so that the daemon knows
it again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
from grpc import aio

from hookd import validate
from hookd.durations import Seconds, seconds
from hookd.errors import (
    ClientClosedError,
    DeadlineExceededError,
    HookdError,
    HookNotFoundError,
    InvalidArgumentError,
)
from hookd.merging import ClaimMerger
from hookd.retry import Backoff
from hookd.status import error_from_rpc, is_transient
from hookd.tls import is_loopback
from hookd.tracing import trace_metadata
from hookd.v1.admin_service_pb2_grpc import AdminServiceStub
from hookd.v1.hook_service_pb2_grpc import HookServiceStub
from hookd.v1.run_service_pb2_grpc import RunServiceStub
from hookd.v1.stream_service_pb2_grpc import StreamServiceStub
from hookd.v1.worker_service_pb2_grpc import WorkerServiceStub
from hookd.workflows.context import refuse_inside

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from hookd.v1.admin_service_pb2_grpc import AdminServiceAsyncStub
    from hookd.v1.hook_service_pb2_grpc import HookServiceAsyncStub
    from hookd.v1.run_service_pb2_grpc import RunServiceAsyncStub
    from hookd.v1.stream_service_pb2_grpc import StreamServiceAsyncStub
    from hookd.v1.worker_service_pb2_grpc import WorkerServiceAsyncStub

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")

_log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 16 * 1024 * 1024

_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # A conflict names the token, up to 4 KiB, several times.
    ("grpc.max_metadata_size", 64 * 1024),
    ("grpc.absolute_max_metadata_size", 128 * 1024),
    # A daemon that vanished without a word is noticed while a call waits for it.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # By itself core waits a minute for the answer to a ping.
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    # A daemon that restarts is back within seconds: look often.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Clients of one process share no connection and no state of one.
    ("grpc.use_local_subchannel_pool", 1),
    # The retries are here, where the deadline and the errors are known.
    ("grpc.enable_retries", 0),
)

WAIT_SLICE = 60.0
"""A long wait is asked for in slices of this many seconds."""


class Transport:
    """One connection, and what every call needs: project, key, deadline.

    Args:
        address: The daemon.
        project: The isolation scope.
        api_key: Sent with every call; None for none.
        timeout: The time for a call and all its retries.
        credentials: For TLS; None for plaintext.
        plaintext: Somebody insists on sending the key in plaintext.
    """

    def __init__(
        self,
        address: str,
        *,
        project: str,
        api_key: str | None,
        timeout: Seconds,
        credentials: grpc.ChannelCredentials | None,
        plaintext: bool = False,
    ) -> None:
        self.address = validate.address(address)
        self.project = validate.name(project, "project")
        self.timeout = seconds(timeout, "timeout")
        self._credentials = credentials
        self._metadata = _authorization(api_key)
        if self._metadata and credentials is None and not plaintext:
            _refuse_to_tell(self.address)
        self.again = partial(
            Transport,
            address,
            project=project,
            api_key=api_key,
            timeout=timeout,
            credentials=credentials,
            plaintext=plaintext,
        )
        """Makes another connection of the same kind, for another event loop."""
        self._background: set[asyncio.Task[None]] = set()
        self._closed = False

    # The channel belongs to the event loop that runs when it is made: so not
    # before the first call.
    @cached_property
    def _channel(self) -> aio.Channel:
        if self._closed:
            raise ClientClosedError("The client is closed")
        refuse_inside("a call of a client")
        if self._credentials is None:
            return aio.insecure_channel(self.address, options=_OPTIONS)
        return aio.secure_channel(self.address, self._credentials, options=_OPTIONS)

    def blocking_channel(self) -> grpc.Channel:
        """Gives a connection of its own, for a thread; to be closed by the caller."""
        if self._credentials is None:
            return grpc.insecure_channel(self.address, options=_OPTIONS)
        return grpc.secure_channel(self.address, self._credentials, options=_OPTIONS)

    @cached_property
    def runs(self) -> RunServiceAsyncStub:
        """The calls of RunService."""
        return RunServiceStub(self._channel)

    @cached_property
    def hooks(self) -> HookServiceAsyncStub:
        """The calls of HookService."""
        return HookServiceStub(self._channel)

    @cached_property
    def streams(self) -> StreamServiceAsyncStub:
        """The calls of StreamService."""
        return StreamServiceStub(self._channel)

    @cached_property
    def workers(self) -> WorkerServiceAsyncStub:
        """The calls of WorkerService."""
        return WorkerServiceStub(self._channel)

    @cached_property
    def admin(self) -> AdminServiceAsyncStub:
        """The calls of AdminService."""
        return AdminServiceStub(self._channel)

    @cached_property
    def merger(self) -> ClaimMerger:
        """Creates hooks."""
        return ClaimMerger(self)

    @property
    def closed(self) -> bool:
        """Whether the client was closed."""
        return self._closed

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Gives what is sent beside a request."""
        return self._metadata + trace_metadata()

    async def close(self) -> None:
        """Closes the connection; calls that wait for an answer end with ClientClosedError."""
        if self._closed:
            return
        self._closed = True
        if "merger" in self.__dict__:
            self.merger.close()
        for task in tuple(self._background):
            task.cancel()
        if "_channel" in self.__dict__:
            await self._channel.close()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs something beside the caller, at most until the client is closed."""
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def call(
        self,
        method: aio.UnaryUnaryMultiCallable[_Request, _Response],
        request: _Request,
        *,
        timeout: float | None = None,
        retry: bool = True,
    ) -> _Response:
        """Calls, and calls again while the daemon cannot be reached.

        Args:
            method: A call of a stub.
            request: Its message.
            timeout: The time for all attempts, in seconds; the client's when None.
            retry: Whether a second attempt is allowed.

        Raises:
            HookdError: What the daemon said, or what the last attempt met.
        """
        refuse_inside("a call of a client")
        allowed = self.timeout if timeout is None else timeout
        deadline = time.monotonic() + allowed
        backoff: Backoff | None = None
        while True:
            try:
                remaining = deadline - time.monotonic()
                return await method(request, timeout=remaining, metadata=self.metadata())
            except aio.AioRpcError as rpc:
                error = error_from_rpc(rpc, self.address)
            except (aio.UsageError, asyncio.CancelledError):
                self.raise_if_closed()
                raise
            if isinstance(error, DeadlineExceededError):
                raise DeadlineExceededError(f"No answer within {allowed:g} s") from None
            if not retry or not is_transient(error):
                raise error from None
            if backoff is None:
                backoff = Backoff()
                _log.debug("%s; trying again for up to %g s", error, allowed)
            delay = backoff.delay()
            if time.monotonic() + delay >= deadline:
                raise error from None
            await asyncio.sleep(delay)

    async def call_for_hook(
        self,
        method: aio.UnaryUnaryMultiCallable[_Request, _Response],
        request: Callable[[float], _Request],
        *,
        wait: float,
    ) -> _Response:
        """Makes a call that the daemon may hold back until a hook has its token.

        Args:
            method: A call of a stub.
            request: Makes its message for the time that the daemon may wait.
            wait: How long to wait for the hook in all, in seconds.
        """
        end = time.monotonic() + wait
        deadline = end + self.timeout
        backoff = Backoff()
        while True:
            # An attempt must not begin the wait anew: it gets what is left.
            left = max(0.0, end - time.monotonic())
            portion = min(left, WAIT_SLICE)
            try:
                return await self.call(
                    method, request(portion), timeout=portion + self.timeout, retry=False
                )
            except HookNotFoundError:
                if left <= WAIT_SLICE:
                    raise
            except HookdError as error:
                delay = backoff.delay()
                if not is_transient(error) or time.monotonic() + delay >= deadline:
                    raise
                await asyncio.sleep(delay)

    def raise_if_closed(self) -> None:
        """Says that the client was closed, to whoever gRPC told something odd.

        Closing the channel cancels the calls, and that looks as if their
        callers had been cancelled.
        """
        task = asyncio.current_task()
        if self._closed and not (task is not None and task.cancelling()):
            raise ClientClosedError("The client was closed") from None


def _refuse_to_tell(address: str) -> None:
    """Sees to it that a key is not told to whoever listens on the network.

    Raises:
        InvalidArgumentError: The address is not on this machine.
    """
    if not is_loopback(address):
        raise InvalidArgumentError.of(
            "api_key",
            f"would go to {address} in plaintext: connect with TLS (tls=True, or HOOKD_TLS=true), "
            "or insist with tls=False (HOOKD_TLS=false) if the network is trusted",
        )


def _authorization(api_key: str | None) -> tuple[tuple[str, str], ...]:
    if not api_key:
        return ()
    # gRPC's own complaint about a bad value would show it.
    if not isinstance(api_key, str) or not (api_key.isascii() and api_key.isprintable()):
        raise InvalidArgumentError.of("api_key", "must be printable ASCII text")
    return (("authorization", f"Bearer {api_key}"),)
