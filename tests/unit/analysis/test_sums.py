"""Means and ratios from sums over users: the textbook's numbers, and the risk of looking at any time."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from modelrollout.analysis.contest import anytime, sums
from modelrollout.analysis.contest.sums import Sums
from modelrollout.analysis.contest.tally import Ending, Tally, Terms, ended
from modelrollout.analysis.inputs.observation import Look
from modelrollout.experiment import comparison
from modelrollout.experiment.comparison import Arms

Values = NDArray[np.float64]
MEAN = Terms("fixed", "mean", users=(400, 400), baseline=30.0, effect=3.0)
RATIO = Terms("fixed", "ratio", users=(400, 400), baseline=0.2, effect=0.02)


def summed(values: Values, per: Values | None = None) -> Sums:
    if per is None:
        return Sums(len(values), values.sum(), (values**2).sum())
    both = values.sum(), (values**2).sum(), per.sum(), (per**2).sum(), (values * per).sum()
    return Sums(len(values), *both)


@pytest.mark.parametrize(("stable", "canary"), [(40, 900), (300, 310), (5, 5)])
def test_means_are_tested_as_by_the_library(stable: int, canary: int) -> None:
    random = np.random.default_rng(stable)
    first, second = random.lognormal(3, 1, stable), random.lognormal(3.1, 0.7, canary)
    found = sums.means(summed(first), summed(second), 0.05)
    wanted = stats.ttest_ind(second, first, equal_var=False)
    assert found.p_value == pytest.approx(float(wanted.pvalue))
    interval = wanted.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((float(interval.low), float(interval.high)))
    assert (found.test, found.effect) == ("Welch's test", pytest.approx(second.mean() - first.mean()))


def test_ratios_are_tested_by_user_as_in_the_report_of_a_log() -> None:
    random = np.random.default_rng(3)
    per = [np.ceil(random.pareto(2, 500) * 10) + 1 for _ in range(2)]
    values = [requests * random.beta(2, 8, 500) for requests in per]
    found = sums.ratios(summed(values[0], per[0]), summed(values[1], per[1]), 0.05)
    wanted = comparison.ratios(Arms(values[0], values[1], per[0], per[1]), 0.05)
    assert (found.low, found.high, found.p_value) == pytest.approx((wanted.low, wanted.high, wanted.p_value))


def test_users_who_are_all_alike_are_no_difference_or_a_sure_one() -> None:
    same, more = Sums(50, 50, 50), Sums(50, 100, 200)
    assert sums.means(same, same, 0.05).p_value == 1.0
    assert sums.means(same, more, 0.05).p_value == 0.0
    assert sums.ratios(Sums(50), Sums(50), 0.05).p_value == 1.0


@pytest.mark.parametrize("freedom", [2.5, 30.0, 1e5])
def test_the_quantile_is_that_of_students_law(freedom: float) -> None:
    for probability in (0.9, 0.975, 0.9995):
        assert sums.quantile(probability, freedom) == pytest.approx(stats.t.ppf(probability, freedom))


def looks(random: np.random.Generator, mean: float, terms: Terms) -> tuple[Tally, Ending]:
    """Fifty users of each arm a look, until it ends."""
    tally = Tally("0@a")
    for number in range(1000):
        if (ending := ended(tally, terms)) is not None:
            return tally, ending
        each = [summed(random.exponential(each, 50)) for each in (30.0, mean)]
        tally = tally.fold(Look(number, number + 1), *each, terms)
    raise AssertionError("it did not end")


def test_the_planned_users_end_an_experiment_on_means() -> None:
    tally, ending = looks(np.random.default_rng(1), 60.0, MEAN)
    assert (ending.result, tally.stable.of) == ("Better", 400)
    assert looks(np.random.default_rng(1), 15.0, MEAN)[1].result == "Worse"
    assert looks(np.random.default_rng(2), 30.0, MEAN)[1].result == "NoDifference"
    assert Tally.from_state(tally.to_state()) == tally


def test_an_experiment_on_means_that_may_end_at_any_look_keeps_its_risk_and_ends_sooner() -> None:
    canary = sums.canary_users(30, 6, 0.05, 0.8, 50) * anytime.longer(0.05, 0.8)
    users = sums.users_needed(canary, 0.05, 50)
    terms = Terms("sequential", "mean", users=users, baseline=30.0, effect=6.0)
    none = [looks(np.random.default_rng(seed), 30.0, terms)[1].result for seed in range(60)]
    assert sum(result != "NoDifference" for result in none) / 60 <= 0.05
    found = [looks(np.random.default_rng(seed), 40.0, terms) for seed in range(40)]
    assert sum(ending.result == "Better" for _, ending in found) / 40 >= 0.9
    assert np.mean([tally.stable.of for tally, _ in found]) < users[0]


def test_a_ratio_is_judged_by_its_own_test() -> None:
    random, tally = np.random.default_rng(5), Tally("0@a")
    per = [np.ceil(random.pareto(3, 400) * 10) + 1 for _ in range(2)]
    hits = [per[0] * random.beta(2, 8, 400), per[1] * random.beta(3, 7, 400)]
    tally = tally.fold(Look(0, 1), summed(hits[0], per[0]), summed(hits[1], per[1]), RATIO)
    ending = ended(tally, RATIO)
    assert ending is not None
    assert ending.difference is not None
    assert (ending.result, ending.difference.test) == ("Better", "delta method")
