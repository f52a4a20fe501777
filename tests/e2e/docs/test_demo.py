"""``make demo`` plays the whole story, and leaves nothing behind."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.concurrency import eventually
from tests.support.programs import environment, processes_of

DEMO = Path(__file__).parents[3] / "demo" / "demo.py"

KEY_LINES = (
    "✓ the token had exactly one owner",
    "was told who the owner is: checkout-",
    "✓ the owner got the payment that the loser forwarded",
    "✓ both saw the one result",
    "✓ the stuck process was told, and why",
    "✓ the new claim has a greater revision",
    "✓ the daemon died of SIGKILL",
    "✓ the claim is there: payment-43 is still harbour's",
    "✓ the payment that was accepted is there",
    "✓ a new claim loses, and is told the same owner",
    "✓ harbour got both payments, in order",
    "✓ airport's call just went on, and brought the result",
    "Read on: README.md",
)


def test_demo_plays_every_act(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, DEMO, "--pace", "0"],
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    shown = " ".join(done.stdout.split())
    for line in KEY_LINES:
        assert line in shown, done.stdout
    told = re.search(
        r'HookConflictError: Hook token "payment-42" is already in use .*?\(run', shown
    )
    assert told, done.stdout
    assert "\x1b" not in done.stdout
    assert list(tmp_path.iterdir()) == []
    assert processes_of(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_demo_cleans_up_when_it_is_stopped(tmp_path: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, DEMO, "--pace", "0.2"],
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as demo:
        try:
            assert demo.stdout is not None
            for line in demo.stdout:
                if "go!" in line:
                    break
            demo.send_signal(number)
            assert demo.wait(30) == 130
        finally:
            demo.kill()
    assert list(tmp_path.iterdir()) == []
    eventually(lambda: not processes_of(tmp_path), within=5)
