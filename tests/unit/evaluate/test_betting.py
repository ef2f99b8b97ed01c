"""The bets are fair whatever the values are, and the intervals hold what they promise."""

import itertools
import math
import random

import pytest

from modelrollout.evaluate.betting import Bet, Bounds, cases_above, cases_below, counted, interval


def expectation(side, bounds, values, cases):
    """The exact mean of the e-value after some cases, over all their outcomes."""
    whole = 0.0
    for drawn in itertools.product(values, repeat=cases):
        bet = Bet.fresh(bounds)
        for _, x in drawn:
            bet = bet.fold(x)
        whole += math.prod(p for p, _ in drawn) * math.exp(getattr(bet, side))
    return whole


@pytest.mark.parametrize("limit", [-0.5, 0.0, 0.05, 0.4])
def test_on_the_limit_no_bet_wins_in_the_mean(limit):
    values = ((0.4 + 0.4 * limit, 1.0), (0.2, limit), (0.4 - 0.4 * limit, -1.0))
    for side in ("log_above", "log_below"):
        assert expectation(side, Bounds(-1, 1, limit), values, 3) == pytest.approx(1.0, abs=1e-9)


def test_inside_the_null_it_loses():
    values = ((0.02, 1.0), (0.98, 0.0))
    assert expectation("log_above", Bounds(0, 1, 0.05), values, 6) < 1
    assert expectation("log_below", Bounds(0, 1, 0.01), values, 6) < 1


def test_a_limit_at_the_end_of_the_scale_is_broken_by_a_single_case():
    bet = Bet.fresh(Bounds(0, 1, 0.0)).fold(0.0)
    assert bet.log_above == pytest.approx(0)
    assert bet.fold(0.01).log_above > 100


def test_a_value_outside_of_its_bounds_is_refused():
    with pytest.raises(ValueError, match="outside"):
        Bet.fresh(Bounds(0, 1, 0.5)).fold(1.5)


def test_equal_answers_prove_a_margin_of_five_points_after_76_cases():
    bet, cases = Bet.fresh(Bounds(-1, 1, 0.05)), 0
    while bet.log_below < math.log(20):
        bet, cases = bet.fold(0.0), cases + 1
    assert cases == 76
    assert cases_below(((1.0, 0.0),), Bounds(-1, 1, 0.05), math.log(20)) == pytest.approx(78, abs=2)


def test_a_case_with_half_the_weight_counts_half():
    light, heavy = Bet.fresh(Bounds(0, 1, 0.5)), Bet.fresh(Bounds(0, 1, 0.5))
    for value in (1.0, 0.0):
        light, heavy = light.fold(value, 0.5), heavy.fold(value, 0.5 + 0.5 * value)
    assert light.mean == 0.5
    assert heavy.mean == pytest.approx(2 / 3)


def test_the_interval_holds_the_mean_in_more_than_95_of_100_runs():
    rng, missed = random.Random(5), 0
    for _ in range(25):
        drawn = [(float(rng.random() < 0.3), 1.0) for _ in range(120)]
        low, high = interval(counted(drawn, 0, 1), 0, 1, 0.05)
        assert low < sum(x for x, _ in drawn) / 120 < high
        missed += not low <= 0.3 <= high
    assert missed <= 1


def test_no_values_leave_the_whole_range():
    assert interval({}, -1, 1, 0.05) == (-1, 1)


def test_more_harm_is_found_in_fewer_cases_and_no_harm_never():
    bounds = Bounds(-1, 1, 0.05)
    needed = [cases_above(((h, 1.0), (1 - h, 0.0)), bounds, 7.0) for h in (0.5, 0.2, 0.05)]
    assert needed[0] < needed[1] < needed[2] == math.inf
