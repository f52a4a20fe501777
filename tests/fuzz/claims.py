"""Claims as bytes: what Rust reads of them is held against what protobuf reads."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet
from hookd.v1 import hook_service_pb2 as pb
from hookd.v1.common_pb2 import RUN_STATUS_RUNNING
from hookd_daemon import _native
from hookd_daemon.core import keys
from hookd_daemon.records.v1.records_pb2 import ClaimRecord, RunRecord
from hookd_daemon.store import keys as store_keys
from hookd_daemon.store.rocks.plain import Kind

REQUESTS: dict[Kind, Any] = {
    Kind.ONE: pb.CreateHookRequest,
    Kind.BATCH: pb.CreateHooksRequest,
    Kind.STREAM: pb.ClaimStreamRequest,
}

MAX_TOKEN_BYTES = 4096
#: The kind of the wire of a group.
GROUP = 3
#: A run at work, whatever its id.
RUN = RunRecord(
    uid=7, workflow="checkout", status=RUN_STATUS_RUNNING, last_seq=2
).SerializeToString()


def check_read_alike(kind: Kind, data: bytes) -> None:
    """A request that is plain is a message, with these fields and no others."""
    asked: list[bytes] = []
    written: dict[bytes, bytes] = {}

    def get(keys: list[bytes]) -> list[bytes | None]:
        asked.extend(key for key in keys if key.startswith(b"R"))
        return [RUN if key.startswith(b"R") else None for key in keys]

    index = _native.TokenIndex()
    plain = _native.PlainClaims(index, 512)
    done = plain.claim(
        [(kind, data, "", "")], get, written.__setitem__, written.__delitem__, 1, 1, 1, True
    )
    if not asked:
        assert written == {}
        assert len(index) == 0
        return
    try:
        message: Any = REQUESTS[kind].FromString(data)
    except DecodeError as error:
        raise AssertionError(f"no message, and yet it was read: {data!r}") from error
    items = [message] if kind is Kind.ONE else message.hooks
    project = message.project or "default"
    assert set(asked) == {keys.run(project, item.run_id) for item in items}
    for item in items:
        assert {field.name for field, _ in item.hook.ListFields()} == {"hook_id", "token"}
    if done.answers != [None]:
        tokens = {store_keys.claim(project, item.hook.token) for item in items}
        assert {key for key in written if key.startswith(b"T")} == tokens
        hooks = {keys.hooks(7) + item.hook.hook_id.encode() for item in items}
        assert {key for key in written if key.startswith(b"H")} == hooks
        assert done.won == len(tokens) == len(index)


def _expected(key: bytes, value: bytes) -> tuple[str, bytes, int, int] | None:
    """What protobuf and Python make of a stored claim; None if it is damaged."""
    try:
        project, token = store_keys.split_claim(key)
        record = ClaimRecord.FromString(value)
    except (UnicodeDecodeError, DecodeError):
        return None
    # Groups are of an older protobuf; no record ever had one, and none is read.
    groups = [field for field in UnknownFieldSet(record) if field.wire_type == GROUP]
    if groups or b"\0" not in key[1:] or not 1 <= len(token) <= MAX_TOKEN_BYTES:
        return None
    return project, token, record.run_uid, record.revision


def load(index: _native.TokenIndex, stored: list[tuple[bytes, bytes]], at_once: int) -> str | None:
    """Loads claims; returns why they are refused, or None."""
    try:
        assert index.load_stored(stored, at_once) == len(stored)
    except ValueError as error:
        return str(error)
    return None


def check_stored(stored: list[tuple[bytes, bytes]], at_once: int) -> None:
    """Stored claims are read as protobuf reads them, or refused."""
    index = _native.TokenIndex()
    wanted = [_expected(key, value) for key, value in stored]
    names = [claim[:2] for claim in wanted if claim is not None]
    told = load(index, stored, at_once)
    if told is not None:
        # It may be more patient than protobuf with texts, which it does not read; never less.
        assert None in wanted or len(set(names)) < len(names), (stored, told)
        assert len(index) <= len(stored)
        return
    assert len(stored) == len(index)
    for (key, _), claim in zip(stored, wanted, strict=True):
        project, token = store_keys.split_claim(key)
        found = index.owner(project, token)
        assert found is not None
        assert claim is None or found == claim[2:]
