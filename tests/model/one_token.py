"""What one token does when calls come one at a time: the tables of the guarantees again.

Each run claims the one token only. Calls and answers are short tuples of words:

- ``("open", run)``: starts a run without a claim. ``("started",)``, ``("already",)``.
- ``("claim", run, hook)``: ``("created", revision)``, ``("exists", revision)``,
  ``("conflict", run, hook, revision)``, ``("gone",)``, ``("not active", status)``, ``("no run",)``.
- ``("start", run, policy, payload)``: starts a run with the claim ``claim-1``.
  ``("created", revision)``, ``("superseded", run, revision)``, ``("already",)``,
  ``("conflict", run, hook, revision)``, ``("existing", run, hook)``,
  ``("delivered", run, position, duplicate)``.
- ``("dispose", run, hook)``: ``("disposed",)``, ``("already",)``, ``("no hook",)``,
  ``("no run",)``.
- ``("end", run, status)``: ``("ended", status)``, ``("already",)``, ``("not active", status)``,
  ``("no run",)``.
- ``("get",)``: ``("held", run, hook, revision)``, ``("free",)``.
- ``("resume", payload)``: ``("accepted", run, hook, position, duplicate)``, ``("free",)``.
"""

from __future__ import annotations

from typing import Any

Answer = tuple[Any, ...]
#: What was answered when no answer came.
UNKNOWN = 0


class State(dict[Any, Any]):
    """What is known of a token; never changed, so that it can be a member of sets.

    Its keys: "owner" for the run, hook and revision that hold it, "revision"
    for the greatest one seen, ("run", run) for a status, ("hook", run, hook)
    for what became of a claim, ("payload", payload) for who has accepted it and
    ("count", run, hook) for how many a hook has.
    """

    def __init__(self, *facts: Any) -> None:
        super().__init__(*facts)
        self._hash = hash(frozenset(self.items()))

    def __hash__(self) -> int:  # type: ignore[override]
        return self._hash

    def having(self, facts: dict[Any, Any]) -> State:
        """The state in which this holds, too."""
        return State({**self, **facts})


FREE = State({"owner": None, "revision": UNKNOWN})


def step(state: State, call: tuple[str, ...], told: Answer | None) -> tuple[State | None, bool]:
    """Makes a call.

    Args:
        state: the token before.
        call: the call.
        told: the answer that it got; None for any.

    Returns:
        The state after it, None if it would have been answered otherwise; and
        whether anybody but its caller can tell that it has happened.
    """
    answer, facts, matters = _RULES[call[0]](state, told, *call[1:])
    if told is not None and not _fits(answer, told):
        return None, False
    revision = _revision(told)
    if answer[0] in ("created", "superseded") and revision and revision <= state["revision"]:
        return None, False
    return (state.having(facts) if facts else state), matters


def _fits(answer: Answer, told: Answer) -> bool:
    """Whether two answers are the same, as far as is known."""
    return len(answer) == len(told) and all(
        a == b or (a is UNKNOWN and type(b) is int) for a, b in zip(answer, told, strict=True)
    )


def _revision(told: Answer | None) -> int:
    """The revision of a claim that was won."""
    won = told is not None and told[0] in ("created", "superseded")
    return told[-1] if won and told is not None else UNKNOWN


Outcome = tuple[Answer, dict[Any, Any], bool]


def _open(state: State, told: Answer | None, run: str) -> Outcome:
    if ("run", run) in state:
        return ("already",), {}, False
    return ("started",), {("run", run): "running"}, False


def _claim(state: State, told: Answer | None, run: str, hook: str) -> Outcome:
    status = state.get(("run", run))
    known = state.get(("hook", run, hook))
    if known is not None:
        return known, {}, False
    if status != "running":
        return ("no run",) if status is None else ("not active", status), {}, False
    if state["owner"] is not None:
        lost = ("conflict", *state["owner"])
        return lost, {("hook", run, hook): lost}, False
    return ("created", UNKNOWN), _won(state, told, run, hook), True


def _won(state: State, told: Answer | None, run: str, hook: str) -> dict[Any, Any]:
    revision = _revision(told)
    return {
        "owner": (run, hook, revision),
        "revision": max(revision, state["revision"]),
        ("hook", run, hook): ("exists", revision),
    }


def _start(state: State, told: Answer | None, run: str, policy: str, payload: str) -> Outcome:
    if ("run", run) in state:
        return ("already",), {}, False
    if policy == "deliver" and ("payload", payload) in state:
        by, _, position = state["payload", payload]
        return ("delivered", by, position, True), {}, False
    owner = state["owner"]
    facts: dict[Any, Any] = {("run", run): "running"}
    if owner is None:
        facts |= _won(state, told, run, "claim-1")
        if policy == "deliver":
            facts |= _accepted(state, run, "claim-1", payload)
        return ("created", UNKNOWN), facts, True
    if policy == "fail":
        return ("conflict", *owner), {}, False
    if policy == "use_existing":
        return ("existing", *owner[:2]), {}, False
    if policy == "deliver":
        facts = _accepted(state, owner[0], owner[1], payload)
        return ("delivered", owner[0], facts["payload", payload][2], False), facts, True
    facts["run", owner[0]] = "cancelled"
    facts |= _won(state, told, run, "claim-1")
    return ("superseded", owner[0], UNKNOWN), facts, True


def _accepted(state: State, run: str, hook: str, payload: str) -> dict[Any, Any]:
    position = state.get(("count", run, hook), 0) + 1
    return {("payload", payload): (run, hook, position), ("count", run, hook): position}


def _dispose(state: State, told: Answer | None, run: str, hook: str) -> Outcome:
    if ("run", run) not in state:
        return ("no run",), {}, False
    if ("hook", run, hook) not in state:
        return ("no hook",), {}, False
    if state["owner"] is None or state["owner"][:2] != (run, hook):
        return ("already",), {}, False
    return ("disposed",), {"owner": None, ("hook", run, hook): ("gone",)}, True


def _end(state: State, told: Answer | None, run: str, how: str) -> Outcome:
    status = state.get(("run", run))
    if status is None:
        return ("no run",), {}, False
    if status != "running":
        return (("already",) if status == how else ("not active", status)), {}, False
    owns = state["owner"] is not None and state["owner"][0] == run
    facts: dict[Any, Any] = {("run", run): how}
    return ("ended", how), facts | ({"owner": None} if owns else {}), owns


def _get(state: State, told: Answer | None) -> Outcome:
    owner = state["owner"]
    return ("free",) if owner is None else ("held", *owner), {}, False


def _resume(state: State, told: Answer | None, payload: str) -> Outcome:
    if ("payload", payload) in state:
        return ("accepted", *state["payload", payload], True), {}, False
    owner = state["owner"]
    if owner is None:
        return ("free",), {}, False
    facts = _accepted(state, owner[0], owner[1], payload)
    return ("accepted", *facts["payload", payload], False), facts, True


_RULES: dict[str, Any] = {
    "open": _open,
    "claim": _claim,
    "start": _start,
    "dispose": _dispose,
    "end": _end,
    "get": _get,
    "resume": _resume,
}
