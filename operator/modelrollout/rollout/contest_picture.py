"""Curves with their intervals as an SVG, one below the other. The operator's image has no library for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT, LEFT, TOP, GAP = 640, 190, 80, 16, 46
TICKS = 5


class Moment(NamedTuple):
    users: float
    middle: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    curve: Sequence[Moment]
    worth: float | None = None
    """Where a dashed line is drawn: the smallest change worth having."""


def draw(panels: Sequence[Panel]) -> str:
    """The picture, in the order of the panels."""
    height = TOP + len(panels) * (HEIGHT + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    for number, panel in enumerate(panels):
        parts += _panel(panel, TOP + number * (HEIGHT + GAP))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(panel: Panel, top: float) -> list[str]:
    lowest = min(0.0, *(moment.low for moment in panel.curve))
    highest = max(0.0, *(moment.high for moment in panel.curve))
    step = _step(highest - lowest)
    bottom, ceiling = math.floor(lowest / step) * step, math.ceil(highest / step) * step
    most = panel.curve[-1].users

    def x(users: float) -> float:
        return LEFT + users / most * (WIDTH - LEFT - 20)

    def y(value: float) -> float:
        return top + HEIGHT * (ceiling - value) / (ceiling - bottom)

    def line(value: float, style: str) -> str:
        return f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{y(value):.1f}" y2="{y(value):.1f}" {style}/>'

    def text(at: tuple[float, float], what: str, anchor: str) -> str:
        return f'<text x="{at[0]:.1f}" y="{at[1]:.1f}" text-anchor="{anchor}">{escape(what)}</text>'

    def points(values: Sequence[tuple[float, float]]) -> str:
        return " ".join(f"{x(users):.1f},{y(value):.1f}" for users, value in values)

    upper = [(moment.users, moment.high) for moment in panel.curve]
    lower = [(moment.users, moment.low) for moment in reversed(panel.curve)]
    middle = [(moment.users, moment.middle) for moment in panel.curve]
    drawn = [text((LEFT, top - 4), panel.title, "start")]
    for tick in range(round((ceiling - bottom) / step) + 1):
        value = bottom + tick * step
        drawn += [line(value, 'stroke="#ddd"'), text((LEFT - 6, y(value) + 4), f"{value:.4g}", "end")]
    drawn += [
        f'<polygon points="{points([*upper, *lower])}" fill="#1f77b4" fill-opacity="0.25"/>',
        f'<polyline points="{points(middle)}" fill="none" stroke="#1f77b4" stroke-width="2"/>',
        line(0.0, 'stroke="black"'),
        *([line(panel.worth, 'stroke="gray" stroke-dasharray="5 4"')] if panel.worth is not None else []),
    ]
    for part in (0.0, 0.5, 1.0):
        drawn.append(text((x(part * most), top + HEIGHT + 16), f"{part * most:,.0f}", "middle"))
    drawn.append(text((x(0.25 * most), top + HEIGHT + 16), "users", "middle"))
    return drawn


def _step(span: float) -> float:
    """A round distance between about five lines."""
    raw = max(span, 1e-9) / TICKS
    size = 10.0 ** math.floor(math.log10(raw))
    return next(size * each for each in (1, 2, 5, 10) if size * each >= raw)
