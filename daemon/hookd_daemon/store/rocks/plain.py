"""Plain claims: gathered until the flusher is free, then made in one go.

A claim of an id and a token for a run at work needs no transaction function:
``_native.PlainClaims`` reads, decides, writes and answers a whole group of
such requests. What is not plain is handed back, and has had no effect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING, cast

from rocksdict import WriteBatch

from hookd_daemon import _native
from hookd_daemon.errors import StoreUnavailableError
from hookd_daemon.store import keys
from hookd_daemon.store.rocks.tx import REVISION_BLOCK
from hookd_daemon.store.tx import Tally, Topic

if TYPE_CHECKING:
    from hookd_daemon.store.rocks.store import RocksStore

#: The bytes of an answer; of a single claim that was lost the run that lost,
#: the detail of the conflict and the owner's trace context; None when the
#: request is not plain.
Answer = bytes | tuple[str, bytes, str] | None


#: The kind, the bytes, the trace context and the project that it must have.
Request = tuple[int, bytes, str, str]

#: The least bytes of a claim in a batch, and the most claims of a batch.
LEAST_CLAIM_BYTES = 12
MOST_CLAIMS = 1024


class Kind(IntEnum):
    """Which request it is."""

    ONE = 0
    BATCH = 1
    STREAM = 2


#: Bytes that are no request.
NOT_PLAIN: Request = (Kind.ONE, b"", "", "")


class PlainClaims:
    """Makes plain claims on a store.

    Args:
        store: the engine.
        now_ms: the time, in milliseconds since 1970.
        booted_ms: since when the daemon runs.
        max_token_bytes: the longest token that is allowed.
        log_topic: names the topic of the log of a run, by its uid.
        token_topic: names the topic of a token, by its project and itself.
        max_claims: how many tokens a project may have taken; 0 for any number.
    """

    def __init__(
        self,
        store: RocksStore,
        *,
        now_ms: Callable[[], int],
        booted_ms: int,
        max_token_bytes: int,
        log_topic: Callable[[int], Topic],
        token_topic: Callable[[str, str], Topic],
        max_claims: Callable[[str], int],
    ) -> None:
        self._store = store
        self._now_ms = now_ms
        self._booted_ms = booted_ms
        self._native = _native.PlainClaims(store.index, max_token_bytes)
        self._log_topic = log_topic
        self._token_topic = token_topic
        self._max_claims = max_claims
        self._loop = asyncio.get_running_loop()
        self._requests: list[Request] = []
        self._futures: list[asyncio.Future[Answer]] = []
        store.flusher.prepare = self.carry_out

    def claim(
        self, kind: Kind, request: bytes, traceparent: str, project: str
    ) -> asyncio.Future[Answer]:
        """Makes the claims of a request if they are plain.

        Args:
            kind: which message of the API the request is.
            request: its bytes.
            traceparent: the W3C trace context of the call; empty for none.
            project: a request for another one is not plain.

        Returns:
            What gives the answer when all it rests on is on disk.

        Raises (through the future, too):
            StoreUnavailableError: the store cannot be written or is closed.
        """
        self._store.raise_if_closed()
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._requests.append((kind, request, traceparent, project))
        self._futures.append(future)
        if kind is not Kind.ONE:
            self.carry_out()
        # Single ones wait until the flusher is free: more will come by then,
        # and share the work.
        self._store.flusher.join()
        return future

    def carry_out(self) -> None:
        """Makes the claims that were gathered; their answers wait for the next flush."""
        if not self._requests:
            return
        requests, self._requests = self._requests, []
        futures, self._futures = self._futures, []
        store = self._store
        try:
            store.raise_if_closed()
        except StoreUnavailableError as error:
            answer_all(futures, error)
            return
        try:
            answers = self._make(self._within_limits(requests))
        except Exception as error:  # noqa: BLE001 - whatever it is, memory is ahead of the disk
            store.fail(error)
            answer_all(futures, StoreUnavailableError("the store cannot be written"))
            return
        store.flusher.after(_Answering(futures, answers))

    def _within_limits(self, requests: list[Request]) -> list[Request]:
        """The requests, without the claims of those that might be too many for their project.

        What has no claims is not plain. So it goes the usual way, where each
        claim is held against the limit.
        """
        room: dict[str, int | None] = {}
        plain = []
        for request in requests:
            kind, data, _, project = request
            fits = True
            if project not in room:
                most = self._max_claims(project)
                room[project] = most - self._store.index.count(project) if most else None
            left = room[project]
            if left is not None:
                claims = 1 if kind is Kind.ONE else min(len(data) // LEAST_CLAIM_BYTES, MOST_CLAIMS)
                fits = claims <= left
                if fits:
                    room[project] = left - claims
            plain.append(request if fits else NOT_PLAIN)
        return plain

    def _make(self, requests: list[Request]) -> list[Answer]:
        store = self._store
        batch = WriteBatch(raw_mode=True)
        hub = store.hub
        done = self._native.claim(
            requests,
            cast("Callable[[list[bytes]], list[bytes | None]]", store.db.get),
            batch.put,
            batch.delete,
            self._now_ms(),
            self._booted_ms,
            store.last_revision + 1,
            hub.waited_for,
        )
        if done.revisions:
            store.last_revision += done.revisions
            if store.last_revision > store.reserved_revisions:
                store.reserved_revisions = store.last_revision + REVISION_BLOCK
                batch.put(keys.REVISIONS, store.reserved_revisions.to_bytes(8, "big"))
            store.db.write(batch, store.unsynced)
            store.observe(_tally(done))
            if hub.waited_for:
                hub.publish(self._log_topic(uid) for uid in done.grown)
                hub.publish(self._token_topic(*named) for named in done.tokens)
        return done.answers


class _Answering:
    """Answers a group when its flush is over."""

    __slots__ = ("_answers", "_futures")

    def __init__(self, futures: list[asyncio.Future[Answer]], answers: list[Answer]) -> None:
        self._futures = futures
        self._answers = answers
        for future, answer in zip(futures, answers, strict=True):
            # What was left alone rests on nothing.
            if answer is None and not future.done():
                future.set_result(None)

    def __call__(self, failure: Exception | None) -> None:
        if failure is not None:
            answer_all(self._futures, failure)
            return
        for future, answer in zip(self._futures, self._answers, strict=True):
            if not future.done():
                future.set_result(answer)


def answer_all(futures: list[asyncio.Future[Answer]], failure: Exception) -> None:
    """Gives one failure to all who still wait."""
    for future in futures:
        if not future.done():
            future.set_exception(failure)


def _tally(done: _native.PlainOutcome) -> Tally:
    tally: Tally = {}
    if done.won:
        tally["claims"] = done.won
    if done.lost:
        tally["conflicts"] = done.lost
    if done.begun:
        tally["runs.pending"] = -done.begun
        tally["runs.running"] = done.begun
    return tally
