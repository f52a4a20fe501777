"""The client: every call of the API, under the names that its users expect."""

from __future__ import annotations

import os
from datetime import UTC
from typing import TYPE_CHECKING, Any, Self

from hookd import claims as claiming
from hookd import convert, models, validate
from hookd.durations import Seconds, duration, seconds
from hookd.enums import ConflictPolicy, RunStatus
from hookd.errors import InvalidArgumentError
from hookd.hook import Hook
from hookd.open_run import OpenRun
from hookd.paging import listed
from hookd.payload import encode
from hookd.requests import UNSET, call_signature, payload_id_or_new, start_request
from hookd.run import Run, hook_of
from hookd.starting import start_run
from hookd.tls import Tls, choose
from hookd.tls import credentials as tls_credentials
from hookd.transport import Transport
from hookd.v1 import (
    admin_service_pb2,
    common_pb2,
    hook_service_pb2,
    run_service_pb2,
    worker_service_pb2,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping
    from datetime import datetime
    from types import TracebackType

    import grpc

    from hookd.errors import HookdError
    from hookd.models import HookClaim, HookSpec

DEFAULT_ADDRESS = "127.0.0.1:4665"
DEFAULT_PROJECT = "default"
DEFAULT_TIMEOUT = 30.0
_A_DAY = 86_400.0


def connect(
    address: str | None = None,
    *,
    project: str | None = None,
    api_key: str | None = None,
    timeout: Seconds = DEFAULT_TIMEOUT,
    tls: bool | Tls | None = None,
    credentials: grpc.ChannelCredentials | None = None,
) -> Client:
    """Gives a client. The connection is made by its first call.

    Use it in an ``async with``, or close it with ``await client.close()``.

    Args:
        address: The daemon, as "host:port"; else ``HOOKD_ADDRESS``, else
            "127.0.0.1:4665".
        project: The isolation scope of all its calls; else ``HOOKD_PROJECT``,
            else "default".
        api_key: Sent with every call; else ``HOOKD_API_KEY``. It is not sent in
            plaintext to another machine, unless ``tls`` is False.
        timeout: The time for a call and all its retries. Calls that wait for
            something have it in addition to their wait. Iterators, and waits
            without a limit, survive outages of any length.
        tls: True for TLS with the authorities that gRPC knows, a ``Tls`` with
            files of your own, False for plaintext; else ``HOOKD_TLS`` (true or
            false), ``HOOKD_TLS_CA``, ``HOOKD_TLS_CERT`` and ``HOOKD_TLS_KEY``
            say it. The files are read once.
        credentials: Instead of ``tls``, anything that gRPC takes.

    Raises:
        InvalidArgumentError: A file cannot be used, or the key would go over
            the network in plaintext.
    """
    env = os.environ.get
    chosen = choose(tls) if credentials is None else None
    if isinstance(chosen, Tls):
        credentials = tls_credentials(chosen)
    return Client(
        Transport(
            address if address is not None else env("HOOKD_ADDRESS") or DEFAULT_ADDRESS,
            project=project if project is not None else env("HOOKD_PROJECT") or DEFAULT_PROJECT,
            api_key=api_key if api_key is not None else env("HOOKD_API_KEY"),
            timeout=timeout,
            credentials=credentials,
            plaintext=chosen is False,
        )
    )


class Client:
    """A connection to one daemon, for one project. Made by ``connect``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection. Calls that wait for an answer raise ClientClosedError."""
        await self._transport.close()

    def _again(self) -> Client:
        """Another client of the same kind, for another event loop."""
        return Client(self._transport.again())

    @property
    def address(self) -> str:
        """The daemon."""
        return self._transport.address

    @property
    def project(self) -> str:
        """The isolation scope of all calls."""
        return self._transport.project

    @property
    def closed(self) -> bool:
        """Whether the client was closed."""
        return self._transport.closed

    def __repr__(self) -> str:
        return f"<Client address={self.address!r} project={self.project!r}>"

    # Runs

    async def start(
        self,
        workflow: object,
        *args: Any,
        input: Any = UNSET,
        run_id: str | None = None,
        attributes: Mapping[str, str] | None = None,
        claims: Iterable[HookSpec] = (),
        on_conflict: ConflictPolicy | str = ConflictPolicy.FAIL,
        payload: Any = UNSET,
        payload_id: str | None = None,
        external: bool = False,
        lease_ttl: Seconds | None = None,
        **kwargs: Any,
    ) -> Run:
        """Starts a run, and claims tokens for it in the same atomic step.

        Args:
            workflow: A ``@workflow``, or the name of one. With the former the
                arguments are checked before anything is sent, and
                ``return_value`` gives what the annotation says.
            *args: The arguments of the workflow; they travel as a JSON array.
            input: Instead of arguments, any value that is carried as it is.
            run_id: The run's id: starting it again with the same content gives
                the same run. A new one is made when None.
            attributes: Names and values, for people and for searching.
            claims: Hooks to create with the run, all or none.
            on_conflict: What to do when one of their tokens is taken.
            payload: With "deliver": what the owner's hook gets or, when no
                token is taken, the first hook of ``claims``.
            payload_id: With "deliver": the id of ``payload``.
            external: The caller drives the run itself, without a worker.
            lease_ttl: An external run fails unless it is kept alive within
                this time, again and again.
            **kwargs: More arguments of a ``@workflow``, by name. One that is
                called as an argument of this method is given by position.

        Returns:
            The handle of the new run or, as ``on_conflict`` says, of the owner.
            Its ``started`` tells which, and gives the hooks.

        Raises:
            HookConflictError: A token is taken.
            RunExistsError: The run id is in use by another run.
            TypeError: The ``@workflow`` does not take so many arguments, or not these.
            InvalidArgumentError: An argument cannot be carried, or is not what
                the ``@workflow`` says.
        """
        request = start_request(
            self.project,
            workflow,
            args,
            kwargs,
            input=input,
            run_id=run_id,
            attributes=attributes,
            claims=claims,
            on_conflict=on_conflict,
            payload=payload,
            payload_id=payload_id,
            external=external,
            lease_ttl=lease_ttl,
        )
        return await start_run(self._transport, request, signature=call_signature(workflow))

    def open_run(
        self,
        workflow: object,
        *args: Any,
        input: Any = UNSET,
        run_id: str | None = None,
        attributes: Mapping[str, str] | None = None,
        claims: Iterable[HookSpec] = (),
        on_conflict: ConflictPolicy | str = ConflictPolicy.FAIL,
        lease_ttl: Seconds | None = 30,
    ) -> OpenRun:
        """Drives a run with the block of an ``async with``, without a worker.

        The run is completed on the way out, with None unless the block called
        ``run.complete(value)`` before. An exception fails the run with its
        type and message and goes on; when the task is cancelled, the run is.

        When somebody else ends the run, the block is cancelled at its next
        ``await``, as a timeout would, and the ``async with`` raises
        RunCancelledError, RunFailedError (with type "LEASE_EXPIRED" when the
        lease lapsed), or RunNotActiveError when it was completed. When the
        daemon cannot be reached for as long as the lease lasts, the tokens may
        be another's: the block is cancelled and UnavailableError raised.

        Args:
            workflow: The name of the workflow, or an object that carries it.
            *args: The arguments of the workflow; they travel as a JSON array.
            input: Instead of arguments, any value that is carried as it is.
            run_id: The run's id. An id that was used before goes on with that
                run, unless it has ended: then RunNotActiveError is raised.
            attributes: Names and values, for people and for searching.
            claims: Hooks to create with the run; see ``run.started.hooks``.
            on_conflict: What to do when a token is taken: "fail" or "take_over".
            lease_ttl: The daemon fails the run when this program is gone for
                so long; None for a run that waits for ever.

        Raises:
            HookConflictError: A token of ``claims`` is taken.
        """
        if on_conflict not in (ConflictPolicy.FAIL, ConflictPolicy.TAKE_OVER):
            raise InvalidArgumentError.of("on_conflict", 'must be "fail" or "take_over"')
        request = start_request(
            self.project,
            workflow,
            args,
            input=input,
            run_id=run_id,
            attributes=attributes,
            claims=claims,
            on_conflict=on_conflict,
            external=True,
            lease_ttl=lease_ttl,
        )
        return OpenRun(self._transport, request)

    def get_run(self, run_id: str) -> Run:
        """Gives the handle of a run. It asks nothing: the handle's methods do."""
        return Run(self._transport, run_id)

    async def list_runs(
        self,
        *,
        status: RunStatus | str | Iterable[RunStatus | str] = (),
        workflow: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[models.RunInfo]:
        """Gives the runs of the project, newest first, without their inputs and outputs.

        Args:
            status: Only runs that stand so.
            workflow: Only runs of this workflow.
            created_after: Only runs created at or after this time; local time
                when it names no zone.
            created_before: Only runs created before this time.
            limit: At most so many runs.
        """
        request = run_service_pb2.ListRunsRequest(
            project=self.project,
            statuses=[_wire_status(word) for word in _several(status)],
            workflow=validate.text(workflow or "", "workflow"),
        )
        if created_after is not None:
            request.created_after.FromDatetime(created_after.astimezone(UTC))
        if created_before is not None:
            request.created_before.FromDatetime(created_before.astimezone(UTC))
        method = self._transport.runs.ListRuns
        async for run in listed(self._transport, method, request, "runs", limit):
            yield convert.run_info(run)

    # Hooks

    async def resume_hook(
        self,
        token: str,
        payload: Any = None,
        *,
        payload_id: str | None = None,
        wait: Seconds | None = None,
    ) -> models.ResumeResult:
        """Delivers a payload to the hook that has this token.

        Args:
            token: The token.
            payload: Any value.
            payload_id: The id of this delivery: delivered again with it, the
                payload arrives once. A new one is made when None, which covers
                the retries of this one call.
            wait: Wait at most so long for a hook that has the token.

        Raises:
            HookNotFoundError: No active hook has the token.
            IdReusedError: The payload id was used before, with another payload.
        """
        chosen = payload_id_or_new(payload_id)
        request = hook_service_pb2.ResumeHookRequest(
            project=self.project,
            token=validate.token(token),
            payload_id=chosen,
            payload=encode(payload, "payload"),
        )

        def message(left: float) -> hook_service_pb2.ResumeHookRequest:
            if wait is not None:
                request.wait.CopyFrom(duration(left, "wait"))
            return request

        response = await self._transport.call_for_hook(
            self._transport.hooks.ResumeHook, message, wait=seconds(wait or 0, "wait")
        )
        return models.ResumeResult(
            run_id=response.run_id,
            hook_id=response.hook_id,
            payload_id=chosen,
            payload_seq=response.payload_seq,
            duplicate=response.duplicate,
        )

    async def get_hook_by_token(self, token: str, *, wait: Seconds | None = None) -> Hook:
        """Gives the hook that holds this token: an active one, or one that is held.

        Args:
            token: The token.
            wait: Wait at most so long for a hook that has the token.

        Raises:
            HookNotFoundError: No hook holds the token.
        """
        request = hook_service_pb2.GetHookRequest(project=self.project, token=validate.token(token))

        def message(left: float) -> hook_service_pb2.GetHookRequest:
            if wait is not None:
                request.wait.CopyFrom(duration(left, "wait"))
            return request

        response = await self._transport.call_for_hook(
            self._transport.hooks.GetHook, message, wait=seconds(wait or 0, "wait")
        )
        run = Run(self._transport, response.hook.run_id)
        return hook_of(self._transport, run, response.hook)

    async def list_hooks(
        self, *, token_prefix: str | None = None, limit: int | None = None
    ) -> AsyncIterator[models.HookInfo]:
        """Gives the hooks of the project that hold a token, by their tokens.

        They come without their metadata. For all hooks of a run there is
        ``run.hooks()``.

        Args:
            token_prefix: Only hooks whose token begins so.
            limit: At most so many hooks.
        """
        request = hook_service_pb2.ListHooksRequest(
            project=self.project, token_prefix=validate.text(token_prefix or "", "token_prefix")
        )
        method = self._transport.hooks.ListHooks
        async for hook in listed(self._transport, method, request, "hooks", limit):
            yield convert.hook_info(hook)

    async def create_hooks(self, claims: Iterable[HookClaim]) -> list[Hook | HookdError]:
        """Creates many hooks, of one or of many runs, with few calls.

        Returns:
            For each claim, in the same order, the hook, or the error that
            ``run.create_hook`` would raise. None hinders another.
        """
        return await claiming.create_hooks(self._transport, claims)

    def claim_stream(self) -> claiming.ClaimStream:
        """Creates hooks for volume, in an ``async with``.

        ``submit`` sends a batch without waiting for the one before, and gives
        what to await for its results.
        """
        return claiming.ClaimStream(self._transport)

    # The daemon

    async def stats(self, *, all_projects: bool = False) -> models.Stats:
        """Tells how the daemon stands.

        Args:
            all_projects: Count the runs and tokens of all projects, not of
                this one only.
        """
        response = await self._transport.call(
            self._transport.admin.GetStats,
            admin_service_pb2.GetStatsRequest(project="" if all_projects else self.project),
        )
        return convert.stats(response)

    async def backup(
        self, name: str | None = None, *, timeout: Seconds = _A_DAY
    ) -> models.BackupResult:
        """Writes a consistent copy of the data directory, on the daemon's machine.

        Args:
            name: The name of the new directory; made from the time when None.
            timeout: How long it may take.
        """
        response = await self._transport.call(
            self._transport.admin.Backup,
            admin_service_pb2.BackupRequest(name=validate.text(name or "", "name")),
            timeout=seconds(timeout, "timeout"),
            retry=False,
        )
        return models.BackupResult(response.path, response.bytes)

    async def compact(self, *, timeout: Seconds = _A_DAY) -> models.CompactResult:
        """Compacts the store, while calls go on.

        Args:
            timeout: How long it may take.
        """
        response = await self._transport.call(
            self._transport.admin.Compact,
            admin_service_pb2.CompactRequest(),
            timeout=seconds(timeout, "timeout"),
            retry=False,
        )
        return models.CompactResult(response.bytes_before, response.bytes_after)

    async def list_queues(self) -> list[models.QueueInfo]:
        """Lists what waits for workers, and who serves it."""
        response = await self._transport.call(
            self._transport.workers.ListQueues,
            worker_service_pb2.ListQueuesRequest(project=self.project),
        )
        return [convert.queue_info(queue) for queue in response.queues]


def _several(
    status: RunStatus | str | Iterable[RunStatus | str],
) -> Iterable[RunStatus | str]:
    return (status,) if isinstance(status, str) else status


def _wire_status(word: RunStatus | str) -> common_pb2.RunStatus.ValueType:
    try:
        return convert.RUN_STATUS_TO_WIRE[RunStatus(word)]
    except (ValueError, KeyError):
        words = ", ".join(f'"{status}"' for status in convert.RUN_STATUS_TO_WIRE)
        raise InvalidArgumentError.of("status", f"must be one of {words}, not {word!r}") from None
