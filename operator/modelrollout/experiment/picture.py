"""The effect and what it adds up to, with their intervals, over the users so far, as a picture.

It is drawn only once the experiment has ended: an earlier picture would tempt people to stop where it looks
best.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modelrollout.experiment.report import Report, lift

if TYPE_CHECKING:  # it takes a second to load, so only a picture that is drawn loads it
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(report: Report, path: Path) -> None:
    """Write the picture; the ending of `path`, such as .png or .svg, says in which format."""
    _figure(report).savefig(path)


def svg(report: Report) -> str:
    text = io.StringIO()
    _figure(report).savefig(text, format="svg")
    return text.getvalue()


def _figure(report: Report) -> Figure:
    from matplotlib.figure import Figure

    metric = report.experiment.metric
    scale = 100.0 if metric.kind == "share" else 1.0
    users = [end for end, _ in report.course]
    adds_up = metric.kind != "ratio" and metric.test == "means"
    figure = Figure(figsize=(7, 6 if adds_up else 3.5), layout="constrained")
    first, *others = figure.subplots(2 if adds_up else 1, squeeze=False, sharex=True)[:, 0]
    effects = [(found.effect, found.low, found.high) for _, found in report.course]
    _panel(first, users, [(scale * a, scale * b, scale * c) for a, b, c in effects])
    if metric.test == "means":
        first.axhline(scale * metric.change, linestyle="--", linewidth=0.8, color="gray")
    unit = ", points" if scale == 100 else ""
    first.set_ylabel(f"canary − stable, {metric.name}{unit}")
    for axes in others:
        _panel(axes, users, [lift(found) for _, found in report.course])
        axes.set_ylabel(f"{metric.name} more, in all")
    (others or [first])[-1].set_xlabel("users")
    return figure


def _panel(axes: Axes, users: Sequence[int], values: Sequence[tuple[float, float, float]]) -> None:
    """An estimate with its interval, (estimate, low, high)."""
    middle, low, high = zip(*values, strict=True)
    axes.fill_between(users, low, high, alpha=0.25, linewidth=0)
    axes.plot(users, middle)
    axes.axhline(0, color="black", linewidth=0.8)
