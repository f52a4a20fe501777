"""The report: one JSON file, and what people read, made from it alone."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from bench import tables, tools
from bench.plan import PARTS

TITLES = {
    "disk": "Disk",
    "index": "Index",
    "loads": "Loads",
    "growth": "Growth",
    "footprint": "Memory, disk, recovery",
    "workflows": "Workflows",
}
JSON, MARKDOWN = "report.json", "report.md"


def names(report: dict[str, Any]) -> dict[str, str]:
    """What the targets are called for people."""
    ours = {"hookd": "hookd", "empty": "empty handler"}
    return ours | {name: peer["title"] for name, peer in report["peers"].items()}


def write(report: dict[str, Any], folder: Path) -> None:
    """Writes ``report.json`` and ``report.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / JSON).write_text(json.dumps(report, indent=2) + "\n")
    (folder / MARKDOWN).write_text(markdown(report, sorted(p.name for p in folder.glob("*.svg"))))


def draw(folder: Path, python: Path = tools.PYTHON) -> str | None:
    """Draws the plots of the report in a folder, and puts them into ``report.md``.

    Returns:
        Why there are none; None if there are.
    """
    for old in folder.glob("*.svg"):
        old.unlink()
    if not python.exists():
        return "no plots: `make bench` installs what draws them"
    done = subprocess.run(
        [str(python), "-m", "bench.plots", str(folder.absolute())],
        cwd=tools.ROOT,
        # Its cache of fonts is kept from run to run.
        env={**os.environ, "MPLCONFIGDIR": str(tools.BUILD / "matplotlib")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return f"no plots: {done.stderr.strip()[-1000:]}"
    write(json.loads((folder / JSON).read_text()), folder)
    return None


def markdown(report: dict[str, Any], plots: list[str]) -> str:
    """The report for people.

    Args:
        report: all of it.
        plots: the names of the files with plots, beside it.
    """
    lines = ["# Benchmarks of hookd", "", _introduction(report), ""]
    lines += [f"- {key}: {value}" for key, value in report["machine"].items()]
    lines += ["", *_beside(report), ""]
    for part in PARTS:
        if part not in report:
            continue
        lines += [f"## {TITLES[part]}", ""]
        for table in tables.of(part, report[part], names(report)):
            lines += [table.markdown()]
        lines += [f"![{name}]({name})\n" for name in plots if name.startswith(f"{part}-")]
    return "\n".join(lines)


def _introduction(report: dict[str, Any]) -> str:
    text = f"Plan: {report['plan']}. Begun {report['begun']}, {report['minutes']:.1f} minutes."
    if report["plan"] == "quick":
        text += " A quick run only shows that everything works: its figures say nothing."
    if report["client"] == "python":
        text += " The load came from a Python client, because the load generator is not built."
    return text


def _beside(report: dict[str, Any]) -> list[str]:
    lines = [
        f"Beside it: {peer['title']} ({peer['settings']})." for peer in report["peers"].values()
    ]
    lines += [f"**Left out:** {name}: {why}." for name, why in report["left_out"].items()]
    lines += [f"**Failed:** {failure}" for failure in report["failures"]]
    return [text for line in lines for text in (line, "")]
