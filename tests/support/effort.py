"""How hard the random tests try, and from which seed; a plugin of pytest that names the seed.

A random test draws everything from `seed`, so that a failure can be repeated, and takes how often
or how long it tries from `effort`. Two variables of the environment steer them:

- ``HOOKD_SEED``: an integer from 0 on. A fresh one is drawn if it is unset.
- ``HOOKD_EFFORT``: a number above 0, by which rounds or seconds are multiplied. 1 if it is unset.

``make torture`` sets both, for the tests marked ``torture``. Tests of hypothesis draw from the seed
that its own option ``--hypothesis-seed`` gives; ``make torture`` gives it the same one.
"""

from __future__ import annotations

import functools
import math
import os
import secrets
from collections.abc import Generator

import pytest

SEED = "HOOKD_SEED"
EFFORT = "HOOKD_EFFORT"


@functools.cache
def seed() -> int:
    """Returns the seed of this process: the same for all its tests.

    Raises:
        ValueError: ``HOOKD_SEED`` is set, and is not an integer from 0 on.
    """
    text = os.environ.get(SEED, "")
    if not text:
        return secrets.randbelow(1 << 32)
    value = int(text)
    if value < 0:
        raise ValueError(f"{SEED}={text} is negative")
    return value


@functools.cache
def factor() -> float:
    """Returns by how much the tests try harder (above 1) or less hard (below 1).

    Raises:
        ValueError: ``HOOKD_EFFORT`` is set, and is not a number above 0.
    """
    text = os.environ.get(EFFORT, "")
    value = float(text) if text else 1.0
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{EFFORT}={text} is not a number above 0")
    return value


def effort(rounds: int) -> int:
    """Returns how many rounds (or seconds) to try where it were `rounds` with an effort of 1.

    At least one, so that no test passes by doing nothing.
    """
    return max(1, round(rounds * factor()))


def repeat_with() -> str:
    """Returns the environment that repeats the tests of this process, as a shell takes it."""
    return f"{SEED}={seed()} {EFFORT}={factor():g}"


def pytest_report_header() -> str:
    """Names the seed at the top of a run of the tests."""
    return f"random tests: {repeat_with()}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Gives the random tests more time when they are to try harder."""
    for item in items:
        if factor() <= 1 or not item.get_closest_marker("torture"):
            continue
        own = item.get_closest_marker("timeout")
        seconds = own.args[0] if own and own.args else float(config.getini("timeout") or 0)
        item.add_marker(pytest.mark.timeout(seconds * factor()), append=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Names the seed below the failure of a random test, also where no header is shown."""
    report = yield
    if report.failed and item.get_closest_marker("torture"):
        how = f"--hypothesis-seed={seed()} '{item.nodeid}'"
        report.sections.append(("repeat with", f"{repeat_with()} .venv/bin/pytest {how}"))
    return report
