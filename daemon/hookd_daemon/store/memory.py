"""The engine that keeps everything in memory and nothing on disk.

It is there for the model test and the conformance suite: plain dictionaries,
no index, no batches, so that it is right at a glance.
"""

from __future__ import annotations

import bisect
from collections.abc import Awaitable, Callable, Iterable
from typing import Concatenate, ParamSpec, TypeVar

from hookd_daemon.errors import StoreUnavailableError
from hookd_daemon.records.v1.records_pb2 import ClaimRecord
from hookd_daemon.store import keys
from hookd_daemon.store.hub import Hub, HubSubscription
from hookd_daemon.store.overlay import OverlayTx
from hookd_daemon.store.transaction import run_at_once
from hookd_daemon.store.tx import Store, Tally, Topic, Tx

P = ParamSpec("P")
T = TypeVar("T")


class MemoryTx(OverlayTx):
    """A transaction on the memory engine: claims are keys like others."""

    __slots__ = ("_store",)

    def __init__(self, store: MemoryStore) -> None:
        super().__init__()
        self._store = store

    def stored(self, key: bytes) -> bytes | None:
        """See ``OverlayTx.stored``."""
        return self._store.values.get(key)

    def stored_range(self, start: bytes, end: bytes) -> Iterable[tuple[bytes, bytes]]:
        """See ``OverlayTx.stored_range``."""
        ordered = self._store.ordered
        for i in range(bisect.bisect_left(ordered, start), len(ordered)):
            if ordered[i] >= end:
                return
            yield ordered[i], self._store.values[ordered[i]]

    def revision(self) -> int:
        """See ``Tx.revision``."""
        self._store.last_revision += 1
        return self._store.last_revision

    async def claim(
        self, project: str, token: str, run_uid: int, revision: int, record: bytes
    ) -> ClaimRecord | None:
        """See ``Tx.claim``."""
        holder = await self.owner(project, token)
        if holder is None:
            self.put(keys.claim(project, token), record)
        return holder

    async def owner(self, project: str, token: str) -> ClaimRecord | None:
        """See ``Tx.owner``."""
        value = await self.get(keys.claim(project, token))
        return None if value is None else ClaimRecord.FromString(value)

    def release(self, project: str, token: str, claim: ClaimRecord) -> None:
        """See ``Tx.release``."""
        key = keys.claim(project, token)
        value = self.writes[key] if key in self.writes else self.stored(key)
        if value is not None and ClaimRecord.FromString(value).revision == claim.revision:
            self.delete(key)

    async def claims_of(self, project: str, run_uid: int) -> list[tuple[str, ClaimRecord]]:
        """See ``Tx.claims_of``."""
        every = await self.scan_claims(
            project, "", None, len(self._store.values) + len(self.writes)
        )
        mine = [(token, claim) for token, claim in every if claim.run_uid == run_uid]
        return sorted(mine, key=lambda pair: pair[1].revision)

    async def count_claims(self, project: str) -> int:
        """See ``Tx.count_claims``."""
        most = len(self._store.values) + len(self.writes)
        return len(await self.scan_claims(project, "", None, most))


class MemoryStore(Store):
    """Everything in memory; see ``store.tx.Store``.

    Attributes:
        values: all pairs.
        ordered: all keys, sorted.
        last_revision: the greatest revision that was given.
    """

    def __init__(self, observe: Callable[[Tally], None] | None = None) -> None:
        self.values: dict[bytes, bytes] = {}
        self.ordered: list[bytes] = []
        self.last_revision = 0
        self._observe = observe
        self._hub = Hub()
        self._closed = False

    async def transact(
        self, fn: Callable[Concatenate[Tx, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """See ``Store.transact``."""
        if self._closed:
            raise StoreUnavailableError("the store is closed")
        tx = MemoryTx(self)
        result = run_at_once(fn, tx, *args, **kwargs)
        for key, value in tx.writes.items():
            self._apply(key, value)
        if self._observe is not None and tx.tallies:
            self._observe(tx.tallies)
        self._hub.publish(tx.topics)
        return result

    def _apply(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            if self.values.pop(key, None) is not None:
                del self.ordered[bisect.bisect_left(self.ordered, key)]
            return
        if key not in self.values:
            bisect.insort(self.ordered, key)
        self.values[key] = value

    def subscribe(self, *topics: Topic) -> HubSubscription:
        """See ``Store.subscribe``."""
        return self._hub.subscribe(*topics)

    def close(self) -> None:
        """Forgets everything and ends all waits."""
        self._closed = True
        self._hub.close()
