"""``python -m bench.plots DIR``: draws what DIR/report.json says, as SVG files beside it.

Apart from the rest of the suite, because it is run by another Python: the one
that has matplotlib.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

#: A colour for each target, the same in all plots; from the palette of Okabe and Ito, which
#: people who see colours differently can tell apart.
COLOURS = {
    "hookd": "#0072B2",
    "empty": "#999999",
    "redis": "#D55E00",
    "redis-pool": "#E69F00",
    "postgres": "#009E73",
    "etcd": "#CC79A7",
}
PERCENTILES = ("p50", "p99", "p999", "max")

#: Points of a line.
Line = tuple[list[float], list[float]]


def by_concurrency(
    load: dict[str, Any], connections: int, what: Callable[[dict[str, Any]], float]
) -> dict[str, Line]:
    """A figure of each row against calls in flight, for each target."""
    lines: dict[str, Line] = {}
    for row in sorted(load["rows"], key=lambda row: row["concurrency"]):
        if row["connections"] == connections:
            xs, ys = lines.setdefault(row["target"], ([], []))
            xs.append(row["concurrency"])
            ys.append(what(row))
    return lines


def throughput(row: dict[str, Any]) -> float:
    """Operations per second."""
    rate: float = row["per_second"]
    return rate


def _latency_ms(percentile: str, row: dict[str, Any]) -> float:
    milliseconds: float = row["latency_ms"][percentile]
    return milliseconds


def usual_connections(load: dict[str, Any]) -> int:
    """The number of connections at which most was measured."""
    numbers = [row["connections"] for row in load["rows"]]
    return max(set(numbers), key=lambda number: (numbers.count(number), number), default=1)


def by_tokens(levels: list[dict[str, Any]]) -> dict[str, tuple[Line, Line]]:
    """For each load, throughput and p99 against active tokens."""
    lines: dict[str, tuple[Line, Line]] = {}
    for level in levels:
        for row in level["rows"]:
            rates, slow = lines.setdefault(row["load"], (([], []), ([], [])))
            rates[0].append(level["tokens"])
            rates[1].append(row["per_second"])
            slow[0].append(level["tokens"])
            slow[1].append(row["latency_ms"]["p99"])
    return lines


def draw(report: dict[str, Any], folder: Path) -> list[str]:
    """Draws all plots for which there are figures.

    Args:
        report: as in ``report.json``.
        folder: where the files go.

    Returns:
        The names of the files.
    """
    import matplotlib as mpl  # noqa: PLC0415 - only where something is drawn

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "hookd"
    mpl.rcParams["font.size"] = 9
    drawn = []
    if "loads" in report:
        drawn += [_throughput(report, folder), _beside(report, folder), _latency(report, folder)]
    if "growth" in report:
        levels = report["growth"]["levels"]
        drawn += [_growth(levels, folder), _timeline(levels, folder)]
    return [name for name in drawn if name]


def _figure(across: int, down: int = 1) -> tuple[Any, list[Any]]:
    from matplotlib import pyplot  # noqa: PLC0415

    figure, axes = pyplot.subplots(
        down, across, figsize=(4.2 * across, 3.2 * down), layout="constrained", squeeze=False
    )
    for axis in axes.flat:
        axis.grid(alpha=0.3)
    return figure, list(axes.flat)


def _save(figure: Any, folder: Path, name: str) -> str:
    from matplotlib import pyplot  # noqa: PLC0415

    figure.savefig(folder / name, metadata={"Date": None})
    pyplot.close(figure)
    return name


def _throughput(report: dict[str, Any], folder: Path) -> str:
    loads = []
    for load in report["loads"]["loads"]:
        lines = by_concurrency(load, usual_connections(load), throughput)
        if any(len(xs) > 1 for xs, _ in lines.values()):
            loads.append((load["title"], lines))
    if not loads:
        return ""
    figure, axes = _figure(min(3, len(loads)), -(-len(loads) // 3))
    for axis, (title, lines) in zip(axes, loads, strict=False):
        _against_concurrency(report, axis, lines)
        axis.set(title=title, ylabel="per second")
    for axis in axes[len(loads) :]:
        axis.set_visible(False)
    _legend(figure, axes)
    return _save(figure, folder, "loads-throughput.svg")


def _beside(report: dict[str, Any], folder: Path) -> str:
    """The latency of single claims, beside that of the others."""
    load = next((one for one in report["loads"]["loads"] if one["load"] == "claim"), None)
    if load is None:
        return ""
    figure, axes = _figure(3)
    for axis, name in zip(axes, ("p50", "p99", "p999"), strict=True):
        lines = by_concurrency(load, usual_connections(load), partial(_latency_ms, name))
        _against_concurrency(report, axis, lines)
        axis.set(title=f"{load['title']}: {name}", ylabel="ms")
    _legend(figure, axes)
    return _save(figure, folder, "loads-claim-latency.svg")


def _against_concurrency(report: dict[str, Any], axis: Any, lines: dict[str, Line]) -> None:
    for target, (xs, ys) in lines.items():
        axis.plot(xs, ys, marker="o", color=COLOURS.get(target), label=_title(report, target))
    ticks = sorted({x for xs, _ in lines.values() for x in xs})
    axis.set(xlabel="in flight", xscale="log", yscale="log")
    axis.set_xticks(ticks, labels=[str(x) for x in ticks])
    axis.minorticks_off()


def _legend(figure: Any, axes: list[Any]) -> None:
    """One legend for all plots of a figure, below them."""
    found: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=3, fontsize=8)


def _title(report: dict[str, Any], target: str) -> str:
    title: str = report["peers"].get(target, {}).get("title", target)
    return "empty handler" if target == "empty" else title


def _latency(report: dict[str, Any], folder: Path) -> str:
    loads = report["loads"]["loads"]
    rows = [
        (f"{load['load']}", row)
        for load in loads
        for row in load["rows"]
        if row["target"] == "hookd"
        and row["concurrency"] == _middle(load)
        and row["connections"] == usual_connections(load)
    ]
    if not rows:
        return ""
    figure, (axis,) = _figure(1)
    figure.set_size_inches(9, 0.34 * len(rows) + 1.2)
    for place, (_, row) in enumerate(rows):
        values = [row["latency_ms"][name] for name in PERCENTILES]
        axis.plot(values, [place] * len(values), color="#bbbbbb", zorder=1)
        for name, value, colour in zip(
            PERCENTILES, values, ("#0072B2", "#E69F00", "#D55E00", "#000000"), strict=True
        ):
            axis.scatter(value, place, color=colour, zorder=2, label=name if place == 0 else None)
    axis.set_yticks(range(len(rows)), labels=[f"{n}, {row['concurrency']}" for n, row in rows])
    axis.invert_yaxis()
    axis.set(title="hookd: latency of a call, by calls in flight", xlabel="ms", xscale="log")
    axis.legend(fontsize=7)
    return _save(figure, folder, "loads-latency.svg")


def _middle(load: dict[str, Any]) -> int:
    """The usual number of calls in flight, or the nearest that was measured."""
    numbers: list[int] = [row["concurrency"] for row in load["rows"] if row["target"] == "hookd"]
    return min(numbers, key=lambda number: abs(number - 64), default=0)


def _growth(levels: list[dict[str, Any]], folder: Path) -> str:
    lines = by_tokens(levels)
    if not lines:
        return ""
    figure, (left, right) = _figure(2)
    for load, (rates, slow) in lines.items():
        left.plot(rates[0], [rate / rates[1][0] for rate in rates[1]], marker="o", label=load)
        right.plot(*slow, marker="o", label=load)
    left.set(
        title="Throughput, in parts of that with few tokens",
        xlabel="active tokens",
        xscale="log",
        ylim=(0, None),
    )
    right.set(title="p99", xlabel="active tokens", ylabel="ms", xscale="log", yscale="log")
    _legend(figure, [left])
    return _save(figure, folder, "growth-tokens.svg")


def _timeline(levels: list[dict[str, Any]], folder: Path) -> str:
    level = next((at for at in reversed(levels) if at["compacting"]), None)
    if level is None:
        return ""
    figure, (axis,) = _figure(1)
    figure.set_size_inches(9, 3.2)
    for name, colour in (("quiet", "#0072B2"), ("compacting", "#D55E00")):
        if level[name]:
            tenths = level[name]["timeline_max_ms"]
            axis.plot([i / 10 for i in range(len(tenths))], tenths, color=colour, label=name)
    for number, (begin, end) in enumerate(level["compacting"]["compactions_s"]):
        label = "a compaction, about" if number == 0 else None
        axis.axvspan(max(0, begin), end, color="#D55E00", alpha=0.08, label=label)
    axis.set(
        title=f"The slowest claim of each tenth of a second, {level['tokens']:,} active tokens",
        xlabel="seconds",
        ylabel="ms (0: none has ended)",
        ylim=(0, None),
    )
    axis.legend(fontsize=7)
    return _save(figure, folder, "growth-timeline.svg")


if __name__ == "__main__":
    target = Path(sys.argv[1])
    draw(json.loads((target / "report.json").read_text()), target)
