"""``TokenIndex.load_stored`` and damaged claims: read as protobuf reads them, or refused."""

from __future__ import annotations

from functools import partial

import pytest
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet
from hookd_daemon._native import TokenIndex
from hookd_daemon.records.v1.records_pb2 import ClaimRecord
from hookd_daemon.store import keys
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.wire import message, number, sized, spoiled
from tests.support.effort import effort

MAX_TOKEN_BYTES = 4096
#: The kind of the wire of a group.
GROUP = 3

numbers = st.sampled_from((0, 1, 7, 2**32, 2**63, 2**64 - 1))
texts = st.sampled_from((b"", b"run", b"\xc3\xa4", b"x" * 300))
records = message(
    numbers.map(partial(number, 1)),
    texts.map(partial(sized, 2)),
    texts.map(partial(sized, 3)),
    numbers.map(partial(number, 4)),
    numbers.map(partial(number, 5)),
    texts.map(partial(sized, 9)),
    often=4,
)
projects = st.sampled_from((b"default", b"p", b"", b"\xc3\xbc", b"\xff", b"a b"))
tokens = st.one_of(
    st.binary(max_size=6),
    st.sampled_from((b"t", b"", b"\0", b"x" * MAX_TOKEN_BYTES, b"x" * (MAX_TOKEN_BYTES + 1))),
)
stored_keys = st.one_of(
    st.tuples(projects, tokens).map(lambda pair: b"T" + pair[0] + b"\0" + pair[1]),
    spoiled(st.just(b"Tdefault\0token"), often=9),
)
pairs = st.lists(st.tuples(stored_keys, records), max_size=6)


def expected(key: bytes, value: bytes) -> tuple[str, bytes, int, int] | None:
    """What protobuf and Python make of a stored claim; None if it is damaged."""
    try:
        project, token = keys.split_claim(key)
        record = ClaimRecord.FromString(value)
    except (UnicodeDecodeError, DecodeError):
        return None
    # Groups are of an older protobuf; no record ever had one, and none is read.
    groups = [field for field in UnknownFieldSet(record) if field.wire_type == GROUP]
    if groups or b"\0" not in key[1:] or not 1 <= len(token) <= MAX_TOKEN_BYTES:
        return None
    return project, token, record.run_uid, record.revision


def load(index: TokenIndex, stored: list[tuple[bytes, bytes]], at_once: int) -> str | None:
    """Loads claims; returns why they are refused, or None."""
    try:
        assert index.load_stored(stored, at_once) == len(stored)
    except ValueError as error:
        return str(error)
    return None


@pytest.mark.torture
@settings(max_examples=effort(250), deadline=None)
@given(pairs, st.integers(1, 4))
def test_stored_claims_are_read_right_or_refused(
    stored: list[tuple[bytes, bytes]], at_once: int
) -> None:
    index = TokenIndex()
    wanted = [expected(key, value) for key, value in stored]
    names = [claim[:2] for claim in wanted if claim is not None]
    told = load(index, stored, at_once)
    if told is not None:
        # It may be more patient than protobuf with texts, which it does not read; never less.
        assert None in wanted or len(set(names)) < len(names), (stored, told)
        assert len(index) <= len(stored)
        return
    assert len(stored) == len(index)
    for (key, _), claim in zip(stored, wanted, strict=True):
        project, token = keys.split_claim(key)
        found = index.owner(project, token)
        assert found is not None
        assert claim is None or found == claim[2:]


@pytest.mark.torture
@settings(max_examples=effort(200), deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=40), st.binary(max_size=80)), max_size=4))
def test_noise_is_no_panic(stored: list[tuple[bytes, bytes]]) -> None:
    index = TokenIndex()
    told = load(index, stored, 2)
    # The message says what is wrong, and nothing of what is stored.
    assert told is None or "claim" in told
    assert sum(count for _, count in index.projects()) == len(index)
