"""Sends hooks that are created at the same time in one call.

A call costs the daemon and the client far more than a claim. So while calls
are on their way, the claims that come gather, and go together in the next; a
claim that comes alone goes alone, at once. Nothing waits for others to come.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from hookd.batches import batches, check_count
from hookd.errors import ClientClosedError, DeadlineExceededError, HookdError, UnavailableError
from hookd.pending import PendingClaims
from hookd.retry import Backoff
from hookd.status import error_from_item, is_transient
from hookd.tracing import trace_metadata
from hookd.v1 import errors_pb2
from hookd.v1 import hook_service_pb2 as pb
from hookd.workflows.context import refuse_inside

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookd.pending import Claimed, PendingClaim
    from hookd.transport import Transport

# One is on its way while the daemon answers the other.
_MOST_CALLS = 2


class ClaimMerger:
    """Creates hooks, those of one moment together.

    Each claim keeps a deadline, an answer and an end of its own: whatever
    happens to the others of its group, it is told what it would have been
    told alone.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._pending = PendingClaims(transport.timeout)
        self._gathered: list[PendingClaim] = []
        self._senders = 0

    async def create(self, claim: pb.HookClaim, *, disposable: bool) -> Claimed:
        """Creates one hook.

        That of a webhook has a call of its own, and gives the whole hook: only
        there is its URL.

        Args:
            claim: The hook, with its id.
            disposable: Nobody but this call knows the hook's id: when the call
                is cancelled and the hook was created all the same, it is
                disposed, or its token would be lost until its run ends.

        Raises:
            HookdError: What the daemon said about this hook.
        """
        refuse_inside("a call of a client")
        pending = self._pending.add(claim, disposable=disposable)
        if trace_metadata() or claim.hook.HasField("webhook"):
            # Traced: its context is for itself.
            self._transport.spawn(self._send_alone(pending))
        else:
            self._gathered.append(pending)
            self._see_to_it()
        try:
            return await pending.answer
        except asyncio.CancelledError:
            if pending.won():
                # The answer and the cancellation came at the same time.
                self._give_back(pending)
            raise
        finally:
            self._pending.remove(pending)

    def close(self) -> None:
        """Tells everybody who waits that the client was closed."""
        self._gathered.clear()
        self._pending.close(ClientClosedError("The client was closed"))

    def _see_to_it(self) -> None:
        """Makes sure that what has gathered is sent when a call is free."""
        # A sender begins in the next turn of the loop: so what comes in this
        # turn goes with the first.
        if self._senders < _MOST_CALLS:
            self._senders += 1
            self._transport.spawn(self._keep_sending())

    async def _keep_sending(self) -> None:
        """Sends one group after the other until nothing is left."""
        try:
            while group := self._next_group():
                await self._send(group)
                # Those who were just answered, and claim again at once, go along.
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self._senders -= 1

    def _next_group(self) -> list[PendingClaim]:
        """Takes what goes into the next call from what has gathered."""
        ready = []
        for pending in self._gathered:
            if not pending.answer.done():
                ready.append(pending)
            elif pending.backoff is not None:
                self._give_back(pending)
            # Who gave up before the first attempt has claimed nothing.
        group = next(batches(ready, _size), [])
        self._gathered = ready[len(group) :]
        return group

    async def _send(self, group: Sequence[PendingClaim]) -> None:
        """Makes one call, and sees to it that each of the group has its answer some time."""
        try:
            if len(group) == 1:
                await self._create_one(group[0], retry=False)
            else:
                await self._create_many(group)
        except DeadlineExceededError:
            for pending in group:
                self._pending.expired(pending)
        except HookdError as error:
            if is_transient(error):
                self._put_aside(group, error)
            elif len(group) == 1:
                group[0].fail(error)
            else:
                # Refused as a whole, perhaps because of one of them.
                for pending in group:
                    if pending.answer.done():
                        self._give_back(pending)
                    else:
                        self._ask_alone(pending)
        except Exception as error:  # noqa: BLE001 - nobody may wait in vain
            for pending in group:
                pending.fail(error)

    def _put_aside(self, group: Sequence[PendingClaim], error: HookdError) -> None:
        """Lets a group that was not answered be sent again after a while.

        A claim that has not so much time left is told what happened. While the
        group waits, others may be sent.
        """
        loop = asyncio.get_running_loop()
        backoff = next((p.backoff for p in group if p.backoff is not None), None) or Backoff()
        delay = backoff.delay()
        again = []
        for pending in group:
            if pending.answer.done():
                if isinstance(error, UnavailableError):
                    self._give_back(pending)  # It may have been created.
            elif loop.time() + delay >= pending.deadline:
                pending.fail(error)
            else:
                pending.backoff = backoff
                again.append(pending)
        if again:
            loop.call_later(delay, self._take_up, again)

    def _take_up(self, group: Sequence[PendingClaim]) -> None:
        if not self._transport.closed:
            self._gathered[:0] = group
            self._see_to_it()

    def _ask_alone(self, pending: PendingClaim) -> None:
        if not pending.answer.done():
            self._transport.spawn(self._send_alone(pending))

    async def _send_alone(self, pending: PendingClaim) -> None:
        """Sends one claim in calls of its own until it is answered."""
        try:
            await self._create_one(pending, retry=True)
        except DeadlineExceededError:
            self._pending.expired(pending)
        except Exception as error:  # noqa: BLE001 - nobody may wait in vain
            pending.fail(error)

    async def _create_one(self, pending: PendingClaim, *, retry: bool) -> None:
        transport, claim = self._transport, pending.claim
        response = await transport.call(
            transport.hooks.CreateHook,
            pb.CreateHookRequest(project=transport.project, run_id=claim.run_id, hook=claim.hook),
            timeout=pending.deadline - asyncio.get_running_loop().time(),
            retry=retry,
        )
        self._give(pending, response.hook)

    async def _create_many(self, group: Sequence[PendingClaim]) -> None:
        transport = self._transport
        response = await transport.call(
            transport.hooks.CreateHooks,
            pb.CreateHooksRequest(
                project=transport.project, hooks=[pending.claim for pending in group]
            ),
            timeout=max(p.deadline for p in group) - asyncio.get_running_loop().time(),
            retry=False,
        )
        check_count(group, response.results)
        for pending, result in zip(group, response.results, strict=True):
            if not result.HasField("error"):
                self._give(pending, result.claimed)
            elif result.error.reason == errors_pb2.ERROR_REASON_INVALID_ARGUMENT:
                # It has claimed nothing, and the status of a call says more:
                # which field is wrong.
                self._ask_alone(pending)
            else:
                pending.fail(error_from_item(result.error))

    def _give(self, pending: PendingClaim, claimed: Claimed) -> None:
        if pending.answer.done():
            self._give_back(pending)
        else:
            pending.answer.set_result(claimed)

    def _give_back(self, pending: PendingClaim) -> None:
        """Disposes a hook that was, or may have been, created for nobody."""
        # So a call is not cancelled when all its callers are: without its
        # answer nobody knows what is to be given back.
        if pending.disposable and not self._transport.closed:
            self._transport.spawn(self._dispose(pending.claim))

    async def _dispose(self, claim: pb.HookClaim) -> None:
        # An error says that the hook is not there, that its run has ended, or
        # that nobody answers: then there is nothing to save.
        with suppress(HookdError):
            await self._transport.call(
                self._transport.hooks.DisposeHook,
                pb.DisposeHookRequest(
                    project=self._transport.project,
                    ref=pb.HookRef(run_id=claim.run_id, hook_id=claim.hook.hook_id),
                ),
            )


def _size(pending: PendingClaim) -> int:
    return pending.claim.ByteSize()
