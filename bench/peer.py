"""Runs the peer of the workflows: a process and an environment of its own."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.tools import PYTHON

PATIENCE = 600


@dataclass(frozen=True)
class Setting:
    """A way to run the peer, and how much of it is measured in a round.

    Attributes:
        name: for people.
        wal: whether SQLite keeps a write-ahead log, instead of a rollback journal.
        poll: how often it looks for messages, in seconds.
        resumes: how many messages are measured.
    """

    name: str
    wal: bool
    poll: float
    resumes: int


#: What a team gets that configures nothing. Half a second of waiting for each
#: message, so few of them.
AS_IT_COMES = Setting("as it comes", wal=False, poll=1.0, resumes=4)
#: The fastest that it allows, and as durable.
TUNED = Setting("tuned", wal=True, poll=0.001, resumes=30)


def installed() -> bool:
    """Whether there is a peer."""
    return PYTHON.exists()


def measure(
    setting: Setting, folder: Path, *, warm_up: int, runs: int, many: int, in_flight: int, life: int
) -> dict[str, Any]:
    """One round of the peer, on a new database.

    Args:
        setting: how it is run.
        folder: where the database goes.
        warm_up: runs before anything is measured.
        runs: runs of three steps, one at a time.
        many: runs of three steps, ``in_flight`` at a time.
        in_flight: see above.
        life: the steps of one long run.
    """
    folder.mkdir()
    plan = {
        "folder": str(folder),
        "wal": setting.wal,
        "poll": setting.poll,
        "resumes": setting.resumes,
        "warm_up": warm_up,
        "runs": runs,
        "many": many,
        "in_flight": in_flight,
        "life": life,
    }
    command = [str(PYTHON), str(Path(__file__).with_name("peer_dbos.py")), json.dumps(plan)]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    if done.returncode:
        raise RuntimeError(f"the peer ended with {done.returncode}:\n{done.stderr}")
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report | {"poll": setting.poll}
