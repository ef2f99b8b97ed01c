"""The figures of docs/verdicts.md, drawn from simulated rollouts: `make plots`."""

from __future__ import annotations

import argparse
import itertools
import math
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from modelrollout.analysis.betting.block import Margin
from modelrollout.analysis.betting.information import units_to_pass
from modelrollout.analysis.betting.ladder import terms_of
from tests.bench import many, peers
from tests.bench.contest import DELTA, JUDGED, LOOKS, passed, plan_of, reverted, rules_of
from tests.bench.serving_world import README
from tests.bench.worlds import Size, steady
from tests.shared.until_revert import units_to_revert

SEED = 20261121
OURS, GREY = "#0b6e4f", "#8a8a8a"


def false_reverts(rollouts: int) -> plt.Figure:
    """Healthy rollouts that are reverted, as looks go by."""
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True)
    for panel, (n1, n0) in zip(panels, ((100, 100), (10, 90)), strict=True):
        rng = np.random.default_rng([SEED, n1])
        world = steady(rng, Size(rollouts, LOOKS), (n1, n0), (0.005, 0.005))
        bad, base = world.counts.x1 / world.counts.n1, world.counts.x0 / world.counts.n0
        plan, some = plan_of(), min(rollouts, 300)
        at = {
            "ModelRollout": reverted(world, plan, rules_of(world, plan)),
            "Argo, ≥ 99 %, failureLimit 0": many.first(peers.argo(1 - bad < 0.99, 0)),
            "Argo, ≥ 95 %, failureLimit 3": many.first(peers.argo(1 - bad < 0.95, 3)),
            "Flagger, ≥ 99 %, threshold 5": many.first(peers.flagger(1 - bad < 0.99, 5)),
            "Kayenta": many.first(peers.kayenta(bad[:some], base[:some], JUDGED)),
        }
        looks = np.arange(1, LOOKS + 1)
        for name, hits in at.items():
            share = [100 * float((hits < look).mean()) for look in looks]
            ours = name == "ModelRollout"
            panel.plot(looks, share, label=name, lw=2.5 if ours else 1.2, color=OURS if ours else None)
        panel.axhline(1, color=GREY, lw=0.8, ls=":")
        panel.set(title=f"{n1} + {n0} requests a look", xlabel="looks")
    panels[0].set_ylabel("healthy rollouts reverted, %")
    panels[0].legend(fontsize=7, frameon=False)
    return figure


def ladder(_rollouts: int) -> plt.Figure:
    """What each step proves before the next one: rectangles of the same area, users times harm."""
    figure, panel = plt.subplots(figsize=(5.4, 3.0))
    weights = [*(step.weight for step in README), 1.0]
    for before, weight in itertools.pairwise(weights):
        margin = terms_of(weight, 1.0, 1.0).margin
        panel.add_patch(plt.Rectangle((0, 0), 100 * weight, margin, fc=OURS, ec=OURS, alpha=0.18))
        panel.plot([0, 100 * weight, 100 * weight], [margin, margin, 0], color=OURS, lw=1.5)
        text = f"the step at {100 * before:g} % proves {margin:g} ×"
        panel.text(
            100 * weight, margin, f" {text}", fontsize=7, va="bottom", ha="right" if weight == 1 else "left"
        )
    panel.set(
        xlim=(0, 105),
        ylim=(0, 5),
        xlabel="share of the users that the next step risks, %",
        ylabel="worse by at most, × tolerance",
    )
    return figure


def evidence(_rollouts: int) -> plt.Figure:
    """How evidence moves in single rollouts."""
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.4))
    plan, rng = plan_of(), np.random.default_rng([SEED, 2])
    for bad, colour, label in ((0.005, OURS, "equal, 99.5 %"), (0.03, "#b3261e", "97 instead of 99.5 %")):
        world = steady(rng, Size(12, 60), (100, 100), (bad, 0.005))
        against, proof = many.shares(world.counts, rules_of(world, plan))
        for panel, logs in zip(panels, (against, proof), strict=True):
            panel.plot(np.arange(1, 61), logs.T / math.log(10), color=colour, lw=0.8, alpha=0.8)
            panel.plot([], [], color=colour, label=label)
    for panel, risk, title in zip(
        panels, (plan.revert_risk, plan.miss_risk), ("against the canary", "for the canary"), strict=True
    ):
        panel.axhline(-math.log10(risk), color=GREY, ls="--", lw=1)
        panel.set(title=f"evidence {title}", xlabel="looks of 100 + 100 requests", ylim=(-4, 8))
    panels[0].set_ylabel("log10 of the e-value")
    panels[0].legend(fontsize=8, frameon=False)
    return figure


def delay(rollouts: int) -> plt.Figure:
    """Canary requests until a regression is reverted."""
    figure, panel = plt.subplots(figsize=(6, 3.6))
    plan, fine = plan_of(), np.geomspace(0.0125, 0.5, 60)
    for (n1, n0), colour in (((100, 100), OURS), ((10, 90), "#d98c00")):
        rng, points = np.random.default_rng([SEED, 3, n1]), []
        for bad in (0.015, 0.02, 0.03, 0.05, 0.10, 0.25, 0.5):
            world = steady(rng, Size(rollouts, LOOKS), (n1, n0), (bad, 0.005))
            hits = reverted(world, plan, rules_of(world, plan))
            if (hits < LOOKS).mean() >= 0.5:
                points.append((100 * bad, (float(np.quantile(hits, 0.5, method="higher")) + 1) * n1))
        panel.plot(*zip(*points, strict=True), "o-", color=colour, label=f"median, {n1} + {n0} a look")
        share, margin, risk = n1 / (n1 + n0), Margin(1, DELTA), plan.revert_risk
        expected = [units_to_revert((float(b), 0.005), share, margin, 1.0, risk) for b in fine]
        panel.plot(100 * fine, expected, color=colour, lw=0.8, ls=":", label="as planned from traffic")
    panel.set(xscale="log", yscale="log", xlabel="canary's errors, % (control 0.5 %, 0.5 points tolerated)")
    panel.set_ylabel("canary requests until the revert")
    _plain(panel, [1.5, 2, 3, 5, 10, 25, 50])
    panel.legend(fontsize=8, frameon=False)
    return figure


def tolerance(rollouts: int) -> plt.Figure:
    """What a tolerance costs: canary requests until an equal canary passes."""
    figure, panel = plt.subplots(figsize=(6, 3.6))
    fine = np.geomspace(0.002, 0.05, 60)
    for base, colour in ((0.001, OURS), (0.005, "#d98c00"), (0.02, "#b3261e")):
        wanted = [units_to_pass(base, 0.5, Margin(1, float(d)), 1.0, 0.05) for d in fine]
        panel.plot(100 * fine, wanted, color=colour, lw=0.8, ls=":")
        rng, points = np.random.default_rng([SEED, 4, int(1e4 * base)]), []
        for delta in (0.003, 0.005, 0.01, 0.02, 0.03):
            plan = plan_of(delta=delta)
            world = steady(rng, Size(rollouts, LOOKS), (50, 50), (base, base))
            hits = passed(world, plan, rules_of(world, plan, delta))
            if (hits < LOOKS).mean() >= 0.5:
                points.append((100 * delta, (float(np.quantile(hits, 0.5, method="higher")) + 1) * 50))
        panel.plot(*zip(*points, strict=True), "o", color=colour, label=f"both at {100 * base:g} % errors")
    panel.set(xscale="log", yscale="log", xlabel="tolerated, percentage points")
    panel.set_ylabel("canary requests until the pass")
    _plain(panel, [0.2, 0.3, 0.5, 1, 2, 3, 5])
    panel.legend(fontsize=8, frameon=False)
    return figure


FIGURES = {
    "false-reverts": false_reverts,
    "ladder": ladder,
    "evidence": evidence,
    "delay": delay,
    "tolerance": tolerance,
}


def _plain(axes: Axes, ticks: list[float]) -> None:
    """A logarithmic axis with numbers as people write them."""
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.title.set_fontsize(9)
    axes.xaxis.label.set_fontsize(8)
    axes.yaxis.label.set_fontsize(8)
    axes.tick_params(labelsize=7)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("docs/img"))
    parser.add_argument("--rollouts", type=int, default=1000)
    options = parser.parse_args()
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "modelrollout"  # the same data give the same file
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, draw in FIGURES.items():
        figure = draw(options.rollouts)
        for axes in figure.axes:
            tidy(axes)
        figure.tight_layout()
        path = options.folder / f"{name}.svg"
        figure.savefig(path, metadata={"Date": None})
        print(path)


if __name__ == "__main__":
    main()
