"""The vectorised engine of the simulations is the engine; and what the engine promises on the margin."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from modelrollout.analysis.betting.block import Margin
from modelrollout.analysis.inputs.metric import EdgeMargin, Kind, Metric, Prior, Tolerance
from modelrollout.analysis.inputs.observation import Histogram, Observation, Ratio
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.kinds.shares import SharesTest
from modelrollout.analysis.kinds.tests_by_kind import fresh_test
from modelrollout.analysis.noise.design_effect import design_effect, jump_effect
from modelrollout.analysis.noise.dispersion import Pair
from tests.bench import many
from tests.bench.worlds import logit_noise
from tests.shared.sweep import SWEEP, some
from tests.unit.analysis.given import judge, ratios

ROLLOUTS, LOOKS = (3, 25) if SWEEP else (1, 25)


def drawn(rng: np.random.Generator, p1: float, p0: float, low: int = 0, busy: int = 1) -> many.Counts:
    """Counts with very different sizes, silent looks among them."""
    n1, n0 = (busy * rng.integers(low, 80, (ROLLOUTS, LOOKS)) for _ in range(2))
    n1, n0 = (np.where(rng.random(n.shape) < 0.1, low, n).astype(float) for n in (n1, n0))
    x1, x0 = rng.binomial(n1.astype(int), p1), rng.binomial(n0.astype(int), p0)
    return many.Counts(n1, x1.astype(float), n0, x0.astype(float))


MARGINS = [
    ((1.0, 0.005), 1.0, False),
    ((1.3, 0.002), 2.5, True),
    ((1.0, 0.01), 1.2, True),
    ((0.0, 0.04), 1.0, True),
    ((0.8, 0.05), 1.0, True),
]
WAYS = list(itertools.product(MARGINS, (True, False), (True, False)))


@pytest.mark.parametrize(("judged", "capped", "restart"), some(WAYS, 3))
def test_shares_are_judged_as_by_the_engine(
    judged: tuple[tuple[float, float], float, bool], capped: bool, restart: bool
) -> None:
    margin, phi, watch = judged
    counts = drawn(np.random.default_rng(3), 0.08, 0.03)
    short = 1.4 if phi == 2.5 else None
    ways = {"phi": phi, "phi_short": short, "watch_noise": watch, "cap": capped, "restart": restart}
    metric = Metric("m", tolerance=Tolerance(*margin), prior=Prior(0.03, 150), **ways)
    plan = Plan((metric,), planned_looks=20)
    rules = many.Rules(
        Margin(*margin), (0.03, 150), phi, short, watch, plan.cap if capped else None, restart, planned=20
    )
    against, proof = many.shares(counts, rules)
    for r in range(ROLLOUTS):
        rows = zip(counts.x1[r], counts.n1[r], counts.x0[r], counts.n0[r], strict=True)
        _, verdicts = judge(plan, [{"m": ratios(*row)} for row in rows])
        engine = [(v.metrics["m"].revert_e, v.metrics["m"].promote_e) for v in verdicts]
        vectorised = zip(np.exp(against[r]), np.exp(proof[r]), strict=True)
        for seen, expected in zip(vectorised, engine, strict=True):
            assert seen == pytest.approx(expected, rel=2e-4)  # phi is kept in single precision by the engine


@pytest.mark.parametrize("phi", [None, 1.5, 9.0])
def test_breakdowns_are_judged_as_by_the_engine(phi: float | None) -> None:
    counts = drawn(np.random.default_rng(6), 0.12, 0.04, busy=6)
    metric = Metric("m", tolerance=Tolerance(1, 0.005), prior=Prior(0.03, 2), phi=phi, catastrophic=0.1)
    evidence = many.breakdown(
        counts, many.Rules(Margin(1, 0.005), (0.03, 2), phi, planned=20), Margin(1, 0.1)
    )
    for r in range(ROLLOUTS):
        rows = zip(counts.x1[r], counts.n1[r], counts.x0[r], counts.n0[r], strict=True)
        test = fresh_test(metric, Plan((metric,), planned_looks=20))
        for (x1, n1, x0, n0), expected in zip(rows, evidence[r], strict=True):
            folded = test.fold(Ratio(x1, n1), Ratio(x0, n0))
            assert isinstance(folded, SharesTest)
            test = folded
            assert test.reading().log_catastrophic == pytest.approx(expected, abs=0.02)


def test_history_is_read_as_by_the_engine() -> None:
    rng = np.random.default_rng(4)
    n = np.full((6, 200), 50.0)
    noise = [logit_noise(rng, (6, 200), 0.1, (0.8, 0.85)) for _ in range(2)]
    counts = many.Counts(n, rng.binomial(50, noise[0]) * 1.0, n, rng.binomial(50, noise[1]) * 1.0)
    phi, short = many.history_phi(counts)
    for r in range(len(phi)):
        rows = zip(counts.n1[r], counts.x1[r], counts.n0[r], counts.x0[r], strict=True)
        pairs = [Pair(*map(float, row)) for row in rows]
        assert phi[r] == pytest.approx(design_effect(pairs), rel=1e-9)
        assert short[r] == pytest.approx(min(jump_effect(pairs), design_effect(pairs)), rel=1e-5)


def test_a_histogram_is_judged_as_by_the_engine() -> None:
    rng = np.random.default_rng(5)
    edges = (0.1, 0.5, 1.0, 5.0)
    margins = (EdgeMargin(0.5, 1.2, 0.002, 0.4), EdgeMargin(1.0, 1.5, 0.002, 0.1))
    metric = Metric("m", Kind.HISTOGRAM, Tolerance(1.1), margins=margins, phi=1.5)
    plan = Plan((metric,), planned_looks=LOOKS)
    n = np.full((ROLLOUTS, LOOKS), 60.0)
    buckets1 = rng.multinomial(60, [0.1, 0.4, 0.3, 0.15, 0.05], (ROLLOUTS, LOOKS))
    buckets0 = rng.multinomial(60, [0.2, 0.4, 0.3, 0.07, 0.03], (ROLLOUTS, LOOKS))
    above = tuple(
        np.stack([b[..., 2:].sum(-1), b[..., 3:].sum(-1)], -1).astype(float) for b in (buckets1, buckets0)
    )
    rules = [
        many.Rules(Margin(m.ratio, m.absolute), (m.exceedance, 2.0), 1.5, None, True, plan.cap, True, LOOKS)
        for m in margins
    ]
    against, proof = many.latency((above[0], above[1]), (n, n), rules)
    for r in range(ROLLOUTS):
        rows = zip(buckets1[r].tolist(), buckets0[r].tolist(), strict=True)
        looks = [{"m": Observation(Histogram(edges, tuple(a)), Histogram(edges, tuple(b)))} for a, b in rows]
        _, verdicts = judge(plan, looks)
        for t, verdict in enumerate(verdicts):
            seen = (math.exp(against[r, t]), math.exp(proof[r, t]))
            expected = (verdict.metrics["m"].revert_e, verdict.metrics["m"].promote_e)
            assert seen == pytest.approx(expected, rel=1e-3)


def test_the_average_is_the_engines() -> None:
    rng = np.random.default_rng(8)
    counts = [drawn(rng, 0.05, 0.03, low=1) for _ in range(2)]
    metrics = tuple(Metric(name, tolerance=Tolerance(1, 0.01), phi=1.0) for name in "ab")
    plan = Plan(metrics, planned_looks=LOOKS)
    rules = many.Rules(Margin(1, 0.01), phi=1.0, cap=plan.cap, planned=LOOKS)
    combined = many.average([many.shares(c, rules)[0] for c in counts])
    rows = [
        {
            name: ratios(c.x1[0, t], c.n1[0, t], c.x0[0, t], c.n0[0, t])
            for name, c in zip("ab", counts, strict=True)
        }
        for t in range(LOOKS)
    ]
    _, verdicts = judge(plan, rows)
    assert np.exp(combined[0]) == pytest.approx([v.revert_e for v in verdicts], rel=2e-4)


def test_on_the_margin_no_more_than_one_percent_is_reverted() -> None:
    """Rollouts of 200 looks exactly on the margin. At one percent, one run of 200 would exceed the limit."""
    rollouts, most = (2000, 32) if SWEEP else (500, 11)
    rng = np.random.default_rng(20261120)
    n = np.full((rollouts, 200), 100)
    x1, x0 = rng.binomial(n, 0.010).astype(float), rng.binomial(n, 0.005).astype(float)
    prior = (rng.binomial(5000, 0.005, rollouts) + 0.5) / 5001
    rules = many.Rules(Margin(1, 0.005), (prior, 200.0), watch=False, planned=200)
    counts = many.Counts(n.astype(float), x1, n.astype(float), x0)
    against, _ = many.shares(counts, rules, proofs=False)
    reverted = int((against.max(1) >= math.log(100)).sum())
    assert reverted <= most


def test_the_simulation_can_see_a_broken_engine() -> None:
    """The same run with a margin stated too small must revert most: the count above can fail."""
    rng = np.random.default_rng(1)
    n = np.full((200, 200), 100)
    counts = many.Counts(n * 1.0, rng.binomial(n, 0.015) * 1.0, n * 1.0, rng.binomial(n, 0.005) * 1.0)
    rules = many.Rules(Margin(1, 0.005), (0.005, 200.0), watch=False, planned=200)
    honest = (many.shares(counts, rules, proofs=False)[0].max(1) >= math.log(100)).mean()
    inside = replace(rules, margin=Margin(1, 0.02))
    assert honest > 0.5
    assert (many.shares(counts, inside, proofs=False)[0].max(1) >= math.log(100)).mean() == 0
