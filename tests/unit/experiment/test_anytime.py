"""An experiment that may be looked at at any time keeps its risk, and says so."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import ValidationError

from modelrollout.analysis.contest import anytime
from modelrollout.experiment import comparison, markdown, plan
from modelrollout.experiment.comparison import Arms
from modelrollout.experiment.report import Result
from tests.shared.sweep import SWEEP
from tests.unit.experiment.given import experiment, log, reported

SEQUENTIAL = experiment(until="sequential")


def test_the_p_value_is_the_risk_at_which_the_interval_begins_to_leave_0_out() -> None:
    for part in (0.05, 0.5, 1.0):
        assert anytime.p_value(anytime.reach(part, 0.05), part, 0.05) == pytest.approx(0.05)


def test_the_interval_is_narrowest_at_the_planned_users_and_wider_than_a_single_look_s() -> None:
    reaches = {part: anytime.reach(part, 0.05) for part in (0.1, 0.3, 1.0, 3.0, 10.0)}
    assert min(reaches, key=lambda part: reaches[part]) == 1.0
    assert reaches[1.0] == pytest.approx(3.035, abs=0.001)


def test_many_looks_at_the_same_arms_call_a_difference_no_more_often_than_the_risk() -> None:
    random, called, alone, times = np.random.default_rng(4), 0, 0, 60 if SWEEP else 20
    for _ in range(times):
        stable, canary = (random.exponential(1, 2500) for _ in range(2))
        found = [comparison.means(Arms(stable[:end], canary[:end]), 0.05) for end in range(100, 2501, 160)]
        alone += any(each.p_value <= 0.05 for each in found)
        called += any(
            comparison.at_any_time(each, each.users[0] / 2500, 0.05).p_value <= 0.05 for each in found
        )
    assert called / times <= 0.05 < alone / times


def test_it_takes_twice_the_users_at_most() -> None:
    assert plan.size(experiment()).total == 1372
    assert plan.size(SEQUENTIAL).total == pytest.approx(1372 * 1.913, rel=0.01)


def test_a_report_of_few_users_says_nothing_and_one_of_some_says_what_it_shows_so_far() -> None:
    rates = {"stable": 0.10, "canary": 0.10}
    early = reported(SEQUENTIAL, log(150, rates))
    assert (early.result, early.primary) == (Result.EARLY, None)
    later = reported(SEQUENTIAL, log(600, rates))
    assert later.result is Result.EARLY
    assert "is shown yet" in later.sentence
    assert "chi-square, at any time" in markdown.render(later)


def test_a_clear_effect_ends_it_before_the_planned_users() -> None:
    found = reported(SEQUENTIAL, log(900, {"stable": 0.05, "canary": 0.30}))
    assert found.result is Result.BETTER
    assert found.primary is not None
    assert found.primary.low > 0


def test_all_of_its_users_without_a_difference_end_it() -> None:
    found = reported(SEQUENTIAL, log(3000, {"stable": 0.10, "canary": 0.10}))
    assert found.result is Result.NO_DIFFERENCE


def test_a_lock_from_before_there_was_a_choice_is_still_one_of_a_fixed_experiment() -> None:
    assert experiment().digest == experiment(until="fixed").digest != SEQUENTIAL.digest


def test_ranks_are_looked_at_once() -> None:
    with pytest.raises(ValidationError, match="ranks are looked at once"):
        experiment(
            until="sequential",
            metric={"kind": "mean", "test": "ranks", "deviation": 1, "baseline": 1, "effect": "10%"},
        )


def test_an_effect_without_an_error_is_left_as_it_is() -> None:
    same = comparison.means(Arms(np.ones(5), np.ones(5)), 0.05)
    assert comparison.at_any_time(same, 0.5, 0.05) == same
    assert not math.isnan(same.p_value)
