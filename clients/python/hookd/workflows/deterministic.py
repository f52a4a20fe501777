"""Time and randomness that a replay of a workflow sees again.

Elsewhere these functions give the real time and real randomness, so that code
which uses them can be shared.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from random import Random

from hookd.workflows.context import current_or_none

_outside = Random()  # noqa: S311 - the run's own is none for secrets either


def now() -> datetime:
    """Gives the time, in UTC; in a workflow, that of the event that it goes on from."""
    runtime = current_or_none()
    return datetime.now(UTC) if runtime is None else runtime.now


def random() -> Random:
    """Gives a generator of random numbers; in a workflow, that of its run.

    Its methods are those of ``random.Random``: ``hookd.random().randint(1, 6)``.
    """
    runtime = current_or_none()
    return _outside if runtime is None else runtime.randomness.random


def uuid4() -> uuid.UUID:
    """Gives a random UUID; in a workflow, the same one in each replay."""
    runtime = current_or_none()
    return uuid.uuid4() if runtime is None else runtime.randomness.uuid4()
