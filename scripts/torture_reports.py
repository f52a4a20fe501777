"""A plugin of pytest that tells ``scripts.torture`` line by line how a round goes on.

The lines are JSON objects with one key: ``tests`` (how many there are),
``begun``, ``ended`` and ``failed`` (the name of a test).
"""

from __future__ import annotations

import json
import os
from typing import TextIO

import pytest

#: The environment variable with the number of the pipe to write to.
PIPE = "HOOKD_TORTURE_PIPE"


class Reports:
    """Writes what happens to a pipe.

    Args:
        pipe: where to.
    """

    def __init__(self, pipe: TextIO) -> None:
        self._pipe = pipe

    def _tell(self, what: str, value: object) -> None:
        self._pipe.write(json.dumps({what: value}) + "\n")
        self._pipe.flush()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """All tests are known."""
        self._tell("tests", len(session.items))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A test begins."""
        self._tell("begun", nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A part of a test has ended: its set-up, itself or its tear-down."""
        if report.failed:
            self._tell("failed", report.nodeid)
        if report.when == "teardown":
            self._tell("ended", report.nodeid)


def pytest_configure(config: pytest.Config) -> None:
    """Takes the pipe that the environment names."""
    number = int(os.environ.pop(PIPE))
    # The daemons of the tests do not get it: its end is the end of the round.
    os.set_inheritable(number, False)
    config.pluginmanager.register(Reports(os.fdopen(number, "w")), "torture-reports")
