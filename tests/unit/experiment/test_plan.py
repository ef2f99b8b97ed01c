"""How many users an experiment needs, what is refused, and that a lock holds."""

from __future__ import annotations

import pytest

from modelrollout.api.mistakes import Mistaken
from modelrollout.experiment import plan
from modelrollout.experiment.plan import Size
from tests.unit.experiment.given import experiment

REVENUE = {"kind": "mean", "name": "revenue", "baseline": "10", "deviation": 30, "effect": "10%"}


def test_from_ten_to_fifteen_percent_takes_686_users_a_group():
    assert plan.size(experiment()) == Size(stable=686, canary=686)


def test_less_is_better_takes_as_many_as_more():
    less = experiment(metric={"baseline": "15%", "better": "lower"})
    assert plan.size(less) == Size(stable=686, canary=686)


def test_an_uneven_split_takes_more_users_in_all_and_keeps_the_split():
    uneven = plan.size(experiment(split=10))
    assert uneven.total > 2 * 1372
    assert uneven.stable / uneven.canary == pytest.approx(9, rel=0.01)


def test_a_mean_takes_what_the_normal_formula_says_and_ranks_a_little_more():
    means = plan.size(experiment(metric=REVENUE))
    assert means.canary == 14_129  # 2 * (1.96 + 0.8416)^2 * 900 / 1 and a quarter of 1.96^2
    ranks = plan.size(experiment(metric={**REVENUE, "test": "ranks"}))
    assert ranks.canary == pytest.approx(means.canary / 0.864, rel=0.001)


def test_days_wait_for_the_slower_arm_and_for_the_last_outcomes():
    assert plan.days(experiment(), users_per_day=200) == 7
    assert plan.days(experiment(split=10), users_per_day=200) == 18
    assert plan.days(experiment(window="14d"), users_per_day=200) == 21


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"metric": {"effect": "0%"}},
            "metric: The effect is 0; write the smallest change that is worth having.",
        ),
        (
            {"metric": {"baseline": "98%"}},
            "metric: The baseline and the baseline with the effect are shares between 0 and 1, ",
        ),
        (
            {"metric": {"kind": "ratio"}},
            "metric: A ratio needs `per`, the field of the log that it is divided by.",
        ),
        (
            {"metric": {"kind": "mean"}},
            "metric: A mean or a ratio needs `deviation`, the standard deviation between users, to plan for.",
        ),
        (
            {"metric": {"test": "ranks"}},
            "metric: Ranks compare the values of users; write kind: mean, or leave ",
        ),
        ({"power": "20%"}, "the file: Power is from 50% to below 100%; 80% is usual."),
        ({"risk": 0}, "the file: Risk is above 0 and up to 50%; 5% is usual."),
        ({"split": 100}, "split: Input should be less than or equal to 99; 100 was given."),
        ({"guardrail": []}, 'guardrail: There is no field "guardrail"; did you mean "guardrails"?'),
    ],
)
def test_a_mistake_is_reported_with_what_to_write(changes, sentence):
    import yaml

    metric = {"name": "conversion", "baseline": "10%", "effect": "5%", **changes.pop("metric", {})}
    with pytest.raises(Mistaken) as mistaken:
        plan.read(yaml.safe_dump({"name": "tone", "salt": "chat", "metric": metric, **changes}))
    assert any(found.startswith(sentence) for found in mistaken.value.sentences), mistaken.value.sentences


def test_a_lock_gives_the_planned_users_back_and_refuses_a_changed_experiment():
    locked = plan.locked(experiment())
    assert plan.unlocked(locked, experiment()) == Size(686, 686)
    with pytest.raises(Mistaken, match="has changed since it was locked"):
        plan.unlocked(locked, experiment(risk="10%"))
    with pytest.raises(Mistaken, match="It is no lock"):
        plan.unlocked("{}", experiment())
