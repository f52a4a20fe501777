"""The handle of a run."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

from hookd import convert, validate
from hookd import streams as run_streams
from hookd.durations import Seconds, seconds
from hookd.ending import ending_error, run_ended
from hookd.errors import HookdError
from hookd.follow import Follower
from hookd.hook import Hook
from hookd.ids import new_id
from hookd.models import HookSpec, WebhookSpec
from hookd.paging import listed
from hookd.payload import decode, encode
from hookd.requests import hook_spec
from hookd.v1 import common_pb2, hook_service_pb2
from hookd.v1 import run_service_pb2 as pb
from hookd.webhook import Webhook

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from datetime import datetime

    from hookd.client import Client
    from hookd.enums import RunStatus
    from hookd.models import Chunk, Event, HookInfo, RunInfo, StartInfo, StreamInfo, WaitInfo
    from hookd.transport import Transport
    from hookd.verify import Verification
    from hookd.webhook_response import RespondWith
    from hookd.workflows.values import CallSignature

_PAGE = 500
_MAX_FAILURE_TEXT = 16 * 1024
_LAST_EVENTS = ("run_completed", "run_failed", "run_cancelled")


class Run:
    """One execution of a workflow, wherever it is executed.

    A handle is a name and a connection: making one asks nothing, and its
    methods tell when there is no such run. What drives the run (creating
    hooks, completing it, writing) works on every handle.
    """

    def __init__(self, transport: Transport, run_id: str) -> None:
        self._transport = transport
        self._run_id = validate.name(run_id, "run_id")
        self._started: StartInfo | None = None
        self._signature: CallSignature | None = None
        self._writers: dict[str, run_streams.StreamWriter] = {}

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self._run_id

    @property
    def client(self) -> Client:
        """The client that the handle is of."""
        from hookd.client import Client  # noqa: PLC0415 - clients give handles of runs

        return Client(self._transport)

    @property
    def project(self) -> str:
        """The project of the run."""
        return self._transport.project

    @property
    def started(self) -> StartInfo | None:
        """What the ``start`` that gave this handle did; None for other handles."""
        return self._started

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Run):
            return NotImplemented
        return (self.project, self.run_id) == (other.project, other.run_id)

    def __hash__(self) -> int:
        return hash((self.project, self.run_id))

    def __repr__(self) -> str:
        return f"<Run run_id={self._run_id!r} project={self.project!r}>"

    # How it stands

    async def info(self) -> RunInfo:
        """Asks how the run stands.

        Raises:
            RunNotFoundError: There is no such run.
        """
        response = await self._transport.call(
            self._transport.runs.GetRun,
            pb.GetRunRequest(project=self.project, run_id=self._run_id),
        )
        return convert.run_info(response.run)

    async def status(self) -> RunStatus:
        """Asks where the run stands."""
        return (await self.info()).status

    async def waits(self) -> list[WaitInfo]:
        """Asks what the run waits for; nothing when it has ended.

        Raises:
            RunNotFoundError: There is no such run.
        """
        response = await self._transport.call(
            self._transport.runs.GetRun,
            pb.GetRunRequest(project=self.project, run_id=self._run_id, with_waits=True),
        )
        return [convert.wait_info(wait) for wait in response.waits]

    async def return_value(self, timeout: Seconds | None = None) -> Any:
        """Waits until the run has ended and gives what it completed with.

        The handle that ``start`` gave for a ``@workflow`` gives it as the
        annotation says, all others as plain JSON values. A daemon that cannot
        be reached is waited for, too.

        Args:
            timeout: How long to wait at most; without it, as long as it takes.

        Raises:
            RunFailedError: The run failed.
            RunCancelledError: The run was cancelled.
            DeadlineExceededError: The run has not ended within ``timeout``.
            RunNotFoundError: There is no such run.
            InvalidArgumentError: What it completed with does not fit the annotation.
        """
        run = await run_ended(
            self._transport,
            self._run_id,
            None if timeout is None else seconds(timeout, "timeout"),
        )
        if (error := ending_error(run)) is not None:
            raise error
        if self._signature is not None:
            return self._signature.decode_result(run.output)
        return decode(run.output) if run.HasField("output") else None

    async def events(self, after: int = 0) -> AsyncIterator[Event]:
        """Gives the run's log as far as it goes now.

        Args:
            after: Begin after the event with this ``seq``.
        """
        after = validate.position(after, "after")
        while True:
            response = await self._transport.call(
                self._transport.runs.ListEvents,
                pb.ListEventsRequest(
                    project=self.project, run_id=self._run_id, after_seq=after, page_size=_PAGE
                ),
            )
            for event in response.events:
                after = event.seq
                yield convert.event(event)
            if not response.events or after >= response.last_seq:
                return

    async def watch(self, after: int = 0) -> AsyncIterator[Event]:
        """Gives the run's log as it grows, and ends after the event that ends the run.

        Args:
            after: Begin after the event with this ``seq``.
        """
        position = validate.position(after, "after")

        def request() -> pb.WatchRunRequest:
            return pb.WatchRunRequest(project=self.project, run_id=self._run_id, after_seq=position)

        follower = Follower(self._transport, self._transport.runs.WatchRun, request)
        try:
            came = ended = False
            while True:
                message = await follower.read()
                if message is None:
                    if ended or not came:
                        return
                    # It ended too early: a log that was begun has an end.
                    await follower.reopen()
                    continue
                came = True
                position = message.event.seq
                ended = message.event.WhichOneof("data") in _LAST_EVENTS
                yield convert.event(message.event)
        finally:
            follower.close()

    # Its end

    async def cancel(self, reason: str = "") -> None:
        """Cancels the run; its tokens are free when this returns.

        Succeeds also when the run was cancelled before.

        Raises:
            RunNotActiveError: It completed or failed before.
        """
        await self._transport.call(
            self._transport.runs.CancelRun,
            pb.CancelRunRequest(
                project=self.project,
                run_id=self._run_id,
                reason=validate.text(reason, "reason"),
            ),
        )

    async def complete(self, value: Any = None) -> None:
        """Ends the run with an output; its tokens are free when this returns.

        Raises:
            RunNotActiveError: It has ended before.
        """
        await self._transport.call(
            self._transport.runs.CompleteRun,
            pb.CompleteRunRequest(
                project=self.project, run_id=self._run_id, output=encode(value, "value")
            ),
        )

    async def fail(
        self,
        error: BaseException | str,
        *,
        type: str | None = None,
        details: Any = None,
    ) -> None:
        """Ends the run with an error; its tokens are free when this returns.

        Args:
            error: What happened: an exception, or a message.
            type: The kind of error, for programs; the exception's class, or "Error".
            details: Any value that says more.

        Raises:
            RunNotActiveError: It has ended before.
        """
        if isinstance(error, BaseException):
            kind = builtins.type(error).__name__
            # Whatever an exception says must not hinder that the run ends.
            message = str(error)[:_MAX_FAILURE_TEXT].encode(errors="replace").decode()
        else:
            kind, message = "Error", validate.text(error, "error")
        failure = common_pb2.Failure(
            type=kind if type is None else validate.name(type, "type"), message=message
        )
        if details is not None:
            failure.details.CopyFrom(encode(details, "details"))
        await self._transport.call(
            self._transport.runs.FailRun,
            pb.FailRunRequest(project=self.project, run_id=self._run_id, failure=failure),
        )

    async def keep_alive(self) -> datetime:
        """Renews the lease of the run; gives when it lapses now."""
        response = await self._transport.call(
            self._transport.runs.KeepAlive,
            pb.KeepAliveRequest(project=self.project, run_id=self._run_id),
        )
        return convert.timestamp(response.lease_expires_at)

    # Its hooks

    async def create_hook(
        self,
        token: str | None = None,
        *,
        hook_id: str | None = None,
        metadata: Any = None,
        ttl: Seconds | None = None,
        hold_after: Seconds | None = None,
    ) -> Hook:
        """Creates a hook: claims its token for this run.

        Args:
            token: Any text; the daemon makes one that nobody guesses when None.
            hook_id: The name of the hook in its run: creating it again gives
                the same hook. A new one is made when None.
            metadata: Any value, for whoever looks the hook up.
            ttl: The hook disposes itself after this time.
            hold_after: The token stays taken for this long after the run's end.

        Raises:
            HookConflictError: The token belongs to another hook.
            RunNotActiveError: This run has ended.
            RunNotFoundError: There is no such run.
        """
        spec = hook_spec(
            HookSpec(token, hook_id, metadata, ttl, hold_after), hook_id=new_id("hook")
        )
        claimed = await self._transport.merger.create(
            hook_service_pb2.HookClaim(run_id=self._run_id, hook=spec),
            disposable=hook_id is None,
        )
        return Hook(
            self._transport,
            self,
            hook_id=claimed.hook_id,
            token=claimed.token,
            metadata=decode(spec.metadata) if spec.HasField("metadata") else None,
            revision=claimed.revision,
        )

    async def create_webhook(
        self,
        token: str | None = None,
        *,
        respond_with: RespondWith = None,
        verify: Verification | None = None,
        hook_id: str | None = None,
        metadata: Any = None,
        ttl: Seconds | None = None,
        hold_after: Seconds | None = None,
    ) -> Webhook:
        """Creates a hook that HTTP requests to its ``url`` resume.

        Args:
            token: Any text: the URL is made of it, and is the same each time.
                The daemon makes one that nobody guesses when None.
            respond_with: What a sender is answered: 202 and nothing else when
                None, what a ``WebhookResponse`` says, or what the run says to
                each request ("manual", or a ``Manual``).
            verify: Refuse requests that are not signed so; made by
                ``hookd.verify``.
            hook_id: The name of the hook in its run, as for ``create_hook``.
            metadata: Any value, for whoever looks the hook up.
            ttl: The hook disposes itself after this time.
            hold_after: The token stays taken for this long after the run's end.

        Raises:
            HookConflictError: The token belongs to another hook.
            RunNotActiveError: This run has ended.
            RunNotFoundError: There is no such run.
            HookdError: The daemon serves no HTTP.
        """
        spec = hook_spec(
            WebhookSpec(token, hook_id, metadata, ttl, hold_after, respond_with, verify),
            hook_id=new_id("hook"),
        )
        claimed = await self._transport.merger.create(
            hook_service_pb2.HookClaim(run_id=self._run_id, hook=spec),
            disposable=hook_id is None,
        )
        webhook = Webhook(
            self._transport,
            self,
            hook_id=claimed.hook_id,
            token=claimed.token,
            metadata=decode(spec.metadata) if spec.HasField("metadata") else None,
            revision=claimed.revision,
            url=claimed.url if isinstance(claimed, common_pb2.Hook) else "",
            webhook=spec.webhook,
        )
        if not webhook.url:
            await webhook.dispose()
            raise HookdError(
                "The daemon serves no HTTP, so a webhook has no URL: it was started with --http="
            )
        return webhook

    async def hook(self, hook_id: str) -> Hook:
        """Gives one of the run's hooks, whatever its status.

        Raises:
            HookNotFoundError: The run has no such hook.
        """
        response = await self._transport.call(
            self._transport.hooks.GetHook,
            hook_service_pb2.GetHookRequest(
                project=self.project,
                ref=hook_service_pb2.HookRef(
                    run_id=self._run_id, hook_id=validate.name(hook_id, "hook_id")
                ),
            ),
        )
        return self._hook_of(response.hook)

    async def hooks(self) -> AsyncIterator[HookInfo]:
        """Gives how all hooks of the run stand, whatever their status."""
        request = hook_service_pb2.ListHooksRequest(project=self.project, run_id=self._run_id)
        method = self._transport.hooks.ListHooks
        async for hook in listed(self._transport, method, request, "hooks"):
            yield convert.hook_info(hook)

    def _hook_of(self, wire: common_pb2.Hook) -> Hook:
        return hook_of(self._transport, self, wire)

    # Its streams

    async def write(self, *chunks: Any, namespace: str | None = None) -> int:
        """Appends chunks to a stream of the run, in this order and once.

        Args:
            *chunks: Any values.
            namespace: Which stream; the default one when None.

        Returns:
            The index of the first chunk.

        Raises:
            RunNotActiveError: The run has ended.
        """
        name = validate.text(namespace or "", "namespace")
        writer = self._writers.get(name)
        if writer is None:
            writer = run_streams.StreamWriter(self._transport, self._run_id, name)
            self._writers[name] = writer
        return await writer.write(chunks)

    async def close_stream(self, namespace: str | None = None) -> None:
        """Says that no more chunks will come in a stream of the run."""
        name = validate.text(namespace or "", "namespace")
        await run_streams.close_stream(self._transport, self._run_id, name)

    def readable(
        self, namespace: str | None = None, start_index: int = 0, *, wait: bool = True
    ) -> AsyncIterator[Any]:
        """Gives the values of a stream, each once, until it is closed or the run has ended.

        Args:
            namespace: Which stream; the default one when None.
            start_index: Where to begin; a negative index counts from the end
                as it is now: -1 is the last chunk.
            wait: False to end at what is there now.
        """
        return run_streams.values_of(self._chunks(namespace, start_index, wait=wait))

    def chunks(
        self, namespace: str | None = None, start_index: int = 0, *, wait: bool = True
    ) -> AsyncIterator[Chunk]:
        """Gives the chunks of a stream with their indices, like ``readable``."""
        return self._chunks(namespace, start_index, wait=wait)

    def _chunks(
        self, namespace: str | None, start_index: int, *, wait: bool
    ) -> AsyncGenerator[Chunk]:
        name = validate.text(namespace or "", "namespace")
        start = validate.whole(start_index, "start_index")
        return run_streams.read_chunks(self._transport, self._run_id, name, start, wait=wait)

    async def streams(self) -> list[StreamInfo]:
        """Lists the streams of the run."""
        return await run_streams.list_streams(self._transport, self._run_id)


def note_start(run: Run, started: StartInfo, signature: CallSignature | None = None) -> None:
    """Keeps with a handle what the start did that gave it, and how to read the result."""
    run._started = started
    run._signature = signature


def hook_of(transport: Transport, run: Run, wire: common_pb2.Hook) -> Hook:
    """Gives the handle of a hook that the daemon told about."""
    facts: dict[str, Any] = {
        "hook_id": wire.hook_id,
        "token": wire.token,
        "metadata": decode(wire.metadata) if wire.HasField("metadata") else None,
        "revision": wire.revision,
        "url": wire.url,
    }
    if wire.HasField("webhook"):
        return Webhook(transport, run, webhook=wire.webhook, **facts)
    return Hook(transport, run, **facts)
