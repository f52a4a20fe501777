"""What the engines of one process share: writes that wait for their commit."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

from hookd_daemon.records.v1.records_pb2 import ClaimRecord
from hookd_daemon.store import keys
from hookd_daemon.store.tx import Tally, Topic, Tx


class OverlayTx(Tx):
    """A transaction that keeps its writes by itself until they are committed.

    Attributes:
        writes: the new values by their keys; None for a key to remove.
        topics: whom to wake.
        tallies: what to count.
    """

    __slots__ = ("tallies", "topics", "writes")

    def __init__(self) -> None:
        self.writes: dict[bytes, bytes | None] = {}
        self.topics: list[Topic] = []
        self.tallies: Tally = {}

    @abstractmethod
    def stored(self, key: bytes) -> bytes | None:
        """Reads a value as it was before this transaction."""

    @abstractmethod
    def stored_range(self, start: bytes, end: bytes) -> Iterable[tuple[bytes, bytes]]:
        """Reads a range as it was before this transaction, in order."""

    async def get(self, key: bytes) -> bytes | None:
        """See ``Tx.get``."""
        if key in self.writes:
            return self.writes[key]
        return self.stored(key)

    async def scan(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """See ``Tx.scan``."""
        found: list[tuple[bytes, bytes]] = []
        mine = {k: v for k, v in self.writes.items() if start <= k < end}
        for pair in self.stored_range(start, end):
            if len(found) >= limit:
                break
            if pair[0] not in mine:
                found.append(pair)
        if mine:
            found += [(k, v) for k, v in mine.items() if v is not None]
            found.sort()
        return found[:limit]

    def put(self, key: bytes, value: bytes) -> None:
        """See ``Tx.put``."""
        self.writes[key] = value

    def delete(self, key: bytes) -> None:
        """See ``Tx.delete``."""
        self.writes[key] = None

    def add(self, key: bytes, change: int) -> None:
        """See ``Tx.add``."""
        value = self.writes[key] if key in self.writes else self.stored(key)
        total = _number(value) + change
        self.writes[key] = total.to_bytes(8, "big", signed=True) if total else None

    async def number(self, key: bytes) -> int:
        """See ``Tx.number``."""
        return _number(await self.get(key))

    def notify(self, topic: Topic) -> None:
        """See ``Tx.notify``."""
        self.topics.append(topic)

    def tally(self, what: str, times: int = 1) -> None:
        """See ``Tx.tally``."""
        self.tallies[what] = self.tallies.get(what, 0) + times

    def amend(self, project: str, token: str, claim: ClaimRecord) -> None:
        """See ``Tx.amend``."""
        self.put(keys.claim(project, token), claim.SerializeToString())

    async def scan_claims(
        self, project: str, prefix: str, after: str | None, limit: int
    ) -> list[tuple[str, ClaimRecord]]:
        """See ``Tx.scan_claims``."""
        begin = keys.claim(project, prefix)
        start = begin if after is None else max(begin, keys.claim(project, after) + b"\0")
        cut = len(keys.claims_of_project(project))
        pairs = await self.scan(start, keys.end_of(begin), limit)
        return [(key[cut:].decode(), ClaimRecord.FromString(value)) for key, value in pairs]


def _number(value: bytes | None) -> int:
    return 0 if value is None else int.from_bytes(value, "big", signed=True)
