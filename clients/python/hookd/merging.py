"""Sends hooks that are created at the same time in one call.

A call costs the daemon and the client far more than a claim. So while some
calls are on their way, the claims that come gather, and go together in the
next; a claim that comes alone goes alone, at once.
"""

from __future__ import annotations

import asyncio
import copy
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hookd.batches import batches, check_count
from hookd.errors import ClientClosedError, DeadlineExceededError, HookdError
from hookd.status import error_from_item
from hookd.tracing import trace_metadata
from hookd.v1 import hook_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookd.transport import Transport

# One is on its way while the daemon answers the other.
_MOST_CALLS = 2
# So much later than its call a claim says itself that there was no answer.
_GRACE = 0.5


@dataclass(slots=True)
class _Waiting:
    claim: pb.HookClaim
    disposable: bool
    deadline: float
    answer: asyncio.Future[pb.ClaimedHook]


class ClaimMerger:
    """Creates hooks, those of one moment together."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._waiting: list[_Waiting] = []
        self._calls = 0

    async def create(self, claim: pb.HookClaim, *, disposable: bool) -> pb.ClaimedHook:
        """Creates one hook.

        Args:
            claim: The hook, with its id.
            disposable: Nobody but this call knows the hook's id: when the call
                is cancelled and the hook was created all the same, it is
                disposed, or its token would be lost until its run ends.

        Raises:
            HookdError: What the daemon said about this hook.
        """
        answer: asyncio.Future[pb.ClaimedHook] = asyncio.get_running_loop().create_future()
        timeout = self._transport.timeout
        waiting = _Waiting(claim, disposable, time.monotonic() + timeout, answer)
        if trace_metadata():
            # It is traced: its context is for itself.
            self._transport.spawn(self._send([waiting]))
        else:
            self._waiting.append(waiting)
            if self._calls < _MOST_CALLS:
                self._calls += 1
                self._transport.spawn(self._work())
        # It may have to wait for calls that wait for the daemon themselves.
        try:
            async with asyncio.timeout(timeout + _GRACE):
                return await answer
        except asyncio.CancelledError:
            if answer.done() and not answer.cancelled() and not answer.exception():
                # The answer and the cancellation came at the same time.
                self._give(waiting, answer.result())
            raise
        except TimeoutError as error:
            if isinstance(error, HookdError):
                raise
            raise DeadlineExceededError(f"No answer within {timeout:g} s") from None

    async def _work(self) -> None:
        """Sends what has gathered until nothing is left."""
        try:
            while self._waiting:
                # Whoever gave up before its claim was sent has claimed nothing.
                ready = [item for item in self._waiting if not item.answer.done()]
                batch = next(batches(ready, lambda item: item.claim.ByteSize()), [])
                self._waiting = ready[len(batch) :]
                await self._send(batch)
        finally:
            self._calls -= 1
            if self._transport.closed:
                _give_up(self._waiting)
                self._waiting.clear()

    async def _send(self, batch: Sequence[_Waiting]) -> None:
        try:
            if len(batch) == 1:
                await self._send_one(batch[0])
            elif batch:
                await self._send_many(batch)
        except HookdError as error:
            for item in batch:
                if not item.answer.done():
                    # One object for all would collect the traces of all.
                    item.answer.set_exception(copy.copy(error))
        except asyncio.CancelledError:
            _give_up(batch)
            raise

    async def _send_one(self, item: _Waiting) -> None:
        response = await self._transport.call(
            self._transport.hooks.CreateHook,
            pb.CreateHookRequest(
                project=self._transport.project, run_id=item.claim.run_id, hook=item.claim.hook
            ),
            timeout=item.deadline - time.monotonic(),
        )
        hook = response.hook
        self._give(
            item,
            pb.ClaimedHook(hook_id=hook.hook_id, token=hook.token, revision=hook.revision),
        )

    async def _send_many(self, batch: Sequence[_Waiting]) -> None:
        response = await self._transport.call(
            self._transport.hooks.CreateHooks,
            pb.CreateHooksRequest(
                project=self._transport.project, hooks=[item.claim for item in batch]
            ),
            timeout=max(item.deadline for item in batch) - time.monotonic(),
        )
        check_count(batch, response.results)
        for item, result in zip(batch, response.results, strict=True):
            if not result.HasField("error"):
                self._give(item, result.claimed)
            elif not item.answer.done():
                item.answer.set_exception(error_from_item(result.error))

    def _give(self, item: _Waiting, claimed: pb.ClaimedHook) -> None:
        if not item.answer.done():
            item.answer.set_result(claimed)
        elif item.disposable:
            self._transport.spawn(self._dispose(item.claim.run_id, claimed.hook_id))

    async def _dispose(self, run_id: str, hook_id: str) -> None:
        # An error says that its run has ended, or that nobody is there: then
        # there is nothing to save.
        with suppress(HookdError):
            await self._transport.call(
                self._transport.hooks.DisposeHook,
                pb.DisposeHookRequest(
                    project=self._transport.project,
                    ref=pb.HookRef(run_id=run_id, hook_id=hook_id),
                ),
            )


def _give_up(batch: Sequence[_Waiting]) -> None:
    for item in batch:
        if not item.answer.done():
            item.answer.set_exception(ClientClosedError("The client was closed"))
