"""``TokenIndex.load_stored``: the claims of a store, without protobuf."""

from __future__ import annotations

import random
from itertools import permutations

import pytest
from hookd_daemon._native import TokenIndex
from hookd_daemon.records.v1.records_pb2 import ClaimRecord
from hookd_daemon.store import keys

MAX = 2**64 - 1

#: Fields of every kind of the wire with numbers that ``ClaimRecord`` does not have.
UNKNOWN = [
    b"\xf8\x07\x96\x01",  # a number
    b"\xf9\x07" + b"\xff" * 8,  # eight bytes
    b"\xfa\x07\x03abc",  # bytes
    b"\xfd\x07" + b"\xff" * 4,  # four bytes
]


def record(run: int, revision: int) -> ClaimRecord:
    return ClaimRecord(run_uid=run, run_id="run", hook_id="hook", revision=revision)


def loaded(value: bytes) -> tuple[int, int] | None:
    """What the index makes of a stored value."""
    index = TokenIndex()
    assert index.load_stored([(keys.claim("p", "t"), value)], 10) == 1
    return index.owner("p", b"t")


def test_it_reads_what_the_generated_code_writes() -> None:
    dice = random.Random(1)
    for _ in range(300):
        claim = ClaimRecord(
            run_uid=dice.getrandbits(dice.randrange(65)),
            run_id="r" * dice.randrange(300),
            hook_id="🎣" * dice.randrange(3),
            revision=dice.getrandbits(dice.randrange(65)),
            # A negative number has ten bytes.
            claimed_ms=dice.randrange(-5, 2**40),
            expires_ms=dice.choice([0, 1, 2**50]),
            hold_after_ms=dice.choice([0, 300]),
            held_until_ms=dice.choice([0, 2**41]),
            traceparent="t" * dice.choice([0, 55]),
        )
        assert loaded(claim.SerializeToString()) == (claim.run_uid, claim.revision)


def test_fields_may_stand_in_any_order() -> None:
    fields = [
        ClaimRecord(run_uid=7).SerializeToString(),
        ClaimRecord(run_id="run").SerializeToString(),
        ClaimRecord(revision=MAX).SerializeToString(),
        ClaimRecord(traceparent="00-1-2-01").SerializeToString(),
        UNKNOWN[0],
    ]
    for order in permutations(fields):
        assert loaded(b"".join(order)) == (7, MAX)


@pytest.mark.parametrize("unknown", UNKNOWN)
def test_unknown_fields_are_passed_over(unknown: bytes) -> None:
    value = record(7, 9).SerializeToString()
    assert ClaimRecord.FromString(unknown + value + unknown).revision == 9
    assert loaded(unknown + value + unknown) == (7, 9)


def test_the_last_of_a_field_counts() -> None:
    value = record(7, 9).SerializeToString() + record(8, 10).SerializeToString()
    assert loaded(value) == (8, 10)


def test_a_number_in_another_form_is_not_the_number() -> None:
    """As in all of protobuf: a field of another kind is an unknown one."""
    value = b"\x0a\x01\x05" + record(7, 9).SerializeToString()
    assert loaded(value) == (7, 9)


@pytest.mark.parametrize(
    "value",
    [
        b"\x08",  # no number
        b"\x08" + b"\xff" * 11,  # a number without an end
        b"\x12\x05abc",  # a text that is cut off
        b"\x12" + b"\xff" * 9 + b"\x01",  # a text of 2^64 bytes
        b"\x09abc",  # eight bytes that are three
        b"\x0d\x01",  # four bytes that are one
        b"\x00\x01",  # field 0
        b"\x0e\x01",  # a kind that does not exist
        b"\x0f\x01",
    ],
)
def test_a_damaged_record_is_refused(value: bytes) -> None:
    good = (keys.claim("p", "good"), record(1, 1).SerializeToString())
    bad = (keys.claim("p", "secret-token"), value)
    with pytest.raises(ValueError, match="of claims is damaged: claim 1 has a record") as told:
        TokenIndex().load_stored([good, bad], 10)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("key", [b"", b"T", b"Tsecret-token", b"T\xff\0secret-token"])
def test_a_damaged_key_is_refused(key: bytes) -> None:
    with pytest.raises(ValueError, match="of claims is damaged: claim 0 has a") as told:
        TokenIndex().load_stored([(key, record(1, 1).SerializeToString())], 10)
    assert "secret" not in str(told.value)


def test_damage_that_the_index_finds_is_told_too() -> None:
    pair = (keys.claim("p", "t"), record(1, 1).SerializeToString())
    with pytest.raises(ValueError, match="is damaged: token 1 is already claimed by run 1"):
        TokenIndex().load_stored([pair, pair], 10)
    with pytest.raises(ValueError, match="of claims is damaged: token 0 has 0 bytes"):
        TokenIndex().load_stored([(keys.claim("p", ""), pair[1])], 10)


@pytest.mark.parametrize("at_once", [0, 1, 7, 1000])
def test_groups_and_projects(at_once: int) -> None:
    pairs = [
        (keys.claim(project, f"t\0{number}"), record(number, 100 + number).SerializeToString())
        for project in ("a", "b", "ü", "a")
        for number in (range(20) if project != "a" else range(5))
    ]
    # The last group is of a project that was there before.
    pairs[-5:] = [
        (keys.claim("a", f"late{number}"), record(number, 7).SerializeToString())
        for number in range(5)
    ]
    index = TokenIndex()
    assert index.load_stored(iter(pairs), at_once) == len(pairs) == len(index)
    assert index.projects() == [("a", 10), ("b", 20), ("ü", 20)]
    for number in range(20):
        assert index.owner("ü", b"t\0%d" % number) == (number, 100 + number)
    assert index.tokens_of("a", 3) == [(b"late3", 7), (b"t\0003", 103)]


def test_nothing_is_nothing() -> None:
    index = TokenIndex()
    assert index.load_stored([], 10) == 0
    assert index.projects() == []


def test_an_error_of_the_iterator_comes_through() -> None:
    def broken() -> object:
        yield keys.claim("p", "t"), record(1, 1).SerializeToString()
        raise OSError("the disk")

    with pytest.raises(OSError, match="the disk"):
        TokenIndex().load_stored(broken(), 10)  # type: ignore[arg-type]
