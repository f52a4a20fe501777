"""Schemathesis holds the JSON API against its own description, with all of its checks.

It makes requests that the description allows and requests that it forbids, with
and without a key, and follows what answers lead to. What may be said of single
calls only is in ``schemathesis.toml``, what it cannot know in ``schemathesis_hooks``.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hookd_daemon.auth.roles import Role
from hookd_daemon.http.rest.openapi import operation_id
from hookd_daemon.http.rest.routes import ROUTES

from tests.e2e.doors import keys
from tests.support.daemon import running
from tests.support.effort import effort, seed

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
COMMAND = Path(sys.executable).with_name("st")


def _run(folder: Path, *options: str) -> str:
    with running(folder, "--require-keys") as daemon:
        key = keys.create(daemon.data_dir, None, Role.ADMIN)
        done = subprocess.run(
            [
                COMMAND,
                f"--config-file={HERE / 'schemathesis.toml'}",
                "run",
                f"http://{daemon.http}/v1/openapi.json",
                "--checks=all",
                "--warnings=off",
                "--no-color",
                "--continue-on-failure",
                "--request-timeout=60",
                "--generation-database=none",
                f"--seed={seed()}",
                *options,
            ],
            cwd=folder,
            env=os.environ
            | {
                "HOOKD_TEST_KEY": key,
                "PYTHONPATH": str(ROOT),
                "SCHEMATHESIS_HOOKS": "tests.e2e.rest.schemathesis_hooks",
                "COLUMNS": "200",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert '"level": "error"' not in daemon.log
        return done.stdout


def _cases(output: str) -> int:
    found = re.search(r"(\d+) generated", output)
    assert found, output
    return int(found[1])


@pytest.mark.torture
@pytest.mark.timeout(300)
def test_examples_random_requests_and_what_they_lead_to(tmp_path: Path) -> None:
    output = _run(tmp_path, "--phases=examples,fuzzing,stateful", f"--max-examples={effort(1)}")
    assert _cases(output) > len(ROUTES)


@pytest.mark.torture
@pytest.mark.timeout(300)
def test_the_edges_of_every_limit(tmp_path: Path) -> None:
    """Of one call, which takes hundreds of requests; of more when it tries harder."""
    dice = random.Random(seed())
    some = dice.sample(ROUTES, min(len(ROUTES), effort(1)))
    chosen = [f"--include-operation-id={operation_id(route)}" for route in some]
    output = _run(tmp_path, "--phases=coverage", *chosen)
    assert _cases(output) >= len(some)
