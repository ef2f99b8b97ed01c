"""The plan written out, the split of each of its steps, and the pods it takes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrollout.api.spec import Spec
from modelrollout.rollout import steps
from modelrollout.traffic.router import Match, Split
from tests.unit.rollout.world import SERVICE_ONLY, spec_of, with_steps


def curve(shape: str, **changes: Any) -> Spec:
    return spec_of(strategy={"canary": {"curve": {"shape": shape, **changes}}})


def weights(spec: Spec) -> list[int | None]:
    return [step.weight for step in steps.expand(spec)]


PLANS: dict[str, tuple[Spec, list[int | None]]] = {
    "steps get their final 100": (with_steps({"weight": 5}, {"weight": 50}), [5, 50, 100]),
    "a final 100 that is written stays": (with_steps({"weight": 5}, {"weight": 100}), [5, 100]),
    "a pause after the 100 stays behind it": (with_steps({"weight": 100}, {"pause": {}}), [100, None]),
    "no steps are one move": (spec_of(strategy={"canary": {}}), [100]),
    "a linear curve rises evenly": (curve("linear"), [5, 37, 68, 100]),
    "an exponential curve rises by a factor": (curve("exponential"), [5, 14, 37, 100]),
    "a curve of two steps": (curve("linear", start=10, steps=2), [10, 100]),
    "blue/green is one move": (spec_of(strategy={"blueGreen": {}}), [100]),
    "blue/green may wait while warm": (spec_of(strategy={"blueGreen": {"warmFor": "5m"}}), [None, 100]),
    "a canary before the move": (
        spec_of(strategy={"blueGreen": {"steps": [{"weight": 10}], "warmFor": "5m"}}),
        [10, None, 100],
    ),
}


@pytest.mark.parametrize("sentence", PLANS)
def test_the_plan(sentence: str) -> None:
    spec, expected = PLANS[sentence]
    assert weights(spec) == expected


@given(shape=st.sampled_from(["linear", "exponential"]), start=st.integers(1, 50), count=st.integers(2, 20))
def test_every_curve_rises_from_its_start_to_100_in_as_many_steps_as_asked(
    shape: str, start: int, count: int
) -> None:
    found = weights(curve(shape, start=start, steps=count))
    rising = [weight for weight in found if weight is not None]
    assert len(rising) == count
    assert (rising[0], rising[-1]) == (start, 100)
    assert rising == sorted(set(rising))


def test_each_step_of_a_curve_lasts_as_long_as_the_curve_says_and_the_last_is_the_move() -> None:
    assert [step.for_ for step in steps.expand(curve("linear", **{"for": "7m"}))] == ["7m", "7m", "7m", None]


BETA = {"match": [{"header": "X-Beta", "value": "yes"}]}
SPLITS: dict[str, tuple[list[dict[str, Any]], list[Split]]] = {
    "weights follow each other": ([{"weight": 5}, {"weight": 50}], [Split(5), Split(50), Split(100)]),
    "a mirror ends when weights begin": (
        [{"mirror": 20}, {"weight": 5}],
        [Split(mirror=20), Split(5), Split(100)],
    ),
    "a pause changes nothing": (
        [{"mirror": 20}, {"pause": {}}, {"weight": 5}, {"pause": {}}],
        [Split(mirror=20), Split(mirror=20), Split(5), Split(5), Split(100)],
    ),
    "a pause before all else sends nobody": ([{"pause": {}}], [Split(), Split(100)]),
    "a share of those who match gives way to a weight that is larger": (
        [{**BETA, "share": 20}, {"weight": 5}, {"weight": 25}],
        [
            Split(matches=(Match("header", "x-beta", "yes"),), share=20),
            Split(5, matches=(Match("header", "x-beta", "yes"),), share=20),
            Split(25, matches=(Match("header", "x-beta", "yes"),), share=25),
            Split(100),
        ],
    ),
    "who saw the canary by a match goes on seeing it": (
        [BETA, {"weight": 5}],
        [
            Split(matches=(Match("header", "x-beta", "yes"),)),
            Split(5, matches=(Match("header", "x-beta", "yes"),)),
            Split(100),
        ],
    ),
}


@pytest.mark.parametrize("sentence", SPLITS)
def test_the_split(sentence: str) -> None:
    given_steps, expected = SPLITS[sentence]
    plan = steps.expand(with_steps(*given_steps))
    assert [steps.split_at(plan, index) for index in range(len(plan))] == expected
    assert steps.split_at(plan, len(plan)) == expected[-1]


PODS: dict[str, tuple[Spec, list[int]]] = {
    "a share of the pods, rounded up": (with_steps({"weight": 5}, {"weight": 26}, replicas=4), [1, 2, 4]),
    "one pod carries any share of one": (with_steps({"weight": 5}, replicas=1), [1, 1]),
    "a mirror is carried like users": (with_steps({"mirror": 60}, replicas=10), [6, 10]),
    "a match takes one pod": (with_steps(BETA, replicas=10), [1, 10]),
    "a match takes the pods that it says": (with_steps({**BETA, "pods": 3}, replicas=10), [3, 10]),
    "a match takes no more pods than there are of stable": (
        with_steps({**BETA, "pods": 9}, replicas=4),
        [4, 4],
    ),
    "who matches keeps the pods when others come, who get their own": (
        with_steps({**BETA, "pods": 3}, {"weight": 20}, {"weight": 90}, replicas=10),
        [3, 5, 10, 10],
    ),
    "other matches have pods of their own, and loaded ones are kept": (
        with_steps({**BETA, "pods": 3}, {"match": [{"query": "a", "value": "b"}]}, replicas=10),
        [3, 3, 10],
    ),
    "a pause before traffic loads one pod to look at": (with_steps({"pause": {}}), [1, 4]),
    "what a mirror loaded is kept for the smaller weight": (
        with_steps({"mirror": 100}, {"weight": 5}, replicas=4),
        [4, 4, 4],
    ),
    "blue/green loads everything first": (
        spec_of(strategy={"blueGreen": {"steps": [{"weight": 10}]}}),
        [4, 4],
    ),
    "without a gateway the pods are the weight": (
        with_steps({"weight": 20}, {"weight": 50}, replicas=4, traffic=SERVICE_ONLY),
        [1, 4, 4],
    ),
    "without a gateway 33 % of 9 is four beside nine": (
        with_steps({"weight": 33}, replicas=9, traffic=SERVICE_ONLY),
        [4, 9],
    ),
}


@pytest.mark.parametrize("sentence", PODS)
def test_the_pods(sentence: str) -> None:
    spec, expected = PODS[sentence]
    plan = steps.expand(spec)
    assert [steps.pods(plan, index, spec) for index in range(len(plan))] == expected


FINAL: dict[str, tuple[list[dict[str, Any]], list[bool]]] = {
    "the bare 100 is promotion": ([{"weight": 5}], [False, True, True]),
    "a 100 that lasts is still a step": ([{"weight": 100, "for": "10m"}], [False, True]),
    "a 100 before a pause is still a step": ([{"weight": 100}, {"pause": {}}], [False, False, True]),
}


@pytest.mark.parametrize("sentence", FINAL)
def test_what_is_left_is_promotion(sentence: str) -> None:
    given_steps, expected = FINAL[sentence]
    plan = steps.expand(with_steps(*given_steps))
    assert [steps.is_final(plan, index) for index in range(len(plan) + 1)] == expected


def test_progress_counts_from_one_and_stays_at_the_last() -> None:
    plan = steps.expand(spec_of())
    assert [steps.progress(plan, index) for index in range(5)] == ["1/4", "2/4", "3/4", "4/4", "4/4"]
