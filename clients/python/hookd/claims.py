"""Claims many tokens at once: batches, and a stream of batches."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from grpc import StatusCode, aio

from hookd import validate
from hookd.batches import MAX_ITEMS, batches, check_count
from hookd.errors import ClientClosedError, HookdError, InvalidArgumentError
from hookd.hook import Hook
from hookd.ids import new_id
from hookd.models import HookClaim, WebhookSpec
from hookd.payload import decode
from hookd.requests import hook_spec
from hookd.retry import Backoff
from hookd.run import Run
from hookd.status import error_from_item, error_from_rpc, is_transient
from hookd.v1 import hook_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import TracebackType

    from hookd.transport import Transport

_Stream = aio.StreamStreamCall


@dataclass(slots=True)
class _Batch:
    """The claims of a batch that can be sent, and the errors of those that cannot."""

    batch_id: int
    claims: list[pb.HookClaim]
    refused: dict[int, HookdError]
    answer: asyncio.Future[list[Hook | HookdError]]


def _encode(claims: Iterable[HookClaim]) -> tuple[list[pb.HookClaim], dict[int, HookdError]]:
    """Makes messages of claims; one that is wrong does not hinder the others."""
    messages: list[pb.HookClaim] = []
    refused: dict[int, HookdError] = {}
    for at, claim in enumerate(claims):
        try:
            messages.append(_message(claim))
        except InvalidArgumentError as error:
            refused[at] = error
    return messages, refused


def _message(claim: HookClaim) -> pb.HookClaim:
    if not isinstance(claim, HookClaim):
        raise InvalidArgumentError.of(
            "claims", f"must hold HookClaim, not {type(claim).__qualname__}"
        )
    if isinstance(claim.hook, WebhookSpec):
        raise InvalidArgumentError.of(
            "hook", "must not be a WebhookSpec: the answer has no URLs, use run.create_webhook(…)"
        )
    return pb.HookClaim(
        run_id=validate.name(claim.run_id, "run_id"),
        hook=hook_spec(claim.hook, hook_id=new_id("hook"), field="hook."),
    )


def _decode(
    transport: Transport,
    sent: Sequence[pb.HookClaim],
    results: Sequence[pb.HookClaimResult],
) -> Iterator[Hook | HookdError]:
    check_count(sent, results)
    for claim, result in zip(sent, results, strict=True):
        if result.HasField("error"):
            yield error_from_item(result.error)
            continue
        spec = claim.hook
        yield Hook(
            transport,
            Run(transport, claim.run_id),
            hook_id=result.claimed.hook_id,
            token=result.claimed.token,
            metadata=decode(spec.metadata) if spec.HasField("metadata") else None,
            revision=result.claimed.revision,
        )


def _merge(
    good: Iterator[Hook | HookdError], refused: dict[int, HookdError]
) -> list[Hook | HookdError]:
    """Puts the refused claims back where they stood."""
    merged = list(good)
    for at in sorted(refused):
        merged.insert(at, refused[at])
    return merged


async def create_hooks(
    transport: Transport, claims: Iterable[HookClaim]
) -> list[Hook | HookdError]:
    """Creates many hooks; gives a hook or an error for each, in the same order."""
    messages, refused = _encode(claims)
    created: list[Hook | HookdError] = []
    for batch in batches(messages, pb.HookClaim.ByteSize):
        response = await transport.call(
            transport.hooks.CreateHooks,
            pb.CreateHooksRequest(project=transport.project, hooks=batch),
        )
        created.extend(_decode(transport, batch, response.results))
    return _merge(iter(created), refused)


class ClaimStream:
    """A pipeline of batches of claims: send without waiting, get a result for each.

    Leaving the block waits for the results that are still to come. When the
    connection is lost, the batches without a result are sent again; the ids
    of their hooks make that safe.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._waiting: deque[_Batch] = deque()
        self._unsent = 0  # How many of those, from the right, this connection has not seen.
        self._more = asyncio.Event()
        self._last_id = 0
        self._worker: asyncio.Task[None] | None = None
        self._failed: HookdError | None = None

    async def __aenter__(self) -> Self:
        self._worker = asyncio.ensure_future(self._work())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None and self._waiting:
                await asyncio.wait([batch.answer for batch in self._waiting])
        finally:
            self._failed = self._failed or ClientClosedError("The claim stream was left")
            if self._worker is not None:
                self._worker.cancel()
                await asyncio.wait([self._worker])
            for batch in self._waiting:
                batch.answer.cancel()

    def submit(self, claims: Iterable[HookClaim]) -> asyncio.Future[list[Hook | HookdError]]:
        """Sends a batch of at most 1024 claims.

        Returns:
            What gives a hook or an error for each claim, in the same order,
            when it is awaited.

        Raises:
            InvalidArgumentError: The batch is too large.
            HookdError: The stream was refused by the daemon, or left.
        """
        if self._worker is None:
            raise RuntimeError("a claim stream is used inside its `async with`")
        if self._failed is not None:
            raise self._failed
        messages, refused = _encode(claims)
        if len(messages) > MAX_ITEMS:
            raise InvalidArgumentError.of(
                "claims", f"must be at most {MAX_ITEMS}, are {len(messages)}"
            )
        answer = asyncio.get_running_loop().create_future()
        if not messages:
            answer.set_result(_merge(iter(()), refused))
            return answer
        self._last_id += 1
        self._waiting.append(_Batch(self._last_id, messages, refused, answer))
        self._unsent += 1
        self._more.set()
        return answer

    async def _work(self) -> None:
        """Keeps a connection while there is something to send, until the daemon says no."""
        try:
            await self._keep_sending()
        except HookdError as error:
            self._fail(error)
        except asyncio.CancelledError:
            if self._transport.closed:
                self._fail(ClientClosedError("The client was closed"))
            raise
        except Exception as error:
            # Nobody may wait for ever, whatever happened.
            self._fail(HookdError(f"The claim stream broke: {error!r}", reason="INTERNAL"))
            raise

    async def _keep_sending(self) -> None:
        backoff = Backoff()
        while True:
            if not self._waiting:
                await self._more.wait()
            before = self._last_answered()
            try:
                await self._converse()
            except aio.AioRpcError as rpc:
                error = error_from_rpc(rpc, self._transport.address)
                if rpc.code() is StatusCode.INTERNAL:
                    await self._send_first_alone()
                elif not is_transient(error):
                    raise error from None
            except aio.UsageError:
                self._transport.raise_if_closed()
                raise
            if self._last_answered() != before:
                backoff.reset()
            await backoff.wait()

    async def _send_first_alone(self) -> None:
        """Sends the first batch in a call of its own.

        When the daemon ends a stream while something is written to it, gRPC
        keeps the daemon's status to itself and says INTERNAL. A call tells
        what the matter is, and if nothing is, the batch is done.
        """
        if not self._waiting:
            return
        batch = self._waiting[0]
        try:
            response = await self._transport.call(
                self._transport.hooks.CreateHooks,
                pb.CreateHooksRequest(project=self._transport.project, hooks=batch.claims),
            )
        except HookdError as error:
            if not is_transient(error):
                raise
        else:
            self._answer(pb.ClaimStreamResponse(batch_id=batch.batch_id, results=response.results))

    def _last_answered(self) -> int:
        return self._waiting[0].batch_id if self._waiting else self._last_id + 1

    async def _converse(self) -> None:
        """Sends what waits, and what comes, and takes the answers, on one connection."""
        self._unsent = len(self._waiting)
        call = self._transport.hooks.ClaimStream(metadata=self._transport.metadata())
        sender = asyncio.ensure_future(self._send(call))
        try:
            while True:
                response = await call.read()
                if response is aio.EOF or not isinstance(response, pb.ClaimStreamResponse):
                    return
                self._answer(response)
        finally:
            sender.cancel()
            call.cancel()
            await asyncio.wait([sender])
            if not sender.cancelled():
                sender.exception()  # The reader meets the same error and tells.

    async def _send(self, call: _Stream[pb.ClaimStreamRequest, pb.ClaimStreamResponse]) -> None:
        while True:
            while self._unsent:
                batch = self._waiting[-self._unsent]
                self._unsent -= 1
                await call.write(
                    pb.ClaimStreamRequest(
                        batch_id=batch.batch_id,
                        project=self._transport.project,
                        hooks=batch.claims,
                    )
                )
            self._more.clear()
            await self._more.wait()

    def _answer(self, response: pb.ClaimStreamResponse) -> None:
        # Answers come in the order of the batches. One that is not awaited any
        # more has its turn all the same.
        if not self._waiting or self._waiting[0].batch_id != response.batch_id:
            return
        batch = self._waiting.popleft()
        if batch.answer.done():
            return
        good = _decode(self._transport, batch.claims, response.results)
        try:
            batch.answer.set_result(_merge(good, batch.refused))
        except HookdError as error:
            batch.answer.set_exception(error)

    def _fail(self, error: HookdError) -> None:
        self._failed = error
        while self._waiting:
            batch = self._waiting.popleft()
            if not batch.answer.done():
                batch.answer.set_exception(error)
