"""``TokenIndex`` used from many threads at once."""

from __future__ import annotations

import random
import sys
import threading
from collections import Counter
from collections.abc import Iterator

import pytest
from hookd_daemon._native import TokenIndex

from tests.support.concurrency import at_once

P = "project"
THREADS = 8


@pytest.fixture(autouse=True)
def _switch_often() -> Iterator[None]:
    """Threads take turns as often as they can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def test_every_token_has_one_winner() -> None:
    index = TokenIndex()
    tokens = [b"t%d" % i for i in range(3_000)]

    def claim(run: int) -> list[tuple[int, int] | None]:
        mine = list(enumerate(tokens))
        random.Random(run).shuffle(mine)
        answers: list[tuple[int, int] | None] = [None] * len(tokens)
        for at in range(0, len(mine), 50):
            part = mine[at : at + 50]
            first = run * 1_000_000 + at
            told = index.claim_batch(P, [t for _, t in part], [run] * len(part), first)
            for (i, _), answer in zip(part, told, strict=True):
                answers[i] = answer
        return answers

    told = at_once(THREADS, claim)
    for i, owner in enumerate(index.owner_batch(P, tokens)):
        answers = [answers[i] for answers in told]
        assert answers.count(None) == 1
        assert owner is not None
        assert owner[0] == answers.index(None)
        assert {answer for answer in answers if answer is not None} == {owner}
    assert len(index) == len(tokens)
    assert sum(len(index.tokens_of(P, run)) for run in range(THREADS)) == len(tokens)


def test_a_token_as_a_lock() -> None:
    """Claim and release by the fence: never two inside."""
    index = TokenIndex()
    inside: list[int] = []
    entered: Counter[int] = Counter()

    def work(run: int) -> None:
        for go in range(4_000):
            revision = run * 1_000_000 + go
            if index.claim(P, b"lock", run, revision) is None:
                inside.append(run)
                assert inside == [run]
                assert index.owner(P, b"lock") == (run, revision)
                entered[run] += 1
                inside.clear()
                assert index.release(P, b"lock", revision)

    at_once(THREADS, work)
    assert index.owner(P, b"lock") is None
    assert sum(entered.values()) > 0


def test_release_run_is_one_step() -> None:
    """Whoever looks sees all tokens of a run, or none."""
    index = TokenIndex()
    tokens = [b"t%d" % i for i in range(20)]
    stop = threading.Event()
    seen: Counter[int] = Counter()

    def work(number: int) -> None:
        if number:
            while not stop.is_set():
                held = index.tokens_of(P, 1)
                seen[len(held)] += 1
                assert held in ([], sorted(held, key=lambda pair: pair[1]))
            return
        try:
            for go in range(1, 3_000):
                index.load(P, tokens, [1] * 20, list(range(go * 20, go * 20 + 20)))
                assert len(index.release_run(P, 1)) == 20
        finally:
            stop.set()

    at_once(4, work)
    assert set(seen) <= {0, 20}, seen
    assert len(index) == 0


def test_counts_are_right_after_a_storm() -> None:
    index = TokenIndex()

    def work(run: int) -> list[tuple[str, bytes, int]]:
        dice = random.Random(run)
        held: dict[tuple[str, bytes], int] = {}
        for go in range(3_000):
            project, token = dice.choice("abc"), b"t%d" % dice.randrange(300)
            revision = run * 1_000_000 + go
            mine = held.pop((project, token), None)
            if mine is not None:
                assert index.release(project, token, mine)
            elif index.claim(project, token, run, revision) is None:
                held[project, token] = revision
        return [(project, token, revision) for (project, token), revision in held.items()]

    held = at_once(THREADS, work)
    every = [claim for claims in held for claim in claims]
    assert len(index) == len(every)
    expected = Counter(project for project, _, _ in every)
    assert dict(index.projects()) == dict(expected)
    for run, claims in enumerate(held):
        for project, token, revision in claims:
            assert index.owner(project, token) == (run, revision)
        for project in "abc":
            mine = sorted((r, t) for p, t, r in claims if p == project)
            assert index.tokens_of(project, run) == [(t, r) for r, t in mine]


def test_batches_let_other_threads_run() -> None:
    """While one thread is in a long batch, another one gets its turn.

    The interval of taking turns is set so long that only a batch that gives
    the interpreter free lets anybody else in.
    """
    index = TokenIndex()
    tokens = [b"token-%030d" % i for i in range(400_000)]
    runs = [1] * len(tokens)
    ran_during: list[bool] = []
    begun, done = threading.Event(), threading.Event()

    def other() -> None:
        begun.wait(30)
        ran_during.append(not done.is_set())

    thread = threading.Thread(target=other)
    thread.start()
    sys.setswitchinterval(60)
    try:
        begun.set()
        index.claim_batch(P, tokens, runs, 1)
        done.set()
    finally:
        sys.setswitchinterval(1e-6)
    thread.join(30)
    assert ran_during == [True]
