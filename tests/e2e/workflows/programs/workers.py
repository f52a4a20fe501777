"""What ``hookctl worker`` is told to serve."""

from __future__ import annotations

from hookd.worker import Worker

from tests.e2e.workflows.programs import (
    bad,
    cancelled,
    cleanup,
    flows,
    hooks,
    killed,
    sleeps,
    steps,
    webhooks,
)

_ALL = (steps, sleeps, cleanup, hooks, flows, cancelled, bad, webhooks)

#: Keeps runs in memory between their turns.
warm = Worker(_ALL)
#: Keeps none: every turn is a replay from the first event on.
cold = Worker(_ALL, max_cached_runs=0)
#: Keeps one: a turn at one run throws the other out.
narrow = Worker(cleanup, max_cached_runs=1)
#: Says early that a turn takes too long, and ends it.
strict = Worker(bad, turn_timeout=1)
#: Is killed.
victim = Worker((killed, cleanup, webhooks))
