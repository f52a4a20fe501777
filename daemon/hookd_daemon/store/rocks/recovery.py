"""What a start reads back from RocksDB: the claims, and the bound of the revisions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from rocksdict import Rdict, ReadOptions

from hookd_daemon._native import TokenIndex
from hookd_daemon.store import keys
from hookd_daemon.store.rocks.directory import DataDirectoryError

#: How many claims go to the index at once.
CLAIMS_AT_ONCE = 10_000
#: How much is read from a file at once: the claims are read from end to end.
READAHEAD_BYTES = 2 * 1024 * 1024


def recover_claims(db: Rdict, index: TokenIndex) -> int:
    """Fills the index with the claims of the database.

    Returns:
        How many there are.

    Raises:
        DataDirectoryError: a claim is damaged. The message does not name its token.
    """
    options = ReadOptions()
    options.set_iterate_upper_bound(keys.end_of(keys.CLAIMS))
    options.set_readahead_size(READAHEAD_BYTES)
    # Each block is read once: the cache is for those that are asked for later.
    options.fill_cache(False)  # type: ignore[call-arg]  # the stub forgets the argument
    claims = cast("Iterator[tuple[bytes, bytes]]", db.items(from_key=keys.CLAIMS, read_opt=options))
    try:
        return index.load_stored(claims, CLAIMS_AT_ONCE)
    except ValueError as error:
        raise DataDirectoryError(f"{db.path()}: {error}") from error


def recover_revisions(db: Rdict) -> int:
    """Tells up to which revision the process before may have given them out."""
    bound: bytes | None = db.get(keys.REVISIONS)
    return 0 if bound is None else int.from_bytes(bound, "big")
