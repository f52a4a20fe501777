"""Every example runs with one command, ends well, and leaves nothing behind."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.concurrency import eventually
from tests.support.programs import environment, processes_of

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"

RUN = r"run_\w+"

# Each line must be like one that is printed, in this order; others may be between them.
LINES = {
    "process_payment": (
        rf"first run: +(?P<first>{RUN}) waits .*",
        r"second run: told that (?P=first) does it already",
        r"first run: +paid, receipt order-42/visa/99\.50",
        r"third run: .* free again",
    ),
    "delegate_to_owner": (
        rf"ann wants soup: {RUN} orders .*",
        r"ann got: (?P<lunch>Lunch\(.*\['soup', '(?:rice', 'fish|fish', 'rice)'\]\))",
        r"bob got: (?P=lunch)",
        r"cat got: (?P=lunch)",
    ),
    "payment_webhook": (
        r"the payment service knows http://127\.0\.0\.1:\d+/webhooks/default/payments-order-42",
        r'a payment of 60: 200 \{"open":40\}',
        r'the same again: 200 \{"open":40\}',
        r"a forged payment: 401",
        r"something else: 400 this is no payment",
        r'a payment of 40: 200 \{"open":0\}',
        r"order-42 is paid: \[60, 40\]",
        r"a late payment: 404",
    ),
    "approval": (
        r"an answer that is no decision .* was refused",
        r"expense 1: paid",
        r"expense 2: refused",
        r"expense 3: nobody answered",
    ),
    "order_saga": (
        r"order 100: shipped \['reserve-100', 'charge-100', 'ship-100'\]",
        r"order 101: undone the card has expired",
        r"order 102: undone nobody ships to the moon",
        r".* called \d+ times, [1-9]\d* of them in vain",
        r"the books of the shop:",
        *(f"  order 100: {what:8}done" for what in ("reserve", "charge", "ship")),
        r"  order 101: reserve taken back",
        r"  order 102: reserve taken back",
        r"  order 102: charge  taken back",
    ),
    "agent": (
        r"you: .*",
        r"agent: I shall look at the weather in both towns\.",
        r" +Take an umbrella to one of them: Rome has sun; Oslo has rain\.",
        r"tools: +weather in Oslo, weather in Rome",
        r"result: Take an umbrella .*",
    ),
    "mutex": (
        r"6 runs add 5 .*",
        r"each wrote another balance: \[5, 10, 15, 20, 25, 30\]",
        r"in the end there is 30",
        r"\d+ times a run found the lock taken.*",
    ),
    "fan_out": (
        r"100 pictures, .*",
        r"done: 100 pictures by 2 processes",
        r"in \d+\.\d s; .*",
    ),
}


def test_every_example_is_known() -> None:
    assert sorted(LINES) == sorted(file.parent.name for file in EXAMPLES.glob("*/__main__.py"))
    listed = re.findall(r"^\| \[`(\w+)`\]", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(LINES)


@pytest.mark.parametrize("name", LINES)
def test_example_shows_what_it_promises(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"examples.{name}"],
        cwd=ROOT,
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    pattern = r"(?:.*\n)*?".join(rf"{line}\n" for line in LINES[name])
    assert re.fullmatch(rf"{pattern}(?:.*\n)*", done.stdout), done.stdout
    assert list(tmp_path.iterdir()) == []
    assert processes_of(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_example_cleans_up_when_it_is_stopped(tmp_path: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "examples.approval"],
        cwd=ROOT,
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as example:
        try:
            assert example.stdout is not None
            assert example.stdout.readline()
            example.send_signal(number)
            assert example.wait(30) == 130
        finally:
            example.kill()
    assert list(tmp_path.iterdir()) == []
    eventually(lambda: not processes_of(tmp_path), within=5)


@pytest.mark.parametrize("name", LINES)
def test_workflows_are_free_of_scaffolding(name: str) -> None:
    text = (EXAMPLES / name / "workflows.py").read_text()
    assert "stage" not in text
    assert "sys.path" not in text
