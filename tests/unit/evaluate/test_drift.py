"""Drift is called when it is beyond chance and large, and by neither alone; checked against scipy."""

import random

import pytest
from scipy import stats

from modelrollout.analysis.betting.distance import (
    ks_critical,
    population_stability,
)
from modelrollout.evaluate.drift import distance, drift


def sample(count, shift=0.0, seed=1):
    rng = random.Random(seed)
    return [rng.gauss(shift, 1) for _ in range(count)]


def test_the_distance_is_that_of_kolmogorov_and_smirnov():
    a, b = sorted(sample(80)), sorted(sample(120, 0.4, 2))
    assert distance(a, b) == pytest.approx(stats.ks_2samp(a, b).statistic)


def test_chance_exceeds_the_critical_values_once_in_a_hundred_at_most():
    beyond_ks = beyond_psi = 0
    for seed in range(60):
        found = drift("x", sample(200, seed=seed), sample(200, seed=1000 + seed))
        beyond_ks += found.ks > found.ks_critical
        beyond_psi += found.psi > found.psi_critical
    assert beyond_ks <= 4
    assert beyond_psi <= 6


def test_a_shift_is_called_at_any_count_and_a_trifle_at_none():
    assert drift("x", sample(200), sample(200, 1.0, 2)).drifted
    assert drift("x", sample(6_000), sample(6_000, 1.0, 2)).drifted
    trifle = drift("x", sample(6_000), sample(6_000, 0.08, 2))
    assert trifle.ks > trifle.ks_critical
    assert not trifle.drifted


def test_the_index_of_known_shares_and_its_critical_value():
    index, critical = population_stability([100] * 10, [50, 50, *[100] * 6, 150, 150], 0.01)
    assert index == pytest.approx(0.1098612, abs=1e-6)
    assert critical == pytest.approx(stats.chi2.ppf(0.99, 9) * 2 / 1000, rel=0.01)
    assert ks_critical(100, 100, 0.01) > 0.19


def test_too_few_values_are_refused():
    with pytest.raises(ValueError, match="at least 10"):
        drift("x", [1.0] * 9, [1.0] * 50)
