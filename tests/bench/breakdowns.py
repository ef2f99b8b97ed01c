"""How often the rule for breakdowns reverts a healthy canary, and how soon it reverts a broken one.

Healthy: both arms have 2 % of errors on average, and each has noise of its own on the logit, look by look.
Broken: independent requests, so many healthy looks, then 30 % of errors beside 0.5 % in the control.
"""

from __future__ import annotations

import math

import numpy as np

from modelrollout.analysis.betting.block import Margin
from modelrollout.analysis.packs.limits import BEYOND_CONTROL
from tests.bench import many
from tests.bench.contest import LOOKS, plan_of
from tests.bench.many import Array, Rules
from tests.bench.worlds import Size, World, noisy, steady

NOISES = ((1.0, 0.0), (0.5, 0.8), (1.0, 0.8), (1.0, 0.95))


def reverted_at(world: World, phi: float | Array | None) -> Array:
    """The look, from 0, at which the rule for breakdowns alone reverts each rollout."""
    rules = Rules(Margin(1, 0.005), (world.prior, 200.0), phi=phi, planned=LOOKS)
    broken = many.breakdown(world.counts, rules, Margin(1, BEYOND_CONTROL))
    return many.first(broken >= -math.log(plan_of().catastrophic_risk))


def table(rng: np.random.Generator, rollouts: int) -> None:
    print("\n### a healthy canary reverted as broken down, % of rollouts: with its past known, and without\n")
    print("| noise: sd, lag-1 | 100 + 100 a look | 1,000 + 1,000 |\n|---|---|---|")
    for noise in NOISES:
        cells = []
        for n in (100, 1000):
            world = noisy(rng, Size(rollouts, LOOKS), n, (0.02, 0.02), noise)
            wrong = (100 * (reverted_at(world, phi) < LOOKS).mean() for phi in (world.phi, None))
            cells.append(", ".join(f"{each:.2f}" for each in wrong))
        print(f"| {noise[0]:g}, {noise[1]:g} | {cells[0]} | {cells[1]} |")
    print("\n### looks until 30 % of errors revert, median and 95 % of rollouts\n")
    print("| known noise | healthy looks before | 100 + 100 a look | 200 + 200 |\n|---|---|---|---|")
    for phi in (None, 1.5, 3.0):
        for healthy in (0, 10, 100):
            bad = np.where(np.arange(LOOKS) < healthy, 0.005, 0.3)
            cells = []
            for n in (100, 200):
                world = steady(rng, Size(max(rollouts // 4, 50), LOOKS), (n, n), (bad, 0.005))
                delay = reverted_at(world, phi) - healthy + 1
                cells.append(f"{np.median(delay):.0f}, {np.quantile(delay, 0.95, method='higher'):.0f}")
            print(f"| {'–' if phi is None else phi} | {healthy} | {cells[0]} | {cells[1]} |")
