"""Turns among projects: few calls of each at a time while others call."""

from __future__ import annotations

import asyncio

import pytest
from hookd_daemon.api import sharing
from hookd_daemon.api.gate import Gate
from hookd_daemon.api.sharing import LARGE_BYTES, LATELY_S, SMALL_AT_ONCE, Place, Sharing
from hookd_daemon.errors import LimitExceededError
from hookd_daemon.telemetry.metrics import Metrics
from opentelemetry.metrics import NoOpMeter


class Clock:
    def __init__(self, max_calls: int = 1_000_000) -> None:
        self.now = 100.0
        self.metrics = Metrics(NoOpMeter("test"))
        self.sharing = Sharing(self.metrics, max_calls, now=lambda: self.now)

    def begin(self, project: str, count: int, size: int = 1) -> list[Place]:
        places = [self.sharing.enter(project) for _ in range(count)]
        for place in places:
            place.ask(size)
        return places


def waiting(places: list[Place]) -> int:
    return sum(place.turn is not None and not place.turn.done() for place in places)


async def test_who_is_alone_has_all_of_it() -> None:
    clock = Clock()
    assert waiting(clock.begin("p", 1000)) == 0
    assert waiting(clock.begin("p", 1000, LARGE_BYTES)) == 0


async def test_a_flood_waits_for_itself_and_others_do_not_wait_for_it() -> None:
    clock = Clock()
    flood = clock.begin("flood", 100)
    (victim,) = clock.begin("victim", 1)
    assert victim.turn is None
    more = clock.begin("flood", 50)
    assert waiting(more) == 50, "the flood had more under way than it may have now"
    for place in flood[: 100 - SMALL_AT_ONCE]:
        place.end()
    assert waiting(more) == 50
    flood[-1].end()
    assert waiting(more) == 49
    assert more[0].turn is not None, "the first that came is the first that goes"
    assert more[0].turn.done()
    (victim,) = clock.begin("victim", 1)
    assert victim.turn is None


async def test_when_nobody_else_calls_any_more_all_go_on() -> None:
    clock = Clock()
    clock.begin("victim", 1)[0].end()
    flood = clock.begin("flood", 100)
    assert waiting(flood) == 100 - SMALL_AT_ONCE
    clock.now += LATELY_S
    flood[0].end()
    assert waiting(flood) == 0
    assert waiting(clock.begin("flood", 100)) == 0


async def test_a_new_call_wakes_those_that_wait_when_nobody_else_calls_any_more() -> None:
    clock = Clock()
    clock.begin("victim", 1)
    flood = clock.begin("flood", 100)
    clock.now += LATELY_S
    clock.begin("flood", 1)
    assert waiting(flood) == 0


async def test_large_ones_go_one_by_one_with_rests() -> None:
    clock = Clock()
    clock.begin("victim", 1)
    first, second, third = clock.begin("flood", 3, LARGE_BYTES)
    assert waiting([first, second, third]) == 2
    assert waiting(clock.begin("flood", 1)) == 0, "a small one does not wait for large ones"
    clock.now += 0.01
    first.end()
    assert waiting([second, third]) == 2, "it rests"
    assert second.turn is not None
    await asyncio.wait_for(second.turn, 10)
    assert waiting([third]) == 1


async def test_a_rest_is_not_longer_than_it_may_be() -> None:
    clock = Clock()
    clock.begin("victim", 1)
    first, second = clock.begin("flood", 2, LARGE_BYTES)
    clock.now += LATELY_S / 2  # a very slow one
    first.end()
    begin = asyncio.get_running_loop().time()
    assert second.turn is not None
    await asyncio.wait_for(second.turn, 10)
    assert asyncio.get_running_loop().time() - begin >= sharing.LONGEST_REST_S


async def test_who_gives_up_waiting_leaves_his_turn_to_the_next() -> None:
    clock = Clock()
    clock.begin("victim", 1)
    flood = clock.begin("flood", SMALL_AT_ONCE + 2)
    given_up, next_ = flood[-2:]
    assert given_up.turn is not None
    given_up.turn.cancel()
    given_up.end()
    flood[0].end()
    assert next_.turn is not None
    assert next_.turn.done()
    for place in [*flood[1:SMALL_AT_ONCE], next_]:
        place.end()
    assert waiting(clock.begin("flood", SMALL_AT_ONCE)) == 0, "nothing was lost"


async def test_who_has_its_turn_and_gives_up_gives_it_back() -> None:
    clock = Clock()
    clock.begin("victim", 1)
    flood = clock.begin("flood", SMALL_AT_ONCE + 2)
    flood[0].end()
    assert waiting(flood) == 1
    flood[-2].end()
    assert waiting(flood) == 0


async def test_a_long_wait_leaves_its_place() -> None:
    clock = Clock()
    gate = Gate(clock.metrics, 1000, 1000)
    clock.begin("victim", 1)
    flood = clock.begin("flood", SMALL_AT_ONCE + 1)
    assert waiting(flood) == 1
    with gate.long_wait(flood[0]):
        assert waiting(flood) == 0
    (next_,) = clock.begin("flood", 1)
    flood[0].end()
    assert waiting([next_]) == 1, "who came back from a wait has a place again"
    flood[1].end()
    assert waiting([next_]) == 0


async def test_some_calls_are_kept_for_projects_that_have_few() -> None:
    clock = Clock(max_calls=80)
    clock.metrics.calls_in_flight = 70
    clock.begin("flood", 70)
    clock.metrics.calls_in_flight = 71
    with pytest.raises(LimitExceededError) as refused:
        clock.begin("flood", 1)
    assert refused.value.metadata == {"limit": "calls_in_flight", "allowed": "70"}
    assert clock.metrics.rejected["calls"] == 1
    assert len(clock.begin("victim", 10)) == 10
    with pytest.raises(LimitExceededError):
        clock.begin("victim", 1)


async def test_a_refused_call_takes_no_place() -> None:
    clock = Clock(max_calls=8)
    clock.metrics.calls_in_flight = 8
    (only,) = clock.begin("p", 1)
    for _ in range(10):
        with pytest.raises(LimitExceededError):
            clock.begin("p", 1)
    only.end()
    clock.begin("p", 1)


async def test_idle_projects_are_forgotten() -> None:
    clock = Clock()
    for i in range(10_000):
        clock.begin(f"p{i}", 1)[0].end()
    assert len(clock.sharing._tenants) <= 2 * sharing.LEAST_SWEEP
