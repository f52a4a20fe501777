"""A start on claims that are damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
from hookd_daemon._native import TokenIndex
from hookd_daemon.records.v1.records_pb2 import ClaimRecord
from hookd_daemon.store import keys
from hookd_daemon.store.rocks.directory import DataDirectoryError
from hookd_daemon.store.rocks.options import database_options
from hookd_daemon.store.rocks.recovery import recover_claims, recover_revisions
from rocksdict import Rdict


def test_only_the_table_of_claims_is_read(tmp_path: Path) -> None:
    db = Rdict(str(tmp_path / "db"), database_options())
    db[b"S before"] = b"\xff"
    db[keys.claim("p", "t")] = ClaimRecord(run_uid=3, revision=5).SerializeToString()
    db[b"U behind"] = b"\xff"
    index = TokenIndex()
    assert recover_claims(db, index) == 1
    assert index.owner("p", b"t") == (3, 5)
    assert recover_revisions(db) == 0
    db[keys.REVISIONS] = (2**40).to_bytes(8, "big")
    assert recover_revisions(db) == 2**40
    db.close()


def test_a_damaged_claim_is_told_without_its_token(tmp_path: Path) -> None:
    db = Rdict(str(tmp_path / "db"), database_options())
    db[keys.claim("p", "secret-token")] = b"\x08"
    with pytest.raises(DataDirectoryError, match="the table of claims is damaged") as told:
        recover_claims(db, TokenIndex())
    assert str(tmp_path) in str(told.value)
    assert "secret" not in str(told.value)
    db.close()
