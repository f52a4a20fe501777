"""``TokenIndex.load_stored`` and damaged claims: read as protobuf reads them, or refused."""

from __future__ import annotations

from functools import partial

import pytest
from hookd_daemon._native import TokenIndex
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.claims import MAX_TOKEN_BYTES, check_stored, load
from tests.fuzz.wire import message, number, sized, spoiled
from tests.support.effort import effort

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


@pytest.mark.torture
@settings(max_examples=effort(250), deadline=None)
@given(pairs, st.integers(1, 4))
def test_stored_claims_are_read_right_or_refused(
    stored: list[tuple[bytes, bytes]], at_once: int
) -> None:
    check_stored(stored, at_once)


@pytest.mark.torture
@settings(max_examples=effort(200), deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=40), st.binary(max_size=80)), max_size=4))
def test_noise_is_no_panic(stored: list[tuple[bytes, bytes]]) -> None:
    index = TokenIndex()
    told = load(index, stored, 2)
    # The message says what is wrong, and nothing of what is stored.
    assert told is None or told.startswith("the table of claims is damaged: ")
    assert sum(count for _, count in index.projects()) == len(index)
