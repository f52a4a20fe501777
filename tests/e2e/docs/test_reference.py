"""docs/workflows.md is complete, and its defaults are those of the code."""

from __future__ import annotations

import inspect
import re
import urllib.request

import hookd
import pytest
from hookd.durations import seconds

from tests.e2e.docs.pages import ROOT
from tests.support.daemon import Daemon

REFERENCE = (ROOT / "docs" / "workflows.md").read_text()
PAGES = [ROOT / "docs" / name for name in ("workflows.md", "guide.md", "determinism.md")]

# What the functions that are listed give; nobody makes them by name.
GIVEN = {
    "ChildRun",
    "HookDefinition",
    "Step",
    "StepContext",
    "Workflow",
    "WorkflowHook",
    "WorkflowMetadata",
    "WorkflowWebhook",
    "Writable",
}


def _rows(title: str) -> dict[str, list[str]]:
    """The cells of all tables of a section, by the first word in backticks of each row."""
    _, _, rest = REFERENCE.partition(f"\n## {title}\n")
    assert rest, f"the page has no section {title}"
    lines = rest.partition("\n## ")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    return {name[1]: row for row in rows for cell in row[:2] if (name := re.match(r"`(\w+)", cell))}


def test_every_name_is_told_about() -> None:
    text = "".join(page.read_text() for page in PAGES)
    modules = ("hookd.workflows", "hookd.worker")
    names = {
        name
        for name in hookd.__all__
        if str(getattr(getattr(hookd, name), "__module__", "")).startswith(modules)
    }
    assert names > GIVEN
    assert {name for name in names - GIVEN if not re.search(rf"\b{name}\b", text)} == set()


@pytest.mark.parametrize(
    ("title", "function", "undocumented"),
    [
        ("The worker", hookd.Worker, {"work", "client"}),
        ("Steps", hookd.RetryPolicy, set()),
        ("Hooks", hookd.create_hook, set()),
        ("Webhooks", hookd.create_webhook, set()),
    ],
)
def test_arguments_are_listed_with_their_defaults(
    title: str, function: object, undocumented: set[str]
) -> None:
    rows = _rows(title)
    assert callable(function)
    for name, parameter in inspect.signature(function).parameters.items():
        if name in undocumented:
            continue
        assert name in rows, f"{title}: {name} is not listed"
        if isinstance(parameter.default, int | float):
            numbers = [cell for cell in rows[name] if re.fullmatch(r"[\d.]+( (s|h))?", cell)]
            assert [seconds(cell if " " in cell else float(cell), "cell") for cell in numbers] == [
                parameter.default
            ]


def test_the_metrics_of_the_guide_are_served(shared_daemon: Daemon) -> None:
    named = set(re.findall(r"`(hookd_\w+)`", (ROOT / "docs" / "guide.md").read_text()))
    with urllib.request.urlopen(f"http://{shared_daemon.http}/metrics") as response:
        text = response.read().decode()
    assert named
    assert named <= set(re.findall(r"^# TYPE (hookd_\w+) ", text, re.MULTILINE))
