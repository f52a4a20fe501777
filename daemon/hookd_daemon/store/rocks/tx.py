"""A transaction on RocksDB and the token index."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from hookd_daemon.records.v1.records_pb2 import ClaimRecord
from hookd_daemon.store import keys
from hookd_daemon.store.overlay import OverlayTx

if TYPE_CHECKING:
    from hookd_daemon.store.rocks.store import RocksStore

#: How many revisions are given out before the next bound is written.
REVISION_BLOCK = 1 << 20


class RocksTx(OverlayTx):
    """See ``Tx``.

    Claims and releases change the index at once, and ``undo`` takes them back:
    nobody else looks at the index before this transaction is over.
    """

    __slots__ = ("_index", "_store", "_undo")

    def __init__(self, store: RocksStore) -> None:
        super().__init__()
        self._store = store
        self._index = store.index
        # (project, token, run uid to put back or None to take away, revision)
        self._undo: list[tuple[str, bytes, int | None, int]] = []

    def stored(self, key: bytes) -> bytes | None:
        """See ``OverlayTx.stored``."""
        value: bytes | None = self._store.db.get(key)
        return value

    def stored_range(self, start: bytes, end: bytes) -> Iterable[tuple[bytes, bytes]]:
        """See ``OverlayTx.stored_range``."""
        return self._store.pairs(start, end)

    def revision(self) -> int:
        """See ``Tx.revision``."""
        store = self._store
        store.last_revision += 1
        if store.last_revision > store.reserved_revisions:
            # After a crash the next process begins at this bound.
            bound = store.last_revision + REVISION_BLOCK
            self.writes[keys.REVISIONS] = bound.to_bytes(8, "big")
        return store.last_revision

    async def claim(
        self, project: str, token: str, run_uid: int, revision: int, record: bytes
    ) -> ClaimRecord | None:
        """See ``Tx.claim``."""
        raw = token.encode()
        if self._index.claim(project, raw, run_uid, revision) is not None:
            return await self.owner(project, token)
        self._undo.append((project, raw, None, revision))
        self.writes[keys.claims_of_project(project) + raw] = record
        return None

    async def owner(self, project: str, token: str) -> ClaimRecord | None:
        """See ``Tx.owner``."""
        if self._index.owner(project, token.encode()) is None:
            return None
        value = await self.get(keys.claim(project, token))
        if value is None:
            raise RuntimeError("the token index has a claim that the store does not have")
        return ClaimRecord.FromString(value)

    def release(self, project: str, token: str, claim: ClaimRecord) -> None:
        """See ``Tx.release``."""
        raw = token.encode()
        if self._index.release(project, raw, claim.revision):
            self._undo.append((project, raw, claim.run_uid, claim.revision))
            self.writes[keys.claims_of_project(project) + raw] = None

    async def claims_of(self, project: str, run_uid: int) -> list[tuple[str, ClaimRecord]]:
        """See ``Tx.claims_of``."""
        prefix = keys.claims_of_project(project)
        found = []
        for raw, _ in self._index.tokens_of(project, run_uid):
            value = await self.get(prefix + raw)
            if value is None:
                raise RuntimeError("the token index has a claim that the store does not have")
            found.append((raw.decode(), ClaimRecord.FromString(value)))
        return found

    async def count_claims(self, project: str) -> int:
        """See ``Tx.count_claims``."""
        return self._index.count(project)

    def undo(self) -> None:
        """Takes back what was done to the index, the last thing first."""
        for project, raw, run_uid, revision in reversed(self._undo):
            if run_uid is None:
                self._index.release(project, raw, revision)
            else:
                self._index.load(project, [raw], [run_uid], [revision])
