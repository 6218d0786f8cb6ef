"""Charts as inline SVG, drawn for a width of 360 units so that a phone shows them at their size; colours are the page's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from markupsafe import Markup, escape

Point = tuple[float, float]

WIDTH, HEIGHT = 360, 180
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 10, 24
MOST_POINTS = 240
"""Points of a line; more cannot be told apart."""

ROW, DOT = 48, 4.5


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart.

    Attributes:
        points: In order of x; what is not finite is left out.
        style: A "curve", a "faint" one behind it, or "marks": a line with a dot at every point.
        colour: 1 or 2, of the page's colours.
        name: What it is, for whoever points at it.
    """

    points: Sequence[Point]
    style: Literal["curve", "faint", "marks"]
    colour: int
    name: str


@dataclass(frozen=True, slots=True)
class Dots:
    """One row of a dot chart.

    Attributes:
        name: What it is.
        values: One dot each.
        mean: Marked by a stroke.
        label: The mean as it is written beside it.
    """

    name: str
    values: Sequence[float]
    mean: float
    label: str


@dataclass(frozen=True, slots=True)
class Scale:
    """From values to places in the drawing.

    Attributes:
        low: The value at `start`.
        high: The value at `end`.
        start: In units of the drawing.
        end: Likewise.
    """

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of a value; the middle where there is only one."""
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return round(self.start + share * (self.end - self.start), 1)


def line_chart(lines: Sequence[Line], *, steps: float, name: str, percent: bool = False) -> Markup:
    """Lines over steps; nothing where there is no point.

    Args:
        lines: What is drawn, the first one undermost.
        steps: The x axis goes from 0 to it.
        name: What the y axis shows.
        percent: Whether that is a share.

    Example:
        >>> str(line_chart([], steps=90, name="loss"))
        ''
    """
    kept = [Line(_thinned(finite(line.points)), line.style, line.colour, line.name) for line in lines]
    points = [point for line in kept for point in line.points]
    if not points:
        return Markup()
    heights = [y for _, y in points]
    marks = ticks(*_padded(min(heights), max(heights), percent))
    x, y = Scale(0, steps, LEFT, WIDTH - RIGHT), Scale(marks[0], marks[-1], HEIGHT - BOTTOM, TOP)
    parts = [_grid(x, y, marks, percent), *(_drawn(line, x, y, percent) for line in kept)]
    return _svg(Markup("").join(parts), HEIGHT, f"{name} over {steps:,.0f} steps")


def dot_chart(rows: Sequence[Dots], *, low: float, high: float, name: str, reference: float | None = None) -> Markup:
    """Scores of several systems, a row each, a dot a run.

    Args:
        rows: From top to bottom.
        low: The axis begins here, or at the round number below.
        high: It ends here, or at the round number above.
        name: What the axis shows.
        reference: A value to compare with: a stroke through all rows.
    """
    marks = ticks(low, high)
    x = Scale(marks[0], marks[-1], 18, WIDTH - 18)
    bottom = len(rows) * ROW
    parts = [Markup('<line class="grid" x1="{0}" x2="{0}" y1="4" y2="{1}"/>').format(x(mark), bottom) for mark in marks]
    parts += [_text(x(mark), bottom + 16, _percent(mark), "middle") for mark in marks]
    if reference is not None:
        parts.append(Markup('<line class="reference" x1="{0}" x2="{0}" y1="4" y2="{1}"/>').format(x(reference), bottom))
    parts += [_dot_row(row, number * ROW, x) for number, row in enumerate(rows)]
    return _svg(Markup("").join(parts), bottom + 22, name)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`, evenly spaced.

    Example:
        >>> ticks(0.13, 0.79)
        [0.0, 0.2, 0.4, 0.6, 0.8]
        >>> ticks(3, 3)
        [2.5, 2.75, 3.0, 3.25, 3.5]
    """
    if high - low < 1e-9:  # marks have ten decimals
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / (most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(size * power for size in (1, 2, 2.5, 5, 10) if size * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def smoothed(points: Sequence[Point], window: int) -> list[Point]:
    """Every y as the mean of the `window` points around it, fewer at the ends; what is not finite is left out.

    Example:
        >>> smoothed([(1, 0.0), (2, 3.0), (3, 6.0)], 3)
        [(1, 1.5), (2, 3.0), (3, 4.5)]
    """
    drawn, half = finite(points), window // 2
    if not drawn:
        return []
    near = np.ones(2 * half + 1)
    sums, counts = (np.convolve(values, near)[half : half + len(drawn)] for values in ([y for _, y in drawn], np.ones(len(drawn))))
    return [(x, y) for (x, _), y in zip(drawn, (sums / counts).tolist(), strict=True)]


def finite(points: Sequence[Point]) -> list[Point]:
    """The points that can be drawn."""
    return [(x, y) for x, y in points if math.isfinite(y)]


def _thinned(points: Sequence[Point]) -> list[Point]:
    """Points side by side joined to their mean, so that `MOST_POINTS` are left."""
    size = math.ceil(len(points) / MOST_POINTS)
    if size <= 1:
        return list(points)
    runs = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(x for x, _ in run) / len(run), sum(y for _, y in run) / len(run)) for run in runs]


def _padded(low: float, high: float, percent: bool) -> tuple[float, float]:
    """Some room around a flat line; shares do not go over 1."""
    room = 0.02 if percent else 0.02 * max(abs(low), abs(high), 1e-6)
    if high - low > room:
        return low, high
    return (max(0.0, low - room), min(1.0, high + room)) if percent else (low - room, high + room)


def _grid(x: Scale, y: Scale, marks: Sequence[float], percent: bool) -> Markup:
    written = _percent if percent else _number
    across = Markup('<line class="grid" x1="{1}" x2="{2}" y1="{0}" y2="{0}"/>')
    lines = [across.format(y(mark), LEFT, WIDTH - RIGHT) + _text(LEFT - 6, y(mark) + 4, written(mark), "end") for mark in marks]
    ends = _text(LEFT, HEIGHT - 6, "0", "start") + _text(WIDTH - RIGHT, HEIGHT - 6, f"{x.high:,.0f} steps", "end")
    return Markup("").join(lines) + ends


def _drawn(line: Line, x: Scale, y: Scale, percent: bool) -> Markup:
    places = " ".join(f"{x(across)},{y(up)}" for across, up in line.points)
    title = Markup("<title>{}</title>").format(line.name)
    drawn = Markup('<polyline class="{} colour-{}" points="{}">{}</polyline>').format(line.style, line.colour, places, title)
    if line.style != "marks":
        return drawn
    written = _percent_exactly if percent else _number
    dot = Markup('<circle class="colour-{}" cx="{}" cy="{}" r="2.6"><title>{}, step {}: {}</title></circle>')
    return drawn + Markup("").join(dot.format(line.colour, x(across), y(up), line.name, f"{across:,.0f}", written(up)) for across, up in line.points)


def _dot_row(row: Dots, top: float, x: Scale) -> Markup:
    middle = top + ROW * 0.68
    dot = Markup('<circle class="run" cx="{}" cy="{}" r="{}"><title>{}</title></circle>')
    dots = Markup("").join(dot.format(x(value), middle, DOT, _percent_exactly(value)) for value in row.values)
    stroke = Markup('<line class="mean" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(x(row.mean), middle - 9, middle + 9)
    track = Markup('<line class="track" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(x.start, x.end, middle, middle)
    name = Markup('<text class="name" x="{}" y="{}">{}</text>').format(x.start + 7, top + 17, row.name)
    value = Markup('<text class="value" x="{}" y="{}" text-anchor="end">{}</text>').format(x.end, top + 17, row.label)
    return track + dots + stroke + name + value


def _svg(content: Markup, height: float, name: str) -> Markup:
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(WIDTH, height, name, content)


def _text(x: float, y: float, text: str, anchor: str) -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(x, y, anchor, escape(text))


def _number(value: float) -> str:
    return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _percent(value: float) -> str:
    return f"{value * 100:.3g}%"


def _percent_exactly(value: float) -> str:
    return f"{value:.1%}"
