"""The keys of the store: what is written is read, names do not run into each other, order holds."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hookd.v1.common_pb2 import RunStatus
from hookd.v1.worker_service_pb2 import QueueKind
from hookd_daemon.core import keys
from hookd_daemon.store import keys as store_keys
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.tables import PREFIXES, TABLES, Part, check_range, check_read, check_two_keys
from tests.support.effort import effort

U64 = st.one_of(
    st.integers(0, 3), st.integers(0, 2**64 - 1), st.sampled_from((255, 256, 2**63, 2**64 - 1))
)
#: Names with what ends or lengthens others: NULs, and the bytes of lengths.
LETTERS = st.sampled_from(("\0", "\1", "a", "b", "\x7f", "é", "🪝"))
TEXT = st.text(LETTERS, max_size=6)
TOKEN = st.text(LETTERS, min_size=1, max_size=6)
PROJECT = st.from_regex(r"[ab][ab._-]{0,3}", fullmatch=True)
KIND = st.sampled_from(QueueKind.values())

PARTS: dict[Part, st.SearchStrategy[Any]] = {
    Part.NUMBER: U64,
    Part.TEXT: TEXT,
    Part.TOKEN: TOKEN,
    Part.PROJECT: PROJECT,
    Part.STATUS: st.sampled_from(RunStatus.values()),
    Part.QUEUE: KIND,
}


def drawn(table: str) -> st.SearchStrategy[tuple[Any, ...]]:
    """What a key of a table may be made of."""
    return st.tuples(*(PARTS[part] for part in TABLES[table][1]))


@st.composite
def two(draw: st.DrawFn, table: str) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Twice what a key may be made of, with parts in common."""
    first, second = draw(drawn(table)), draw(drawn(table))
    return first, tuple(draw(st.sampled_from(pair)) for pair in zip(first, second, strict=True))


tables = pytest.mark.parametrize("table", TABLES)
some = settings(max_examples=effort(60), deadline=None)


def test_every_table_of_the_core_is_looked_at() -> None:
    letters = {value for name, value in vars(keys).items() if name.isupper()}
    letters = {value for value in letters if isinstance(value, bytes) and len(value) == 1}
    simple: dict[Part, Any] = dict.fromkeys(Part, 1) | dict.fromkeys(
        (Part.TEXT, Part.TOKEN, Part.PROJECT), "a"
    )
    made = {make(*map(simple.__getitem__, parts))[:1] for make, parts in TABLES.values()}
    # Counters of projects have their own tests.
    assert letters - {b"U"} == made - {store_keys.CLAIMS}


@pytest.mark.torture
@tables
@some
@given(st.data())
def test_two_things_have_two_keys(table: str, data: st.DataObject) -> None:
    check_two_keys(table, *data.draw(two(table)))


@pytest.mark.torture
@pytest.mark.parametrize("table", PREFIXES)
@some
@given(st.data())
def test_a_range_holds_its_own_and_nothing_of_others(table: str, data: st.DataObject) -> None:
    """The keys of one run, hook, stream, queue or project, and of no other with a like name."""
    check_range(table, *data.draw(two(table)))


@pytest.mark.torture
@some
@given(st.lists(st.sampled_from(sorted(TABLES)), min_size=2, max_size=4), st.data())
def test_no_table_reaches_into_another(chosen: list[str], data: st.DataObject) -> None:
    made = [(table, TABLES[table][0](*data.draw(drawn(table)))) for table in chosen]
    for (table, key), (other, another) in itertools.combinations(made, 2):
        assert (key[:1] == another[:1]) == (table == other)


@pytest.mark.torture
@some
@given(st.tuples(U64, U64), st.tuples(U64, U64))
def test_numbers_keep_their_order(first: tuple[int, int], second: tuple[int, int]) -> None:
    assert (keys.timer(*first) < keys.timer(*second)) == (first < second)
    assert (keys.age(*first) < keys.age(*second)) == (first > second)
    assert keys.due_of(keys.timer(*first)) == first[0]
    assert keys.uid_of(keys.garbage(first[0])) == first[0]


@pytest.mark.torture
@some
@given(PROJECT, TOKEN, KIND, TEXT, U64)
def test_what_is_written_is_read(
    project: str, token: str, kind: QueueKind.ValueType, name: str, at: int
) -> None:
    check_read(project, token, kind, name, at)


@pytest.mark.torture
@some
@given(st.binary(min_size=1, max_size=5), st.binary(max_size=5))
def test_the_end_of_a_prefix(prefix: bytes, key: bytes) -> None:
    if not prefix.rstrip(b"\xff"):
        return  # no table begins so
    end = store_keys.end_of(prefix)
    assert (prefix <= key < end) == key.startswith(prefix) or (
        # Behind a prefix that ends with the greatest byte there is room for others.
        prefix.endswith(b"\xff") and prefix <= key < end
    )
