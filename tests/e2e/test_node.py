"""The API in another language: a Node program plays the conflict story."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import google.rpc.status_pb2

from tests.support.daemon import Daemon

NODE = Path(sys.executable).with_name("node")
FOLDER = Path(__file__).resolve().parent.parent / "node"


def test_the_conflict_story_in_node(shared_daemon: Daemon) -> None:
    """Nothing of ours but the protos is on the other side."""
    assert NODE.exists(), "node is not installed: run `make setup`"
    assert (FOLDER / "node_modules").exists(), "its packages are not installed: run `make setup`"
    # googleapis-common-protos brings the sources of its modules.
    googleapis = Path(google.rpc.status_pb2.__file__).parents[2]
    played = subprocess.run(
        [str(NODE), "--test", "--test-reporter=spec"],
        cwd=FOLDER,
        env={
            **os.environ,
            "PATH": f"{NODE.parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "HOOKD_ADDRESS": shared_daemon.address,
            "GOOGLEAPIS": str(googleapis),
        },
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert played.returncode == 0, played.stdout + played.stderr
    # A run that found no tests succeeds as well.
    assert "fail 0" in played.stdout
    assert "pass 5" in played.stdout
