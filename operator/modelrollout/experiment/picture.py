"""The effect with its interval over the users so far, as a picture.

It is drawn only once the experiment has ended: an earlier picture would tempt people to stop where it looks
best.
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from modelrollout.experiment.report import Report


def draw(report: Report, path: Path) -> None:
    """Write the picture; the ending of `path`, such as .png or .svg, says in which format."""
    scale = 100.0 if report.experiment.metric.kind == "share" else 1.0
    users = [end for end, _ in report.course]
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.fill_between(
        users,
        [scale * found.low for _, found in report.course],
        [scale * found.high for _, found in report.course],
        alpha=0.25,
        linewidth=0,
    )
    axes.plot(users, [scale * found.effect for _, found in report.course])
    axes.axhline(0, color="black", linewidth=0.8)
    if report.experiment.metric.test == "means":
        axes.axhline(scale * report.experiment.metric.change, linestyle="--", linewidth=0.8, color="gray")
    axes.set_xlabel("users")
    unit = ", points" if scale == 100 else ""
    axes.set_ylabel(f"canary − stable, {report.experiment.metric.name}{unit}")
    figure.savefig(path)
