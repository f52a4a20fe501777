"""Is there an order of the calls on one token that explains all answers?

The search is that of Wing and Gong ("Testing and Verifying Concurrent Objects",
1993) with what Lowe added to it ("Testing for Linearizability", 2017): calls
are put in order only when one of them must have happened, and what was seen
before is not looked at again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tests.model.one_token import FREE, Answer, State, step


@dataclass(frozen=True, slots=True, eq=False)
class Op:
    """A call on a token, as its client saw it.

    Attributes:
        client: who called.
        call: what was called, and with which arguments.
        invoked: when it was called.
        returned: when the answer was there. Without one: until when the call
            may have happened.
        answer: what was answered; None if no answer came. The call has happened
            then, or has not.
    """

    client: str
    call: tuple[str, ...]
    invoked: float
    returned: float
    answer: Answer | None

    def mentions(self) -> set[str]:
        """All names in the call and its answer."""
        return {str(word) for word in (*self.call[1:], *(self.answer or ()))}

    def __str__(self) -> str:
        told = "no answer" if self.answer is None else " ".join(map(str, self.answer))
        asked = " ".join(self.call)
        return f"{self.invoked:>12.6f} … {self.returned:<12.6f} {self.client:>8}: {asked} → {told}"


#: The state of the token, and which of the calls that are under way have happened.
Config = tuple[State, frozenset[Op]]


class ContradictionError(AssertionError):
    """No order explains the answers.

    Attributes:
        history: the calls that contradict each other, as few as were found.
    """

    def __init__(self, history: Sequence[Op]) -> None:
        self.history = history
        lines = [str(op) for op in history]
        super().__init__("\n  ".join(["no order of these calls explains their answers:", *lines]))


def check(history: Iterable[Op]) -> None:
    """Looks for an order.

    Raises:
        ContradictionError: there is none; it has a shortest history without one.
    """
    history = list(history)
    stuck = contradiction(history)
    if stuck is not None:
        raise ContradictionError(shortest(history, stuck))


def contradiction(history: Iterable[Op]) -> Op | None:
    """The first call whose answer no order explains; None if there is an order."""
    ops = list(history)
    # A call that begins in the moment in which another one ends overlaps with it.
    events = [(op.invoked, 0, i) for i, op in enumerate(ops)]
    events += [(op.returned, 1, i) for i, op in enumerate(ops) if op.returned < math.inf]
    pending: list[Op] = []
    configs: set[Config] = {(FREE, frozenset())}
    for _, returns, i in sorted(events):
        op = ops[i]
        if not returns:
            pending.append(op)
            configs = {_settled(config, pending) for config in configs}
            continue
        done = _with(op, configs, pending)
        if op.answer is None:
            done |= {config for config in configs if op not in config[1]}
        if not done:
            return op
        pending.remove(op)
        configs = {(state, happened - {op}) for state, happened in done}
    return None


def _with(op: Op, configs: set[Config], pending: list[Op]) -> set[Config]:
    """All that can be when a call has happened, after others that are under way or before them."""
    found: set[Config] = set()
    seen = set(configs)
    stack = list(configs)
    while stack:
        config = stack.pop()
        if op in config[1]:
            found.add(config)
            continue
        state, happened = config
        for other in pending:
            if other in happened:
                continue
            after, _ = step(state, other.call, other.answer)
            if after is None or (after is state and other.answer is None):
                continue
            fresh = _settled((after, happened | {other}), pending)
            if fresh not in seen:
                seen.add(fresh)
                stack.append(fresh)
    return found


def _settled(config: Config, pending: list[Op]) -> Config:
    """Has all calls happen that can, and that matter to nobody else: later is not better."""
    state, happened = config
    for op in pending:
        if op.answer is None or op in happened:
            continue
        after, matters = step(state, op.call, op.answer)
        if after is not None and not matters:
            state, happened = after, happened | {op}
    return state, happened


def shortest(history: list[Op], stuck: Op) -> list[Op]:
    """Leaves out what is not needed for a contradiction.

    Only what cannot make one by its absence is left out: what came later, runs
    that no other call is about, and calls that have changed nothing.
    """
    short = [
        op if op.returned <= stuck.returned else replace(op, answer=None, returned=math.inf)
        for op in history
        if op.invoked <= stuck.returned
    ]
    short = [
        stuck if op.invoked == stuck.invoked and op.client == stuck.client else op for op in short
    ]
    for run in sorted({op.call[1] for op in short if op.call[0] not in ("get", "resume")}):
        short = _if_stuck(_without(_tied(run, short), short), short)
    for op in list(short):
        # A conflict is remembered, for when its hook is named again.
        unread = op.answer is not None and op.answer[0] in ("free", "held")
        once = [other.call[1:3] for other in short].count(op.call[1:3]) == 1
        if unread or (once and op.answer is not None and op.answer[0] == "conflict"):
            short = _if_stuck([other for other in short if other is not op], short)
    return sorted(short, key=lambda op: op.invoked)


def _without(runs: set[str], history: list[Op]) -> list[Op]:
    """Leaves out what is about some runs, and hooks that have lost to them."""
    gone = {op for op in history if runs & op.mentions()}
    lost = {op.call[1:3] for op in gone if op.call[0] == "claim"}
    about = ("claim", "dispose")
    return [
        op
        for op in history
        if op not in gone and not (op.call[0] in about and op.call[1:3] in lost)
    ]


def _if_stuck(shorter: list[Op], before: list[Op]) -> list[Op]:
    return before if contradiction(shorter) is None else shorter


def _tied(run: str, history: list[Op]) -> set[str]:
    """A run with those that it has superseded, or that have superseded it."""
    tied = {run}
    while True:
        more = {
            str(word)
            for op in history
            if op.answer and op.answer[0] == "superseded" and tied & {op.call[1], op.answer[1]}
            for word in (op.call[1], op.answer[1])
        }
        if more <= tied:
            return tied
        tied |= more
