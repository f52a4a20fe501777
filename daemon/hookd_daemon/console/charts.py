"""Charts as inline SVG. No styles in them: the page's own say how they look."""

from __future__ import annotations

from dataclasses import dataclass

from hookd_daemon.console.samples import MOST_SAMPLES, Series

WIDTH, HEIGHT = 240, 56
_PAD = 3


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart that a template draws.

    Attributes:
        name: what it shows.
        unit: of what.
        now: the last value, as people read it.
        most: the greatest value, as people read it.
        lines: the points of its lines, as SVG has them; more than one where
            there is nothing to say in between.
        areas: what lies below each.
        dots: values that stand alone.
    """

    name: str
    unit: str
    now: str
    most: str
    lines: list[str]
    areas: list[str]
    dots: list[tuple[str, str]]


def number(value: float) -> str:
    """A number with about three digits that matter."""
    if value >= 10_000_000:
        return f"{value / 1_000_000:,.0f} M"
    if value >= 100:
        return f"{value:,.0f}"
    text = f"{value:.1f}" if value >= 1 else f"{value:.2f}"
    return text.rstrip("0").rstrip(".")


def draw(series: Series) -> Chart:
    """Draws a series, its last value at the right end."""
    values = series.values
    known = [value for value in values if value is not None]
    most = max(known, default=0.0)
    scale = (HEIGHT - 2 * _PAD) / (most or 1.0)
    step = WIDTH / (MOST_SAMPLES - 1)
    left = WIDTH - step * (len(values) - 1)
    parts: list[list[tuple[float, float]]] = [[]]
    for place, value in enumerate(values):
        if value is None:
            parts.append([])
        else:
            parts[-1].append((left + place * step, HEIGHT - _PAD - value * scale))
    lines, areas, dots = [], [], []
    for part in parts:
        if len(part) == 1:
            dots.append((f"{part[0][0]:.1f}", f"{part[0][1]:.1f}"))
        elif part:
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in part)
            lines.append(line)
            areas.append(f"{part[0][0]:.1f},{HEIGHT} {line} {part[-1][0]:.1f},{HEIGHT}")
    last = next((value for value in reversed(values) if value is not None), None)
    return Chart(
        series.name,
        series.unit,
        "–" if last is None else number(last),
        number(most),
        lines,
        areas,
        dots,
    )
