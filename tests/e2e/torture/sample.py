"""Random tests that are easy to follow; run by ``test_torture.py``, which says what they do."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.effort import effort, seed

pytestmark = pytest.mark.torture


def note(**facts: object) -> None:
    with Path(os.environ["SAMPLE_NOTES"]).open("a") as notes:
        notes.write(json.dumps(facts) + "\n")


def test_dice() -> None:
    note(seed=seed(), effort=effort(10))


def test_that_fails_when_it_tries_hard() -> None:
    assert effort(10) < int(os.environ.get("SAMPLE_FAILS_FROM", "1000")), "as it was told"


@pytest.mark.skipif("SAMPLE_WAITS" not in os.environ, reason="it would never end")
def test_that_waits(daemon: Daemon) -> None:
    note(daemon=daemon.pid)
    signal.pause()


def test_without_a_wish() -> None:
    note(effort=effort(0))
