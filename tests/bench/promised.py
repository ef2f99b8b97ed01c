"""Delays beside those that the method was designed for: medians in canary requests, from its simulation.

Twice: on the same terms (independence known, no rule for breakdowns, without and with the cap on single
looks), and as it is shipped: capped, noise learned and watched, a tenth of the risk spent on breakdowns.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from modelrollout.analysis.inputs.plan import Plan
from tests.bench import many
from tests.bench.contest import LOOKS, against_latency, plan_of, reverted, rules_of
from tests.bench.many import Array
from tests.bench.report import requests
from tests.bench.worlds import Size, Slow, latencies, steady, ttft_margins

SHARES = (  # per look, bad share, without the cap, with it
    ((100, 100), 0.02, 2800, 3000),
    ((100, 100), 0.03, 1000, 1200),
    ((100, 100), 0.10, 200, 400),
    ((100, 100), 0.50, 100, 400),
    ((10, 90), 0.02, 1560, 1650),
    ((10, 90), 0.03, 500, 560),
    ((10, 90), 0.10, 60, 90),
    ((10, 90), 0.50, 10, 40),
)
LATENCIES = (  # per look, slower by, without the cap; with it none is known
    ((100, 100), Slow(1.2), 2800),
    ((100, 100), Slow(1.5), 300),
    ((100, 100), Slow(2.0), 100),
    ((100, 100), Slow(1.0, 0.03), 700),
    ((10, 90), Slow(1.2), 1330),
    ((10, 90), Slow(1.5), 100),
    ((10, 90), Slow(2.0), 30),
    ((10, 90), Slow(1.0, 0.03), 340),
)
RISK = 0.01
CAP = -math.log(RISK) / 3
HEAD = (
    *("regression", "a look", "promised", "without cap", "ratio", "promised with cap", "with cap", "ratio"),
    *("as shipped", "to promised", "to promised with cap"),
)


def table(rng: np.random.Generator, rollouts: int) -> None:
    print("\n### median canary requests until a revert, beside what was promised\n")
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    for cells in (*_shares(rng, rollouts), *_latencies(rng, rollouts)):
        print(f"| {' | '.join(cells)} |", flush=True)


def _shares(rng: np.random.Generator, rollouts: int) -> Iterable[list[str]]:
    for (n1, n0), bad, promised, promised_capped in SHARES:
        world = steady(rng, Size(rollouts, LOOKS), (n1, n0), (bad, 0.005))
        plan = plan_of()
        shipped, alike = rules_of(world, plan), rules_of(world, plan, noise=False)
        alike = replace(alike, prior=(0.005, 200.0))
        plain, capped = (
            _median(many.shares(world.counts, replace(alike, cap=cap), proofs=False)[0], RISK, n1)
            for cap in (None, CAP)
        )
        mine = requests(reverted(world, plan, shipped), LOOKS, n1)
        yield _row(
            f"99.5 → {100 * (1 - bad):g} %", (n1, n0), (promised, plain), (promised_capped, capped), mine
        )


def _latencies(rng: np.random.Generator, rollouts: int) -> Iterable[list[str]]:
    margins = ttft_margins(rng, 1.10)
    alike = Plan(plan_of(catastrophic=None).metrics, planned_looks=LOOKS)
    for (n1, n0), slow, promised in LATENCIES:
        beyond = tuple(latencies(rng, Size(rollouts, LOOKS), n, s) for n, s in ((n1, slow), (n0, Slow())))
        arms = (beyond[0], beyond[1]), (n1, n0), margins
        plain, capped, mine = (
            _median(against_latency(*arms, cap=cap, watch=watch), alike.revert_risk, n1)
            for cap, watch in ((None, False), (CAP, False), (alike.cap, True))
        )
        what = "3 % of requests ten times slower" if slow.tail else f"+{100 * (slow.factor - 1):.0f} %"
        yield _row(f"first token {what}", (n1, n0), (promised, plain), (None, capped), mine)


def _median(log_e: Array, risk: float, per_look: int) -> float:
    return requests(many.first(log_e >= -math.log(risk)), LOOKS, per_look)


def _row(
    what: str,
    per_look: tuple[int, int],
    plain: tuple[float, float],
    capped: tuple[float | None, float],
    shipped: float,
) -> list[str]:
    """`plain` and `capped`: what was promised, and what was found."""
    cells = [what, "{} + {}".format(*per_look)]
    for promised, found in (plain, capped):
        cells += [_number(promised), _number(found), _ratio(found, promised)]
    return [*cells, _number(shipped), _ratio(shipped, plain[0]), _ratio(shipped, capped[0])]


def _number(value: float | None) -> str:
    return f"{value:,.0f}" if value is not None and math.isfinite(value) else "–"


def _ratio(found: float, promised: float | None) -> str:
    return f"{found / promised:.2f}" if promised is not None and math.isfinite(found) else "–"
