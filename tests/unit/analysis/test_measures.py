"""What an experiment or a bandit counts, and what stands against it."""

from __future__ import annotations

from typing import Any

import pytest

from modelrollout.analysis.packs.measures import measured, terms_of, unusable
from modelrollout.api.stages import Contest, Experiment, stage_of
from modelrollout.api.strategy import Step

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


def test_nothing_stands_against_one_that_can_be_counted() -> None:
    assert unusable([experiment()]) == ()
