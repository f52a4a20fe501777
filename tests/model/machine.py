"""Random steps, made of the oracle and of worlds, which must agree after each."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.model.facts import Facts, Symbol
from tests.model.oracle import Oracle
from tests.model.steps import (
    ANY_STEP,
    CALLS,
    CHANGING,
    ENDING,
    PACE_MS,
    REPEATS,
    RETENTION_MS,
    RUNS,
    TOKENS,
    Step,
    leases,
)
from tests.model.things import MAX_TOKEN_BYTES, Refused, Spec
from tests.model.wire import Wire, snapshot_facts
from tests.model.worlds import World
from tests.support.snapshot import snapshot

#: Where the time of the first example begins.
BEGIN_MS = 1_700_000_000_000

_projects = itertools.count(1)


class Disagreement(AssertionError):
    """A world does not do what the oracle says."""


class Machine(RuleBasedStateMachine):
    """The oracle beside some worlds.

    Attributes:
        worlds: what is held against the oracle.
        tally: how often each call, outcome, reason and end has occurred.
        restarts: how often the worlds may go down in one example.
    """

    worlds: ClassVar[Sequence[World]] = ()
    tally: ClassVar[Counter[str]] = Counter()
    restarts: ClassVar[int] = 2
    #: The clock of the worlds never goes back, from one example to the next.
    latest: ClassVar[int] = BEGIN_MS

    def __init__(self) -> None:
        super().__init__()
        self.oracle = Oracle(self._later(), RETENTION_MS)
        self.done: list[tuple[str, dict[str, Any]]] = []
        self.restarts_left = self.restarts
        self.disagreed = False
        self.going_down: tuple[str, int] | None = None
        project = f"example-{next(_projects)}"
        for world in self.worlds:
            world.set_time(self.oracle.now)
            world.enter(project)

    def _later(self) -> int:
        cls = Machine
        cls.latest = (cls.latest // PACE_MS + 1) * PACE_MS
        return cls.latest

    def teardown(self) -> None:
        """Ends all there is, so that the next example finds the worlds empty."""
        if self.disagreed:
            return
        for world in self.worlds:
            world.leave()
        self._pass_to(self._later())
        for run in [run for run in self.oracle.runs.values() if run.active]:
            self._make("cancel_run", {"run_id": run.run_id, "reason": "the example is over"})
        while due := self.oracle.due():
            self._pass_to(due[-1].time)

    # Time.

    def _pass_to(self, time: int) -> None:
        """Lets time go on in all worlds, from one thing that comes due to the next."""
        while (due := self.oracle.due()) and due[0].time <= time:
            for world in self.worlds:
                world.set_time(due[0].time)
                world.sweep()
            self._set_time(due[0].time)
        self._set_time(time)

    def _set_time(self, time: int) -> None:
        Machine.latest = max(Machine.latest, time)
        due = self.oracle.due()
        if due and due[0].time <= time:
            self.tally[due[0].kind] += 1
        self.oracle.pass_to(time)
        for world in self.worlds:
            world.set_time(time)

    def _last_moment(self, call: str, arguments: dict[str, Any]) -> int | None:
        """When the next thing ends by itself, if a call then must see that it has.

        Of a hook that expires only the token is promised to be free in that very
        millisecond. In which order it and other things get into the log of the
        run is not, as long as its end comes last.
        """
        due = self.oracle.due()
        if not due or due[0].kind == "removed" or (len(due) > 1 and due[0].time == due[1].time):
            return None
        hook = due[0].hook
        if due[0].kind == "expired" and hook is not None and call not in ENDING:
            claims = [*arguments.get("hooks", []), (arguments.get("run_id"), arguments.get("spec"))]
            about = {run_id for run_id, _ in claims}
            specs = [spec for _, spec in claims if spec] + list(arguments.get("claims", []))
            tokens = {spec.token for spec in specs} | {arguments.get("token")}
            others = [holder for token, holder in self.oracle.holders.items() if token in tokens]
            about |= {holder.run.run_id for holder in others if holder is not hook}
            if hook.run.run_id in about and arguments.get("hook_id") != hook.spec.hook_id:
                return None
        return due[0].time

    # Calls.

    def do(self, call: str, *, late: bool = False, **arguments: Any) -> None:
        """Makes a call everywhere, and compares the answers and all there is.

        Args:
            call: a method of the oracle.
            late: make it in the millisecond in which something ends by itself,
                before the worlds have got round to ending it.
            arguments: its arguments.
        """
        arguments = {name: self._named(value) for name, value in arguments.items()}
        at = self._last_moment(call, arguments) if late and self.going_down is None else None
        if at is None:
            self._pass_to(self._later())
        else:
            self._set_time(at)
        self.done.append((call, arguments))
        expected = self._make(call, arguments)
        self._note(call, expected)
        if self.going_down is not None and call in CHANGING and "refused" not in expected:
            (how, which), self.going_down = self.going_down, None
            self._go_down(how, which)
        everything = self.oracle.snapshot()
        for world in self.worlds:
            world.sweep()
            self._agree(world, "snapshot", everything, snapshot_facts(snapshot(world.api)))

    def _make(self, call: str, arguments: dict[str, Any]) -> Facts:
        try:
            expected: Facts = getattr(self.oracle, call)(**arguments)
        except Refused as refused:
            expected = {"refused": refused.facts}
        for world in self.worlds:
            answer = Wire(world.api, world.bindings).perform(call, arguments, expected)
            self._agree(world, call, expected, answer)
        return expected

    def _agree(self, world: World, call: str, expected: Facts, answer: Facts) -> None:
        wrong = world.bindings.differences(expected, answer)
        if wrong:
            self.disagreed = True
            where = f"{world.name}, {call} at {self.oracle.now - BEGIN_MS} ms"
            raise Disagreement("\n  ".join([where, *wrong]))

    def _named(self, value: Any) -> Any:
        """An argument, with what is meant in the place of what stands in parentheses."""
        if isinstance(value, Spec):
            return replace(value, token=self._named(value.token))
        if isinstance(value, list | tuple):
            return type(value)(map(self._named, value))
        oracle = self.oracle
        match value:
            case "(active)":
                return next((run.run_id for run in oracle.runs.values() if run.active), RUNS[0])
            case "(fresh)":
                return next((run_id for run_id in RUNS if run_id not in oracle.runs), RUNS[0])
            case "(taken)":
                return next(iter(oracle.holders), TOKENS[0])
            case "(generated)":
                made = oracle.made["token"]
                return Symbol("token", made) if made else TOKENS[0]
            case "(too long)":
                return "x" * (MAX_TOKEN_BYTES + 1)
        return value

    def _note(self, call: str, expected: Facts) -> None:
        found = [call, expected.get("outcome")]
        refused = [expected.get("refused")]
        refused += [result.get("error") for result in expected.get("results", [])]
        found += [facts["reason"] for facts in refused if facts]
        found += [name for name in REPEATS if expected.get(name)]
        self.tally.update(word for word in found if word)

    # Rules.

    @initialize(some=st.lists(leases, min_size=4, max_size=4))
    def begin(self, some: list[int]) -> None:
        """Some runs are there from the beginning."""
        for run_id, lease_ttl in zip(RUNS, some, strict=False):
            self.do("start_run", run_id=run_id, lease_ttl=lease_ttl)

    @rule(step=ANY_STEP)
    def act(self, step: Step) -> None:
        """Makes a step: one rule for all, or an example would be without some of them."""
        name, arguments = step
        if name in CALLS:
            self.do(name, **arguments)
        else:
            getattr(self, name)(**arguments)

    def wait(self, beats: int) -> None:
        """Lets time pass."""
        self._pass_to(self._later() + beats * PACE_MS)

    def again(self, which: int) -> None:
        """Makes a call again, with the same ids."""
        call, arguments = self.done[-1 - which % len(self.done)]
        self.do(call, **arguments)

    def start_again(self, which: int, **payload: str) -> None:
        """Starts a run again, with a payload this time: also one that is new."""
        starts = [arguments for _, arguments in self.done if arguments.get("claims")]
        if starts:
            start = starts[-1 - which % len(starts)]
            self.do("start_run", **{**start, "on_conflict": "deliver", **payload})

    def when_something_ends(self, how: str, which: int, payload_id: str) -> None:
        """Makes a call in the very millisecond in which something ends by itself."""
        due = self.oracle.due()
        call, arguments = self.done[-1 - which % len(self.done)]
        if due and how != "again":
            run_id, hook = due[0].run.run_id, due[0].hook
            held = (
                [hook] if hook else [h for h in self.oracle.holders.values() if h.run is due[0].run]
            )
            token = held[0].token if held else TOKENS[0]
            rival = RUNS[which % len(RUNS)]
            call, arguments = {
                "claim": ("create_hook", {"run_id": rival, "spec": Spec("late", token)}),
                "resume": (
                    "resume_hook",
                    {"token": token, "payload_id": payload_id, "payload": "1"},
                ),
                "read": ("get_hook", {"token": token}),
                "ask": ("get_run", {"run_id": run_id}),
                "end": ("complete_run", {"run_id": run_id, "output": "1"}),
            }[how]
        self.do(call, late=True, **arguments)

    def crowd(self, run_id: str) -> None:
        """Has more readers than there may be."""
        run = self.oracle.runs.get(self._named(run_id))
        if run is not None and run.active:
            self.tally.update(
                reason for world in self.worlds if (reason := world.crowd(run.run_id))
            )

    def restart(self, how: str, which: int) -> None:
        """Has the worlds go down right behind the next answer to a call that changes something."""
        if self.restarts_left:
            self.restarts_left -= 1
            self.going_down = (how, which)

    def _go_down(self, how: str, which: int) -> None:
        """Goes down, refuses a call, and comes up again."""
        call, arguments = self.done[-1 - which % len(self.done)]
        for world in self.worlds:
            world.stop(how)
            told = Wire(world.api, world.bindings).perform(call, arguments, {"refused": {}})
            # What is wrong in itself may be refused before the store is asked.
            assert told["refused"]["code"] in ("UNAVAILABLE", "INVALID_ARGUMENT"), told
            self.tally["STORE_UNAVAILABLE"] += told["refused"]["code"] == "UNAVAILABLE"
            world.start()
        self.tally[how] += 1
        self.oracle.restart()
        for token in list(self.oracle.holders):
            self._make("get_hook", {"token": token})
