"""Noise is learned from the past, watched by its jumps, and never explains a regression away."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from modelrollout.analysis.betting.ladder import StepTerms
from modelrollout.analysis.inputs.metric import Kind, Metric, Prior, Tolerance
from modelrollout.analysis.inputs.observation import (
    Arm,
    Events,
    Histogram,
    Levels,
    Observation,
    Ratio,
    Scalar,
)
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.noise.design_effect import design_effect, jump_effect
from modelrollout.analysis.noise.dispersion import Pair, Running
from modelrollout.analysis.noise.noise import UNKNOWN, Noise
from modelrollout.analysis.packs import catalogue
from modelrollout.analysis.planning.calibration import LEAST_LOOKS, calibrate
from modelrollout.api import analysis as spec
from tests.bench.worlds import logit_noise
from tests.unit.analysis.given import ERRORS, judge, latency_histogram, look, ratios

NOISY = (0.5, 0.8)


def halves(sd_lag: tuple[float, float], looks: int = 480, n: int = 100, seed: int = 1) -> list[Pair]:
    rng = np.random.default_rng(seed)
    x = [rng.binomial(n, logit_noise(rng, (1, looks), 0.02, sd_lag)[0]) for _ in range(2)]
    return [Pair(n, float(a), n, float(b)) for a, b in zip(*x, strict=True)]


def many_phi(sd_lag: tuple[float, float]) -> tuple[float, float]:
    runs = [halves(sd_lag, seed=seed) for seed in range(7)]
    return float(np.median([design_effect(r) for r in runs])), float(
        np.median([jump_effect(r) for r in runs])
    )


@pytest.mark.parametrize(
    ("sd_lag", "whole", "short"),
    [
        ((0.0, 0.0), (1.0, 1.3), (1.0, 1.2)),
        ((1.0, 0.0), (2.5, 4.5), (2.5, 5.0)),
        (NOISY, (3.0, 6.0), (1.0, 1.5)),
    ],
)
def test_history_shows_the_noise_and_which_part_of_it_is_fast(
    sd_lag: tuple[float, float], whole: tuple[float, float], short: tuple[float, float]
) -> None:
    phi, jumps = many_phi(sd_lag)
    assert whole[0] <= phi <= whole[1]
    assert short[0] <= jumps <= short[1]


def watch(noise: Noise, pairs: list[Pair], variance: float = 0.02) -> float:
    running = Running.fresh(noise)
    for pair in pairs:
        running = running.fold(pair, variance, variance)
    return running.phi(variance, variance)


@pytest.mark.parametrize("load", [True, False])
@pytest.mark.parametrize("kind", [Kind.RATIO, Kind.COUNTING])
def test_another_load_is_no_noise_of_what_grows_with_load(kind: Kind, load: bool) -> None:
    """The difference moves when each pod begins to carry more, and that is one move, not noise."""
    metric = Metric("queued", kind, Tolerance(1.5), phi=2.0, phi_short=1.0, load=load)
    levels = [20.0] * 20 + [40.0] * 20

    def arm(count: float) -> Arm:
        return Ratio(count, 200) if kind is Kind.RATIO else Events(count, 200)

    rows = [{"queued": Observation(arm(level + t % 3), arm(40.0))} for t, level in enumerate(levels)]
    evidence, _ = judge(Plan((metric,), planned_looks=80), rows[:20])
    evidence = evidence.restart_promotion(terms=StepTerms(alike=False))
    for number, row in enumerate(rows[20:], 21):
        evidence, verdict = evidence.fold(look(number), row)
    assert (verdict.metrics["queued"].phi == 2.0) == load


def test_a_regression_that_begins_late_is_no_noise() -> None:
    """A long-run estimate takes the new level for slow noise; jumps see it once."""
    steady = [Pair(100, 0.5 + (i % 2), 100, 0.5) for i in range(100)]
    broken = [Pair(100, 5.0 + (i % 2), 100, 0.5) for i in range(40)]
    learned, unknown = Noise(1.0, 1.0, None, True), Noise(None, None, None, True)
    assert watch(learned, steady + broken) < 1.2
    assert watch(unknown, steady + broken) > 3
    assert watch(Noise(2.0, 1.0, None, True), steady + broken) > 3  # where slow noise is known it stays safe


def test_noise_that_grows_during_the_rollout_raises_phi() -> None:
    rng = np.random.default_rng(2)
    x = rng.binomial(100, logit_noise(rng, (2, 100), 0.05, (1.2, 0.0)))
    wild = [Pair(100, float(a), 100, float(b)) for a, b in x.T]
    assert watch(Noise(1.0, 1.0, None, True), wild, 0.05) > 2.5
    assert watch(Noise(1.0, 1.0, None, False), wild, 0.05) == 1.0


def test_a_canary_that_fails_now_and_then_does_not_hide_behind_its_own_jumps() -> None:
    """One look in ten at 30 %: the jumps are the harm, and count for little more noise than was learned."""
    erratic = [Pair(100, 30.0 if i % 10 == 9 else 0.5, 100, 0.5) for i in range(100)]
    assert watch(Noise(1.0, 1.0, None, True), erratic, 0.03) < 3


def test_slow_noise_is_scaled_by_what_history_knew() -> None:
    assert Noise(6.0, 2.0, None, True).at(50, 3.0, 1.0) == pytest.approx(9.0)
    assert Noise(6.0, None, None, True).at(50, 3.0, 1.0) == 6.0
    assert Noise(6.0, 2.0, None, True).at(50, 1.0, 1.0) == 6.0
    assert Noise(6.0, 2.0, None, True).at(50, 1.0, 7.0) == 7.0


def test_more_requests_make_shared_noise_weigh_more_and_fewer_never_less() -> None:
    noise = Noise(3.0, None, 50.0, True)
    assert noise.at(50, 1.0, 1.0) == 3.0
    assert noise.at(100, 1.0, 1.0) == 5.0
    assert noise.at(10, 1.0, 1.0) == 3.0


PLAN = Plan((ERRORS,), planned_looks=60)
FRESH = replace(ERRORS, phi=None, prior=None)


def as_arms(pairs: list[Pair]) -> list[tuple[Arm, Arm]]:
    return [(Ratio(p.x1, p.n1), Ratio(p.x0, p.n0)) for p in pairs]


def test_calibration_fills_in_what_the_past_knows() -> None:
    quiet = as_arms(halves((0.0, 0.0), looks=180, n=400))
    learned = calibrate(FRESH, quiet, PLAN, 60)
    assert learned.metric.phi is not None
    assert 1.0 <= learned.metric.phi < 1.6
    assert learned.metric.prior is not None
    assert learned.metric.prior.rate == pytest.approx(0.02, rel=0.1)
    assert learned.metric.phi_exposure == pytest.approx(200)
    assert (learned.looks, learned.rollouts) == (180, 3)
    given = calibrate(replace(FRESH, prior=Prior(0.3)), quiet, PLAN, 60).metric.prior
    assert given == Prior(0.3)


def test_calibration_says_when_the_tolerance_cannot_be_tested() -> None:
    warning = calibrate(FRESH, as_arms(halves((1.0, 0.9), looks=240)), PLAN, 60).warning
    assert warning is not None
    assert "only after about" in warning
    assert "Widen the tolerance" in warning
    wide = replace(FRESH, tolerance=Tolerance(1, 0.05))
    assert calibrate(wide, as_arms(halves((0.0, 0.0), looks=180, n=400)), PLAN, 60).warning is None


def test_calibration_says_when_the_control_would_have_been_reverted() -> None:
    torn: list[tuple[Arm, Arm]] = [(Ratio(40, 400), Ratio(2, 400))] * 120
    result = calibrate(replace(FRESH, watch_noise=False), torn, PLAN, 60)
    assert result.reverted == result.rollouts == 2
    assert "Judged against itself" in str(result.warning)


def test_a_short_past_claims_nothing() -> None:
    few = as_arms(halves((0.0, 0.0)))[: LEAST_LOOKS - 1]
    assert calibrate(FRESH, few, PLAN, 60).metric == FRESH
    silent: list[tuple[Arm, Arm]] = [(Ratio(0, 0), Ratio(0, 0))] * 100
    assert calibrate(FRESH, silent, PLAN, 60).metric.phi is None
    broken: list[tuple[Arm, Arm]] = [(Ratio(float("nan"), 1), Ratio(0, 1))] * 100
    assert calibrate(FRESH, broken, PLAN, 60).metric == FRESH
    scalar = Metric("cost", Kind.SCALAR)
    assert calibrate(scalar, [(Scalar(1), Scalar(1))] * 100, PLAN, 60).metric == scalar


def test_every_kind_learns_its_noise() -> None:
    rng = random.Random(4)
    latency = Metric("ttft", Kind.HISTOGRAM, Tolerance(1.2))
    past: list[tuple[Arm, Arm]] = [
        (latency_histogram(rng, 60), latency_histogram(rng, 60)) for _ in range(60)
    ]
    learned = calibrate(latency, past, Plan((latency,)), 30).metric
    assert learned.phi is not None
    assert 1.0 <= learned.phi < 2
    assert learned.baseline is not None
    assert sum(learned.baseline.counts) == 60 * 120
    restarts = Metric("restarts", Kind.COUNTING, Tolerance(1.5))
    bursts = [
        (Events(9.0 * (rng.random() < 0.1), 600), Events(9.0 * (rng.random() < 0.1), 600)) for _ in range(120)
    ]
    assert (calibrate(restarts, bursts, Plan((restarts,)), 30).metric.phi or 0) > 2
    score = Metric("judge", Kind.MEAN, Tolerance(1, 0.03))
    marks = [(Levels((0, 0.5, 1), (5, 3, 2)), Levels((0, 0.5, 1), (6, 2, 2))) for _ in range(60)]
    assert calibrate(score, marks, Plan((score,)), 30).metric.phi == pytest.approx(1.0)


def test_what_a_few_jumps_show_by_chance_makes_nobody_wait_where_the_noise_is_known() -> None:
    rng = np.random.default_rng(6)
    x = rng.binomial(100, 0.02, (100, 2, 15)).astype(float)
    runs = [[Pair(100, a, 100, b) for a, b in zip(*arms, strict=True)] for arms in x]
    known, unknown = (
        np.array([watch(Noise(phi, phi, None, True), run) for run in runs]) for phi in (1.0, None)
    )
    assert known.mean() < 1.03
    assert unknown.mean() > 1.08


def test_where_the_past_could_not_tell_a_proof_reckons_with_noise_and_an_objection_does_not() -> None:
    unknown, quiet = Noise(None, None, None, True), Noise(1.0, None, None, True)
    assert (unknown.for_proofs(1.0), unknown.for_proofs(5.0)) == (UNKNOWN, 5.0)
    assert quiet.for_proofs(1.0) == 1.0
    looks = [{"errors": ratios(5, 1000, 5, 1000)}] * 4
    proofs = []
    for phi in (None, 1.0):
        metric = replace(ERRORS, phi=phi)
        _, verdicts = judge(Plan((metric,), planned_looks=60), looks)
        proofs.append((verdicts[-1].metrics["errors"].promote_e, verdicts[-1].metrics["errors"].revert_e))
    assert proofs[0][0] < proofs[1][0] ** 0.6
    assert proofs[0][1] == pytest.approx(proofs[1][1], rel=0.05)


def test_halves_of_what_a_proxy_counts_say_nothing_of_noise() -> None:
    """Both halves of the gateway's pods are answered by the same model pods: their common failures cancel."""
    rng = np.random.default_rng(6)
    shares = logit_noise(rng, (1, 240), 0.02, (1.0, 0.8))[0]
    halves = [rng.binomial(100, shares) for _ in range(2)]
    past: list[tuple[Arm, Arm]] = [
        (Ratio(float(a), 100.0), Ratio(float(b), 100.0)) for a, b in zip(*halves, strict=True)
    ]
    [proxy, pods] = catalogue.resolve(
        [spec.Metric(use="envoy/success-rate"), spec.Metric(use="http/success-rate")]
    )
    learned = calibrate(proxy.metric, past, PLAN, 60).metric
    assert learned.phi is None
    assert learned.prior is not None
    assert calibrate(pods.metric, past, PLAN, 60).metric.phi is not None


def test_stalls_that_come_in_bursts_are_noise_of_the_edge_they_lie_beyond() -> None:
    """A fifth of the requests of one look in twenty take ten times as long; the other edges are quiet."""
    rng, metric = random.Random(5), Metric("ttft", Kind.HISTOGRAM, Tolerance(1.1))

    def look_of_half() -> Arm:
        if rng.random() >= 0.05:
            return latency_histogram(rng, 60)
        usual, stalled = latency_histogram(rng, 48), latency_histogram(rng, 12, 10.0)
        return Histogram(usual.edges, tuple(a + b for a, b in zip(usual.counts, stalled.counts, strict=True)))

    past = [(look_of_half(), look_of_half()) for _ in range(300)]
    learned = calibrate(metric, past, Plan((metric,), planned_looks=60), 60).metric
    assert len(learned.edge_noise) >= 3
    assert learned.edge_noise[0] == pytest.approx(1.0, abs=0.2)
    assert max(learned.edge_noise) > 1.5
