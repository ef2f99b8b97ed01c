"""What an experiment or a bandit counts, and what stands against it."""

from __future__ import annotations

from typing import Any

import pytest

from modelrollout.analysis.contest.sums import Sums
from modelrollout.analysis.inputs.observation import Ratio
from modelrollout.analysis.packs.measures import measured, terms_of, unusable, users_of
from modelrollout.api.stages import Contest, Experiment, stage_of
from modelrollout.api.strategy import Step
from modelrollout.experiment.plan import Experiment as Planned
from modelrollout.experiment.plan import size

COUNTERS = {"successes": "sum(orders{$arm})", "users": "sum(visitors{$arm})"}


def experiment(**changes: Any) -> Contest:
    written = {"name": "tone", "metric": COUNTERS, "baseline": "0.10", "smallestEffect": "0.05", **changes}
    stage = stage_of(Step.model_validate({"experiment": written}))
    assert isinstance(stage, Experiment)
    return stage


def test_own_counters_are_what_is_hoped_for_unless_they_say_otherwise() -> None:
    assert measured(experiment()).higher
    assert not measured(experiment(metric={**COUNTERS, "better": "lower"})).higher


@pytest.mark.parametrize(("use", "higher"), [("feedback/thumbs-down", False), ("feedback/handover", False)])
def test_a_pack_knows_what_is_better(use: str, higher: bool) -> None:
    assert measured(experiment(metric={"use": use})).higher is higher
    assert measured(experiment(metric={"use": use, "better": "higher"})).higher


def test_an_effect_is_a_rise_or_where_less_is_better_a_fall() -> None:
    assert terms_of(experiment()).users == (686, 686)
    assert terms_of(experiment(metric={**COUNTERS, "better": "lower"})).users == (435, 435)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"metric": {"use": "feedback/thumb-down"}}, "did you mean feedback/thumbs-down?"),
        ({"metric": {"use": "vllm/time-to-first-token"}}, "is no share of users"),
        ({"metric": {**COUNTERS, "users": "rate(visitors{$arm}[1m])"}}, "rate"),
        ({"baseline": "0.97"}, "Write a smaller smallestEffect"),
        ({"baseline": "0.03", "metric": {"use": "feedback/handover"}}, "Write a smaller smallestEffect"),
    ],
)
def test_what_cannot_be_counted_is_said_with_what_to_write(changes: dict[str, Any], words: str) -> None:
    (problem,) = unusable([experiment(**changes)])
    assert problem.reason == "UnusableMetric"
    assert words in problem.message


SPENT = {"sum": "sum(spent{$arm})", "squares": "sum(squares{$arm})", "users": COUNTERS["users"]}
PER = {"per": "sum(requests{$arm})", "perSquares": "sum(rr{$arm})", "products": "sum(sr{$arm})"}


def test_a_mean_is_counted_by_its_sum_its_squares_and_its_users() -> None:
    stage = experiment(metric=SPENT, baseline="30", smallestEffect="3", deviation="30")
    found = measured(stage)
    assert [sorted(each.recipe.families()) for each in found.resolved] == [
        ["spent", "visitors"],
        ["squares", "visitors"],
    ]
    assert users_of([Ratio(90, 3), Ratio(2900, 3)]) == Sums(3, 90, 2900)
    assert (found.kind, terms_of(stage).users) == ("mean", (1571, 1571))


def test_a_mean_takes_as_many_users_as_the_plan_of_a_log_says() -> None:
    metric = {"name": "spent", "kind": "mean", "baseline": 30, "deviation": 30, "effect": 3}
    for until in ("fixed", "sequential"):
        stage = experiment(metric=SPENT, baseline="30", smallestEffect="3", deviation="30", until=until)
        whole = {"name": "tone", "salt": "chat", "metric": metric, "until": until}
        assert sum(terms_of(stage).users) == size(Planned.model_validate(whole)).total


def test_a_ratio_is_counted_by_five_sums() -> None:
    found = measured(experiment(metric=SPENT | PER, deviation="3"))
    assert (found.kind, len(found.resolved)) == ("ratio", 5)
    counted = users_of([Ratio(each, 3) for each in (1, 2, 3, 4, 5)])
    assert counted == Sums(of=3, x=1, xx=2, y=3, yy=4, xy=5)
    assert len({each.name for each in found.resolved}) == 5


def test_nothing_stands_against_one_that_can_be_counted() -> None:
    assert unusable([experiment()]) == ()
