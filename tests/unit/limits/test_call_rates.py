"""Calls per second, by a clock that the tests turn."""

from __future__ import annotations

import asyncio

import pytest
from google.rpc.error_details_pb2 import RetryInfo
from hookd_daemon.api import quotas
from hookd_daemon.api.quotas import ESSENTIAL, OF_THE_DAEMON, CallRates
from hookd_daemon.api.status import to_status
from hookd_daemon.auth.roles import LEAST
from hookd_daemon.errors import LimitExceededError
from hookd_daemon.telemetry.metrics import Metrics
from opentelemetry.metrics import NoOpMeter


class Rates:
    """Rates of which some projects have one."""

    def __init__(self, **rates: int) -> None:
        self.now = 100.0
        self.metrics = Metrics(NoOpMeter("test"))
        self.rates = CallRates(lambda p: rates.get(p, 0), self.metrics, now=lambda: self.now)

    def let_in(self, project: str, calls: int) -> int:
        """How many of so many calls at once are let in."""
        count = 0
        for _ in range(calls):
            try:
                self.rates.take(project)
            except LimitExceededError:
                continue
            count += 1
        return count


@pytest.mark.parametrize("rate", [1, 3, 7, 1000])
def test_a_second_has_so_many_calls_and_not_one_more(rate: int) -> None:
    clock = Rates(p=rate)
    assert clock.let_in("p", 2 * rate) == rate
    assert clock.metrics.over_quota["calls_per_second"] == rate
    for _ in range(5):
        clock.now += 1
        assert clock.let_in("p", 2 * rate) == rate


def test_calls_that_come_evenly_are_let_in_for_ever() -> None:
    clock = Rates(p=7)
    for _ in range(10_000):
        assert clock.let_in("p", 1) == 1
        clock.now += 1 / 7


def test_who_saved_up_has_one_second_and_not_more() -> None:
    clock = Rates(p=10)
    clock.let_in("p", 1)
    clock.now += 3600
    assert clock.let_in("p", 100) == 10


def test_the_refusal_says_when_to_ask_again() -> None:
    clock = Rates(p=4)
    clock.let_in("p", 4)
    with pytest.raises(LimitExceededError) as refused:
        clock.rates.take("p")
    error = refused.value
    assert error.metadata == {"limit": "calls_per_second", "allowed": "4", "retry_after_ms": "250"}
    retry = RetryInfo()
    assert any(detail.Unpack(retry) for detail in to_status(error).details)
    assert retry.retry_delay.ToMilliseconds() == 250
    clock.now += 0.25
    clock.rates.take("p")


def test_projects_do_not_use_up_each_others_calls() -> None:
    clock = Rates(p=1, q=2)
    assert clock.let_in("p", 5) == 1
    assert clock.let_in("q", 5) == 2
    assert clock.let_in("unlimited", 5) == 5


def test_what_is_essential_counts_and_is_let_in() -> None:
    clock = Rates(p=10)
    for _ in range(1000):
        clock.rates.take("p", essential=True)
    assert clock.let_in("p", 1) == 0
    clock.now += 2.2  # what is owed is bounded
    assert clock.let_in("p", 1) == 1


def test_projects_that_call_no_more_are_forgotten() -> None:
    rates = CallRates(lambda _: 1, Metrics(NoOpMeter("test")), now=lambda: now)
    now = 0.0
    for i in range(100_000):
        now += 0.01
        rates.take(f"p{i}")
    assert len(rates._even) <= quotas.LEAST_SWEEP


async def test_a_stream_is_slowed_down() -> None:
    rates = CallRates(lambda _: 50, Metrics(NoOpMeter("test")))
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for _ in range(60):
        await rates.pace("p")
    assert loop.time() - begin >= 9 / 50


def test_every_call_that_is_named_is_there() -> None:
    assert LEAST.keys() > ESSENTIAL | OF_THE_DAEMON
