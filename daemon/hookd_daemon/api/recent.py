"""The conflicts that happened lately, for people to look at.

The store has no list of conflicts: each stands in the log of the run that lost,
and that of a refused start nowhere. So the last ones are kept here, in memory,
and are gone after a restart.

Nothing is made of a conflict before somebody looks. The fast lane of claims
hands over bytes that it has anyway; they are read then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from hookd.v1.errors_pb2 import HookConflict
from hookd.v1.hook_service_pb2 import (
    ClaimStreamRequest,
    ClaimStreamResponse,
    CreateHooksRequest,
    CreateHooksResponse,
)

#: So many conflicts are kept.
MOST_CONFLICTS = 1_000
#: So many bytes of answers are kept until somebody looks.
MOST_BYTES = 4 * 1024 * 1024
#: What the message of every conflict has in it.
MARK = b" is already in use by another workflow"


@dataclass(frozen=True, slots=True)
class RecentConflict:
    """A claim that lost.

    Attributes:
        number: grows with each conflict, from 1.
        at_ms: when it lost, in milliseconds since 1970.
        loser: the run that wanted the token; of a start, the run that was not started.
        detail: what it was told.
        traceparent: the trace context of the call that lost; empty for none.
        owner_traceparent: that of the call that made the owner's claim; empty
            when it had none or it is not known.
    """

    number: int
    at_ms: int
    loser: str
    detail: HookConflict
    traceparent: str
    owner_traceparent: str


@dataclass(frozen=True, slots=True)
class _Single:
    at_ms: int
    loser: str
    detail: HookConflict
    traceparent: str
    owner_traceparent: str


@dataclass(frozen=True, slots=True)
class _Batch:
    at_ms: int
    request: bytes
    answer: bytes
    streamed: bool
    traceparent: str


class RecentConflicts:
    """Keeps the last conflicts.

    Attributes:
        changes: grows whenever there may be one more.
        waiting_bytes: bytes of batches that nobody has looked at.
    """

    __slots__ = ("_kept", "_last", "_waiting", "changes", "waiting_bytes")

    def __init__(self) -> None:
        self.changes = 0
        self._kept: deque[RecentConflict] = deque(maxlen=MOST_CONFLICTS)
        self._waiting: deque[_Single | _Batch] = deque()
        self.waiting_bytes = 0
        self._last = 0

    def note(
        self,
        at_ms: int,
        loser: str,
        detail: HookConflict,
        traceparent: str = "",
        owner_traceparent: str = "",
    ) -> None:
        """Notes a conflict; see ``RecentConflict``."""
        self._add(_Single(at_ms, loser, detail, traceparent, owner_traceparent))

    def note_batch(
        self, at_ms: int, request: bytes, answer: bytes, traceparent: str, *, streamed: bool
    ) -> None:
        """Notes the conflicts of a batch, if there are any.

        Args:
            at_ms: when it was answered.
            request: a ``CreateHooksRequest``, or a ``ClaimStreamRequest``.
            answer: the response to it.
            traceparent: the trace context of the call.
            streamed: it is one of a ``ClaimStream``.
        """
        if MARK in answer:
            self.waiting_bytes += len(request) + len(answer)
            self._add(_Batch(at_ms, request, answer, streamed, traceparent))

    def _add(self, item: _Single | _Batch) -> None:
        self.changes += 1
        waiting = self._waiting
        waiting.append(item)
        while len(waiting) > 1 and (
            self.waiting_bytes > MOST_BYTES or len(waiting) > MOST_CONFLICTS
        ):
            dropped = waiting.popleft()
            if isinstance(dropped, _Batch):
                self.waiting_bytes -= len(dropped.request) + len(dropped.answer)

    def newest_first(self) -> Iterator[RecentConflict]:
        """The conflicts that are kept, the last one first."""
        while self._waiting:
            item = self._waiting.popleft()
            if isinstance(item, _Single):
                self._keep(item)
            else:
                self.waiting_bytes -= len(item.request) + len(item.answer)
                for single in _conflicts_of(item):
                    self._keep(single)
        return reversed(self._kept)

    def _keep(self, one: _Single) -> None:
        self._last += 1
        self._kept.append(
            RecentConflict(
                self._last,
                one.at_ms,
                one.loser,
                one.detail,
                one.traceparent,
                one.owner_traceparent,
            )
        )


def _conflicts_of(batch: _Batch) -> Iterator[_Single]:
    request: CreateHooksRequest | ClaimStreamRequest
    answer: CreateHooksResponse | ClaimStreamResponse
    if batch.streamed:
        request = ClaimStreamRequest.FromString(batch.request)
        answer = ClaimStreamResponse.FromString(batch.answer)
    else:
        request = CreateHooksRequest.FromString(batch.request)
        answer = CreateHooksResponse.FromString(batch.answer)
    for claim, result in zip(request.hooks, answer.results, strict=True):
        if result.error.HasField("conflict"):
            yield _Single(batch.at_ms, claim.run_id, result.error.conflict, batch.traceparent, "")
