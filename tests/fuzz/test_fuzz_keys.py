"""The keys of the store: what is written is read, names do not run into each other, order holds."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hookd.v1.common_pb2 import RunStatus
from hookd.v1.worker_service_pb2 import QueueKind
from hookd_daemon.core import keys
from hookd_daemon.store import keys as store_keys
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.effort import effort

U64 = st.one_of(
    st.integers(0, 3), st.integers(0, 2**64 - 1), st.sampled_from((255, 256, 2**63, 2**64 - 1))
)
#: Names with what ends or lengthens others: NULs, and the bytes of lengths.
LETTERS = st.sampled_from(("\0", "\1", "a", "b", "\x7f", "é", "🪝"))
TEXT = st.text(LETTERS, max_size=6)
TOKEN = st.text(LETTERS, min_size=1, max_size=6)
PROJECT = st.from_regex(r"[ab][ab._-]{0,3}", fullmatch=True)
STATUS = st.sampled_from(RunStatus.values())
KIND = st.sampled_from(QueueKind.values())

Maker = Callable[..., bytes]


def by_status(status: Any, project: str, created: int, uid: int) -> bytes:
    return keys.runs_by_status(project, status) + keys.age(created, uid)


def by_time(project: str, created: int, uid: int) -> bytes:
    return keys.runs_by_time(project) + keys.age(created, uid)


#: The whole key of each table, and what it is made of.
TABLES: dict[str, tuple[Maker, tuple[Any, ...]]] = {
    "run": (keys.run, (PROJECT, TEXT)),
    "by time": (by_time, (PROJECT, U64, U64)),
    "by status": (by_status, (STATUS, PROJECT, U64, U64)),
    "event": (lambda uid, seq: keys.events(uid) + keys.number(seq), (U64, U64)),
    "hook": (lambda uid, hook_id: keys.hooks(uid) + hook_id.encode(), (U64, TEXT)),
    "payload": (
        lambda uid, hook_id, seq: keys.payloads(uid, hook_id) + keys.number(seq),
        (U64, TEXT, U64),
    ),
    "receipt": (keys.receipt, (PROJECT, TOKEN, TEXT)),
    "stream": (keys.stream, (U64, TEXT)),
    "chunk": (
        lambda uid, namespace, index: keys.chunks(uid, namespace) + keys.number(index),
        (U64, TEXT, U64),
    ),
    "timer": (keys.timer, (U64, U64)),
    "queue": (
        lambda project, kind, name, at: keys.queue(project, kind, name) + keys.number(at),
        (PROJECT, KIND, TEXT, U64),
    ),
    "step": (keys.step, (U64, TEXT)),
    "run timer": (keys.run_timer, (U64, TEXT)),
    "child": (keys.child, (U64, TEXT)),
    "garbage": (keys.garbage, (U64,)),
    "claim": (store_keys.claim, (PROJECT, TOKEN)),
}
#: What ranges are read by: the beginning of keys, and which of their parts it names.
PREFIXES: dict[str, tuple[Maker, tuple[int, ...]]] = {
    "by time": (keys.runs_by_time, (0,)),
    "by status": (lambda status, project: keys.runs_by_status(project, status), (0, 1)),
    "event": (keys.events, (0,)),
    "hook": (keys.hooks, (0,)),
    "payload": (keys.payloads, (0, 1)),
    "stream": (keys.streams, (0,)),
    "chunk": (keys.chunks, (0, 1)),
    "queue": (keys.queue, (0, 1, 2)),
    "step": (keys.steps, (0,)),
    "run timer": (keys.run_timers, (0,)),
    "child": (keys.children, (0,)),
    "claim": (store_keys.claims_of_project, (0,)),
}

tables = pytest.mark.parametrize("table", TABLES)
some = settings(max_examples=effort(60), deadline=None)


def test_every_table_of_the_core_is_looked_at() -> None:
    letters = {value for name, value in vars(keys).items() if name.isupper()}
    letters = {value for value in letters if isinstance(value, bytes) and len(value) == 1}
    made = {
        make(*(next(iter(_example(part))) for part in parts))[:1] for make, parts in TABLES.values()
    }
    # Counters of projects have their own tests.
    assert letters - {b"U"} == made - {store_keys.CLAIMS}


def _example(part: Any) -> list[Any]:
    if part is U64:
        return [1]
    if part is STATUS or part is KIND:
        return [1]
    return ["a"]


@pytest.mark.torture
@tables
@some
@given(st.data())
def test_two_things_have_two_keys(table: str, data: st.DataObject) -> None:
    make, parts = TABLES[table]
    first, second = data.draw(st.tuples(*parts)), data.draw(st.tuples(*parts))
    assert (make(*first) == make(*second)) == (first == second)


@pytest.mark.torture
@pytest.mark.parametrize("table", PREFIXES)
@some
@given(st.data())
def test_a_range_holds_its_own_and_nothing_of_others(table: str, data: st.DataObject) -> None:
    """The keys of one run, hook, stream, queue or project, and of no other with a like name."""
    make, parts = TABLES[table]
    begin, named = PREFIXES[table]
    mine, other = data.draw(st.tuples(*parts)), data.draw(st.tuples(*parts))
    start = begin(*(mine[part] for part in named))
    end = store_keys.end_of(start)
    assert start <= make(*mine) < end
    is_mine = all(mine[part] == other[part] for part in named)
    assert (start <= make(*other) < end) == is_mine


@pytest.mark.torture
@some
@given(st.lists(st.tuples(st.sampled_from(sorted(TABLES)), st.data()), min_size=2, max_size=4))
def test_no_table_reaches_into_another(drawn: list[tuple[str, st.DataObject]]) -> None:
    made = [
        (table, TABLES[table][0](*data.draw(st.tuples(*TABLES[table][1])))) for table, data in drawn
    ]
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
    assert store_keys.split_claim(store_keys.claim(project, token)) == (project, token.encode())
    entry = keys.queue(project, kind, name) + keys.number(at)
    assert keys.split_queue_key(entry) == (project, kind, name, at)


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
