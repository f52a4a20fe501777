"""``TokenIndex``: who owns what, and the revision as a fence."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hookd_daemon._native import TokenIndex

P = "project"
MAX = 2**64 - 1


@pytest.fixture
def index() -> TokenIndex:
    return TokenIndex()


def test_claim_binds_and_the_second_learns_the_owner(index: TokenIndex) -> None:
    assert index.claim(P, b"t", 1, 10) is None
    assert index.claim(P, b"t", 2, 11) == (1, 10)
    # The same run, too: what a retry is, the index does not know.
    assert index.claim(P, b"t", 1, 12) == (1, 10)
    assert index.owner(P, b"t") == (1, 10)
    assert index.owner(P, b"u") is None


def test_release_is_fenced_by_the_revision(index: TokenIndex) -> None:
    index.claim(P, b"t", 1, 10)
    for wrong in (9, 11, 0, MAX):
        assert not index.release(P, b"t", wrong)
    assert index.owner(P, b"t") == (1, 10)
    assert index.release(P, b"t", 10)
    assert not index.release(P, b"t", 10)
    assert index.owner(P, b"t") is None
    assert index.claim(P, b"t", 2, 11) is None
    # A late release by the old owner takes nothing away from the new one.
    assert not index.release(P, b"t", 10)
    assert index.owner(P, b"t") == (2, 11)


def test_projects_are_apart(index: TokenIndex) -> None:
    names = [P, "", "project2", "projec", "ü", "p\0"]
    for run, name in enumerate(names, start=1):
        assert index.claim(name, b"t", run, run) is None
    for run, name in enumerate(names, start=1):
        assert index.owner(name, b"t") == (run, run)
        assert index.tokens_of(name, run) == [(b"t", run)]
        assert index.tokens_of(name, run + 1) == []
    assert index.release(P, b"t", 1)
    assert [index.count(name) for name in names] == [0, 1, 1, 1, 1, 1]


def test_tokens_are_any_bytes(index: TokenIndex) -> None:
    tokens = [b"\0", b"\0\0", b"\xff", b"a", b"a\0", b"a" * 23, b"a" * 24, b"a" * 4096]
    for revision, token in enumerate(tokens, start=1):
        assert index.claim(P, token, 1, revision) is None
    for revision, token in enumerate(tokens, start=1):
        assert index.owner(P, token) == (1, revision)
    assert index.tokens_of(P, 1) == [(t, i) for i, t in enumerate(tokens, start=1)]
    # Not cut anywhere: the longest differ in their last byte only.
    assert index.owner(P, b"a" * 4095 + b"b") is None


@pytest.mark.parametrize("token", [b"", b"a" * 4097, b"a" * 100_000])
def test_tokens_of_a_bad_size_are_refused(index: TokenIndex, token: bytes) -> None:
    with pytest.raises(ValueError, match="token"):
        index.claim(P, token, 1, 1)
    with pytest.raises(ValueError, match="token"):
        index.claim_batch(P, [b"ok", token], [1, 1], 1)
    with pytest.raises(ValueError, match="token"):
        index.load(P, [b"ok", token], [1, 1], [1, 2])
    # Nobody can own such a token, so that one may ask for it.
    assert index.owner(P, token) is None
    assert not index.release(P, token, 1)
    assert len(index) == 0
    assert index.owner(P, b"ok") is None


@pytest.mark.parametrize("token", ["t", bytearray(b"t"), memoryview(b"t"), None, 1, [1]])
def test_tokens_of_another_type_are_refused(index: TokenIndex, token: Any) -> None:
    for call in (
        lambda: index.claim(P, token, 1, 1),
        lambda: index.release(P, token, 1),
        lambda: index.owner(P, token),
        lambda: index.claim_batch(P, [b"ok", token], [1, 2], 1),
        lambda: index.owner_batch(P, [token]),
        lambda: index.release_batch(P, [token], [1]),
        lambda: index.load(P, [b"ok", token], [1, 2], [1, 2]),
    ):
        with pytest.raises(TypeError):
            call()
    assert len(index) == 0


@pytest.mark.parametrize("number", [-1, MAX + 1, 2**80])
def test_numbers_that_do_not_fit_are_refused(index: TokenIndex, number: int) -> None:
    for call in (
        lambda: index.claim(P, b"t", number, 1),
        lambda: index.claim(P, b"t", 1, number),
        lambda: index.claim_batch(P, [b"ok", b"t"], [1, number], 1),
        lambda: index.load(P, [b"ok", b"t"], [1, 2], [1, number]),
        lambda: index.release(P, b"t", number),
        lambda: index.release_run(P, number),
        lambda: index.tokens_of(P, number),
    ):
        with pytest.raises(OverflowError):
            call()
    assert len(index) == 0


def test_numbers_of_64_bits_are_kept_whole(index: TokenIndex) -> None:
    assert index.claim(P, b"t", MAX, MAX) is None
    assert index.owner(P, b"t") == (MAX, MAX)
    assert index.claim(P, b"z", 0, 0) is None
    assert index.tokens_of(P, 0) == [(b"z", 0)]
    assert index.release_run(P, MAX) == [(b"t", MAX)]


def test_claim_batch_takes_effect_in_order(index: TokenIndex) -> None:
    index.claim(P, b"taken", 9, 5)
    told = index.claim_batch(P, [b"a", b"taken", b"b", b"a"], [1, 1, 2, 2], 100)
    assert told == [None, (9, 5), None, (1, 100)]
    # Item i has the first revision and i, whether or not those before it won.
    assert index.owner_batch(P, [b"a", b"b", b"taken", b"c"]) == [(1, 100), (2, 102), (9, 5), None]
    assert index.claim_batch(P, [], [], 1) == []


def test_claim_batch_that_is_bad_changes_nothing(index: TokenIndex) -> None:
    with pytest.raises(ValueError, match="1 values for 2 tokens"):
        index.claim_batch(P, [b"a", b"b"], [1], 1)
    with pytest.raises(OverflowError):
        index.claim_batch(P, [b"a", b"b"], [1, 1], MAX)
    assert len(index) == 0
    assert index.claim_batch(P, [b"a"], [1], MAX) == [None]


def test_release_batch(index: TokenIndex) -> None:
    index.claim_batch(P, [b"a", b"b", b"c"], [1, 1, 2], 1)
    assert index.release_batch(P, [b"a", b"b", b"x", b"a"], [1, 9, 1, 1]) == [
        True,
        False,
        False,
        False,
    ]
    with pytest.raises(ValueError, match="1 values for 2 tokens"):
        index.release_batch(P, [b"b", b"c"], [2])
    assert index.tokens_of(P, 1) == [(b"b", 2)]
    assert index.tokens_of(P, 2) == [(b"c", 3)]


def test_tokens_of_a_run_by_revision(index: TokenIndex) -> None:
    revisions = [50, 3, 20, 7, 1]
    for revision in revisions:
        index.claim(P, b"t%d" % revision, 1, revision)
        index.claim(P, b"u%d" % revision, 2, revision + 1000)
    expected = [(b"t%d" % r, r) for r in sorted(revisions)]
    assert index.tokens_of(P, 1) == expected
    index.release(P, b"t7", 7)
    expected.remove((b"t7", 7))
    assert index.tokens_of(P, 1) == expected
    assert index.release_run(P, 1) == expected
    assert index.release_run(P, 1) == []
    assert index.tokens_of(P, 1) == []
    assert len(index.tokens_of(P, 2)) == 5


def test_load_is_all_or_nothing(index: TokenIndex) -> None:
    index.load(P, [b"a", b"b"], [1, 2], [7, 8])
    assert index.owner_batch(P, [b"a", b"b"]) == [(1, 7), (2, 8)]
    for tokens, runs, revisions in (
        ([b"new", b"a"], [1, 1], [1, 2]),
        ([b"new", b"new"], [1, 1], [1, 2]),
        ([b"new", b""], [1, 1], [1, 2]),
        ([b"new"], [1, 2], [1]),
        ([b"new"], [1], [1, 2]),
        ([b"new", b"x"], [1, 2], [1]),
    ):
        with pytest.raises(ValueError, match=r"."):
            index.load(P, tokens, runs, revisions)
        assert index.owner(P, b"new") is None
        assert index.tokens_of(P, 1) == [(b"a", 7)]
        assert len(index) == 2
    # What was loaded is like what was claimed.
    assert index.claim(P, b"a", 3, 9) == (1, 7)
    assert index.release(P, b"a", 7)
    assert index.claim(P, b"a", 3, 9) is None


def test_counts_and_projects(index: TokenIndex) -> None:
    assert (len(index), index.projects(), index.count(P)) == (0, [], 0)
    index.claim_batch("b", [b"1", b"2", b"3"], [1, 1, 2], 1)
    index.claim("a", b"1", 5, 9)
    assert index.projects() == [("a", 1), ("b", 3)]
    assert (len(index), index.count("b"), index.count("c")) == (4, 3, 0)
    index.release_run("b", 1)
    assert index.projects() == [("a", 1), ("b", 1)]
    index.release("a", b"1", 9)
    # A project that holds nothing is not listed.
    assert index.projects() == [("b", 1)]
    assert len(index) == 1


def test_memory_is_that_of_its_tokens(index: TokenIndex) -> None:
    empty = index.memory_bytes()
    count = 20_000
    tokens = [b"token-%020d" % i for i in range(count)]
    index.claim_batch(P, tokens, [i // 4 for i in range(count)], 1)
    full = index.memory_bytes()
    assert full > empty + count * 26  # the bytes of the tokens themselves
    assert full < empty + count * 400
    for run in range(count // 4):
        index.release_run(P, run)
    assert len(index) == 0
    index.claim_batch(P, tokens, [1] * count, 1)
    assert index.memory_bytes() < 2 * full


def test_it_cannot_be_subclassed() -> None:
    with pytest.raises(TypeError):
        type("Mine", (TokenIndex,), {})


def test_like_a_dictionary() -> None:
    """Random operations, beside dictionaries that are right at a glance."""
    dice = random.Random(1)
    index, model = TokenIndex(), dict[bytes, tuple[int, int]]()
    tokens = [b"t%d" % i for i in range(40)]
    for revision in range(1, 8_000):
        token, run = dice.choice(tokens), dice.randrange(8)
        what = dice.random()
        if what < 0.55:
            assert index.claim(P, token, run, revision) == model.get(token)
            model.setdefault(token, (run, revision))
        elif what < 0.9:
            held = model.get(token, (0, revision))
            fence = held[1] if dice.random() < 0.8 else held[1] - 1
            ours = token in model and held[1] == fence
            assert index.release(P, token, fence) == ours
            if ours:
                del model[token]
        else:
            mine = sorted((r, t) for t, (owner, r) in model.items() if owner == run)
            assert index.tokens_of(P, run) == [(t, r) for r, t in mine]
            assert index.release_run(P, run) == [(t, r) for r, t in mine]
            for _, gone in mine:
                del model[gone]
        assert len(index) == len(model)
    assert index.owner_batch(P, tokens) == [model.get(token) for token in tokens]
