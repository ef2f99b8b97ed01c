"""The tests give the figures of the books, and their intervals agree with their p-values."""

from __future__ import annotations

import numpy as np
import pytest

from modelrollout.experiment import comparison
from modelrollout.experiment.comparison import Arms


def hits(count: int, of: int) -> np.ndarray:
    return np.r_[np.ones(count), np.zeros(of - count)]


def test_chi_square_of_the_golden_table():
    found = comparison.shares(Arms(hits(300, 2400), hits(200, 2400)), 0.05)
    assert found.test == "chi-square"
    assert found.p_value == pytest.approx(2.3012e-6, rel=1e-4)
    assert (found.low, found.high) == pytest.approx((-0.0589, -0.0244), abs=2e-4)


def test_few_hits_are_tested_exactly():
    found = comparison.shares(Arms(hits(1, 10), hits(8, 10)), 0.05)
    assert found.test == "Fisher's exact test"
    assert found.p_value == pytest.approx(0.0055, abs=1e-4)


def test_arms_without_any_hit_are_no_difference():
    found = comparison.shares(Arms(hits(0, 50), hits(0, 50)), 0.05)
    assert (found.p_value, found.effect) == (1.0, 0.0)
    assert found.low < 0 < found.high


def test_values_that_never_vary_are_no_difference():
    found = comparison.means(Arms(np.ones(20), np.ones(20)), 0.05)
    assert (found.p_value, found.low, found.high) == (1.0, 0.0, 0.0)


def test_welch_finds_a_shift_and_its_interval_excludes_0_where_p_is_small():
    random = np.random.default_rng(1)
    for shift in (0.0, 0.2, 0.5):
        arms = Arms(random.normal(0, 1, 300), random.normal(shift, 3, 200))
        found = comparison.means(arms, 0.05)
        assert (found.p_value < 0.05) == (not found.low <= 0 <= found.high)


def test_ranks_see_what_a_few_great_values_hide_from_means():
    random = np.random.default_rng(2)
    arms = Arms(random.lognormal(0, 2, 800), random.lognormal(0.4, 2, 800))
    assert comparison.ranks(arms, 0.05).p_value < 0.05 < comparison.means(arms, 0.05).p_value


def test_the_chance_to_have_more_has_an_interval_that_holds_it():
    """Two normal arms that differ by half a deviation: the chance is 63.8 %."""
    held = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        found = comparison.ranks(Arms(random.normal(0, 1, 60), random.normal(0.5, 1, 60)), 0.05)
        held += found.low + 0.5 <= 0.6382 <= found.high + 0.5
    assert held >= 182


def test_requests_of_one_user_do_not_count_as_users():
    """Users differ in how much they ask and in what they like: a test by request calls a difference in a
    fifth of the experiments that have none."""
    wrong = by_request = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        requests = random.pareto(3, 400) * 10 + 1
        good = requests * random.beta(1, 4, 400)
        arms = Arms(good[:200], good[200:], requests[:200], requests[200:])
        wrong += comparison.ratios(arms, 0.05).p_value < 0.05
        counts = [
            (int(good[part].sum()), int(requests[part].sum())) for part in (slice(200), slice(200, 400))
        ]
        by_request += comparison.shares(Arms(*(hits(*count) for count in counts)), 0.05).p_value < 0.05
    assert wrong <= 18
    assert by_request >= 30


def test_holm_keeps_the_order_of_the_segments_and_never_lowers_a_p_value():
    assert comparison.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert comparison.holm([]) == []
    assert comparison.holm([0.9, 0.8]) == [1.0, 1.0]
