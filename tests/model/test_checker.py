"""The checker of histories accepts what is right, and finds what is wrong."""

from __future__ import annotations

import math

import pytest

from tests.model.history import ContradictionError, Op, check
from tests.model.one_token import Answer


def op(client: str, call: str, begin: float, end: float, *answer: object) -> Op:
    """A call; without an answer it may have happened until its end, or not."""
    told: Answer | None = answer or None
    return Op(client, tuple(call.split()), begin, end, told)


#: Two runs that are there before anything else happens.
RUNS = [op("x", "open r1", 0, 1, "started"), op("y", "open r2", 0, 1, "started")]


def test_one_after_the_other() -> None:
    check(
        [
            *RUNS,
            op("x", "claim r1 h", 2, 3, "created", 7),
            op("y", "claim r2 h", 4, 5, "conflict", "r1", "h", 7),
            op("z", "resume p1", 6, 7, "accepted", "r1", "h", 1, False),
            op("z", "resume p1", 8, 9, "accepted", "r1", "h", 1, True),
            op("x", "dispose r1 h", 10, 11, "disposed"),
            op("y", "claim r2 h", 12, 13, "conflict", "r1", "h", 7),
            op("y", "claim r2 h2", 14, 15, "created", 9),
            op("z", "start r3 take_over -", 16, 17, "superseded", "r2", 10),
            op("y", "end r2 completed", 18, 19, "not active", "cancelled"),
            op("z", "end r3 completed", 20, 21, "ended", "completed"),
            op("z", "get", 22, 23, "free"),
            op("z", "resume p1", 24, 25, "accepted", "r1", "h", 1, True),
        ]
    )


def test_overlapping_calls_may_have_happened_in_any_order() -> None:
    check(
        [
            *RUNS,
            op("x", "claim r1 h", 2, 20, "conflict", "r2", "h", 9),
            op("y", "claim r2 h", 3, 19, "created", 9),
            op("z", "get", 4, 5, "free"),
            op("z", "get", 6, 7, "held", "r2", "h", 9),
            op("w", "get", 4, 18, "free"),
        ]
    )


def test_many_claims_at_once() -> None:
    runs = [op(f"c{i}", f"open r{i}", 0, 1, "started") for i in range(30)]
    lost = [op(f"c{i}", f"claim r{i} h", 2, 50, "conflict", "r0", "h", 5) for i in range(1, 30)]
    check([*runs, *lost, op("c0", "claim r0 h", 2, 50, "created", 5)])


@pytest.mark.parametrize("happened", [True, False])
def test_a_call_without_an_answer_has_happened_or_not(happened: bool) -> None:
    seen = ("held", "r1", "h", 5) if happened else ("free",)
    check([*RUNS, op("x", "claim r1 h", 2, 3), op("y", "get", 4, 5, *seen)])


def test_a_call_without_an_answer_happens_late_if_at_all() -> None:
    lost = op("x", "claim r1 h", 2, math.inf)
    free = op("y", "get", 4, 5, "free")
    check([*RUNS, lost, free, op("y", "get", 6, 7, "held", "r1", "h", 5)])
    with pytest.raises(ContradictionError):
        check(
            [*RUNS, op("x", "claim r1 h", 2, 3), free, op("y", "get", 6, 7, "held", "r1", "h", 5)]
        )


CREATED = op("x", "claim r1 h", 2, 3, "created", 5)

WRONG = {
    "a stale read": [CREATED, op("y", "get", 4, 5, "free")],
    "a read that goes back": [
        op("x", "claim r1 h", 2, 9, "created", 5),
        op("y", "get", 3, 4, "held", "r1", "h", 5),
        op("z", "get", 5, 6, "free"),
    ],
    "two owners": [CREATED, op("y", "claim r2 h", 4, 5, "created", 6)],
    "two owners at once": [
        op("x", "claim r1 h", 2, 5, "created", 5),
        op("y", "claim r2 h", 2, 5, "created", 6),
    ],
    "a claim that was lost": [CREATED, op("x", "claim r1 h", 4, 5, "created", 6)],
    "a claim that was lost in a crash": [
        CREATED,
        op("y", "resume p", 4, 5),
        op("x", "get", 6, 7, "free"),
    ],
    "a claim that was released too early": [
        CREATED,
        op("y", "claim r2 h", 4, 5, "created", 6),
        op("x", "dispose r1 h", 6, 7, "disposed"),
    ],
    "a claim that was released too late": [
        CREATED,
        op("x", "dispose r1 h", 4, 5, "disposed"),
        op("y", "claim r2 h", 6, 7, "conflict", "r1", "h", 5),
    ],
    "a late retry that took the token": [
        CREATED,
        op("x", "dispose r1 h", 4, 5, "disposed"),
        op("x", "claim r1 h", 6, 7, "created", 6),
    ],
    "a conflict that was taken back": [
        CREATED,
        op("y", "claim r2 h", 4, 5, "conflict", "r1", "h", 5),
        op("x", "end r1 completed", 6, 7, "ended", "completed"),
        op("y", "claim r2 h", 8, 9, "created", 6),
    ],
    "a conflict with somebody else": [
        CREATED,
        op("y", "claim r2 h", 4, 5, "conflict", "r9", "h", 5),
    ],
    "a revision that did not grow": [
        CREATED,
        op("x", "dispose r1 h", 4, 5, "disposed"),
        op("y", "claim r2 h", 6, 7, "created", 4),
    ],
    "a payload that was accepted twice": [
        CREATED,
        op("z", "resume p", 4, 5, "accepted", "r1", "h", 1, False),
        op("z", "resume p", 6, 7, "accepted", "r1", "h", 2, False),
    ],
    "a payload that was lost": [
        CREATED,
        op("z", "resume p1", 4, 5, "accepted", "r1", "h", 1, False),
        op("z", "resume p2", 6, 7, "accepted", "r1", "h", 1, False),
    ],
    "a payload after the end": [
        CREATED,
        op("x", "end r1 completed", 4, 5, "ended", "completed"),
        op("z", "resume p", 6, 7, "accepted", "r1", "h", 1, False),
    ],
    "an owner that was told nothing": [
        CREATED,
        op("z", "start r3 take_over -", 4, 5, "superseded", "r1", 6),
        op("x", "end r1 completed", 6, 7, "ended", "completed"),
    ],
}


@pytest.mark.parametrize("what", WRONG)
def test_it_finds(what: str) -> None:
    with pytest.raises(ContradictionError):
        check([*RUNS, *WRONG[what]])


def test_it_shows_what_contradicts_and_no_more() -> None:
    history = list(RUNS)
    for i in range(3, 60):
        at = 10.0 * i
        history += [
            op("x", f"open r{i}", at, at + 1, "started"),
            op("x", f"claim r{i} h", at + 2, at + 3, "created", i),
            op("y", "get", at + 3, at + 4, "held", f"r{i}", "h", i),
            op("z", f"open s{i}", at, at + 1, "started"),
            op("z", f"claim s{i} h", at + 3, at + 4, "conflict", f"r{i}", "h", i),
            op("z", f"dispose s{i} h", at + 5, at + 6, "already"),
            op("x", f"end r{i} completed", at + 4, at + 5, "ended", "completed"),
        ]
    stale = op("y", "get", 506, 507, "held", "r50", "h", 50)
    with pytest.raises(ContradictionError) as told:
        check([*history, stale])
    assert [shown.call[0] for shown in told.value.history] == ["open", "claim", "end", "get"]
    assert "get → held r50 h 50" in str(told.value)
