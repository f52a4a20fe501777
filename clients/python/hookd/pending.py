"""The claims on their way: what their callers wait for, and until when."""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING

from hookd.errors import DeadlineExceededError, HookdError
from hookd.v1 import common_pb2
from hookd.v1 import hook_service_pb2 as pb

if TYPE_CHECKING:
    from hookd.retry import Backoff

Claimed = pb.ClaimedHook | common_pb2.Hook
"""A hook that was created; the whole of it when the call was for it alone."""


class PendingClaim:
    """A claim and the future of its answer.

    Attributes:
        claim: The hook, with its id.
        disposable: Nobody but the caller's own call knows the hook's id.
        deadline: When the caller is told that there was no answer, in seconds
            of the event loop's clock.
        answer: What the daemon said about it, or why it said nothing.
        backoff: How long to wait before it is sent again; None when it was
            never sent in vain.
    """

    __slots__ = ("answer", "backoff", "claim", "deadline", "disposable")

    def __init__(
        self,
        claim: pb.HookClaim,
        *,
        disposable: bool,
        deadline: float,
        answer: asyncio.Future[Claimed],
    ) -> None:
        self.claim = claim
        self.disposable = disposable
        self.deadline = deadline
        self.answer = answer
        self.backoff: Backoff | None = None

    def won(self) -> bool:
        """Whether the daemon has said that the hook was created."""
        return (
            self.answer.done() and not self.answer.cancelled() and self.answer.exception() is None
        )

    def fail(self, error: BaseException) -> None:
        """Tells the caller of an error, unless it knows or does not wait any more."""
        if not self.answer.done():
            # One object for all of a group would collect the traces of all.
            self.answer.set_exception(copy.copy(error) if isinstance(error, HookdError) else error)


class PendingClaims:
    """All claims of a client that wait for an answer, each with its deadline.

    A claim may travel with others in a call that goes on for longer than it
    may itself, or wait for calls to come back. So the deadlines are kept here,
    and the calls' do not count. All claims are given the same time: the one
    that came first is the first to expire, and one timer serves for all.

    Args:
        timeout: The time that each is given, in seconds.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._claims: dict[PendingClaim, None] = {}  # A set that keeps the order.
        self._timer: asyncio.TimerHandle | None = None

    def add(self, claim: pb.HookClaim, *, disposable: bool) -> PendingClaim:
        """Begins to wait for the answer to a claim; ``remove`` ends it."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout
        pending = PendingClaim(
            claim, disposable=disposable, deadline=deadline, answer=loop.create_future()
        )
        self._claims[pending] = None
        if self._timer is None:
            self._timer = loop.call_at(deadline, self._expire)
        return pending

    def remove(self, pending: PendingClaim) -> None:
        """Notes that the caller does not wait any more."""
        # The timer stays: there are far more claims than times at which it fires.
        self._claims.pop(pending, None)

    def expired(self, pending: PendingClaim) -> None:
        """Tells a caller that its time has passed."""
        pending.fail(DeadlineExceededError(f"No answer within {self._timeout:g} s"))

    def close(self, error: HookdError) -> None:
        """Tells all callers of an error."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for pending in tuple(self._claims):
            pending.fail(error)

    def _expire(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        for pending in self._claims:
            if not pending.answer.done():
                if pending.deadline > loop.time():
                    self._timer = loop.call_at(pending.deadline, self._expire)
                    return
                self.expired(pending)
