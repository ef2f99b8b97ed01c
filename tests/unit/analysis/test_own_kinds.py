"""Goodput within the user's own limits, events and scores from counters of the user's own."""

from __future__ import annotations

import pytest

from modelrollout.analysis.counters.gather import Facts
from modelrollout.analysis.counters.observe import observe
from modelrollout.analysis.counters.targets import FAMILIES, targets_of
from modelrollout.analysis.inputs.metric import Kind
from modelrollout.analysis.inputs.observation import Events, Observation, ProblemKind, Ratio, Sum
from modelrollout.analysis.packs.catalogue import resolve
from modelrollout.analysis.packs.limits import Unresolvable
from modelrollout.api import analysis as spec
from tests.unit.analysis.scrapes import ARMS, LOOK, counter, steady, target, window

PODS = {"a": "new", "b": "old"}


def seen(metric: dict[str, object], series: list[object]) -> Observation:
    [resolved] = resolve([spec.Metric.model_validate(metric)])
    every = [*series, *(each for pod, revision in PODS.items() for each in target(pod, revision))]
    scraped = targets_of(each for each in every if each.family in FAMILIES)
    counters = tuple(each for each in every if each.family not in FAMILIES)
    return observe(resolved, ARMS, Facts.of(counters, scraped), window(LOOK))


def buckets(family: str, growth: dict[str, float]) -> list[object]:
    """So many up to each edge between two scrapes, alike in both arms, and their count."""
    return [
        each
        for pod, revision in PODS.items()
        for each in (
            *(counter(pod, revision, f"{family}_bucket", steady(n), le=le) for le, n in growth.items()),
            counter(pod, revision, f"{family}_count", steady(growth["+Inf"])),
        )
    ]


TTFT = buckets("vllm:time_to_first_token_seconds", {"0.5": 7.0, "1.0": 9.0, "+Inf": 10.0})
TPOT = buckets("vllm:request_time_per_output_token_seconds", {"0.05": 8.0, "0.1": 10.0, "+Inf": 10.0})


@pytest.mark.parametrize(
    ("limits", "missed"),
    [
        (None, 6.0),
        ({"timeToFirstToken": "0.5", "timePerOutputToken": "0.1"}, 18.0),
        ({"timeToFirstToken": "1", "timePerOutputToken": "0.050"}, 18.0),
        ({"timeToFirstToken": "0.5", "timePerOutputToken": "0.05"}, 30.0),
    ],
    ids=["1 s and 0.1 s", "a tighter first token", "a tighter pace", "both, each counted"],
)
def test_goodput_counts_the_requests_that_miss_one_of_the_limits(limits, missed) -> None:
    found = seen({"use": "vllm/goodput", "limits": limits}, [*TTFT, *TPOT])
    assert found.canary == found.control == Ratio(missed, 60.0)


def test_a_limit_that_is_no_edge_of_the_buckets_is_named_with_those_there_are() -> None:
    limits = {"timeToFirstToken": "0.7", "timePerOutputToken": "0.1"}
    problem = seen({"use": "vllm/goodput", "limits": limits}, [*TTFT, *TPOT]).problem
    assert problem is not None
    assert problem.kind is ProblemKind.NOT_COMPARABLE
    assert "0.5, 1.0, +Inf: write one of them" in problem.message


def test_requests_that_miss_both_limits_are_never_more_than_there_were() -> None:
    none = [
        *buckets("vllm:time_to_first_token_seconds", {"1": 0.0, "+Inf": 10.0}),
        *buckets("vllm:request_time_per_output_token_seconds", {"0.1": 0.0, "+Inf": 10.0}),
    ]
    assert seen({"use": "vllm/goodput"}, none).canary == Ratio(60.0, 60.0)


OWN = [
    each
    for pod, revision in PODS.items()
    for each in (
        counter(pod, revision, "scores_sum", steady(35.0)),
        counter(pod, revision, "scores_count", steady(10.0)),
        counter(pod, revision, "resets_total", steady(1.0)),
    )
]
MEAN = {
    "name": "judge",
    "mean": {"sum": "sum(scores_sum{$arm})", "count": "sum(scores_count{$arm})", "least": "1", "most": "5"},
    "tolerate": {"absolute": "0.2"},
    "direction": "decrease-is-bad",
}
EVENTS = {
    "name": "resets",
    "events": {"count": "sum(resets_total{$arm})", "exposure": "sum(scores_count{$arm})"},
    "tolerate": {"ratio": "1.5"},
}


def test_scores_and_events_are_counted_from_counters_of_the_users_own() -> None:
    assert seen(MEAN, OWN).canary == Sum(210.0, 60.0)
    assert seen(EVENTS, OWN).control == Events(6.0, 60.0)


def test_a_tolerance_of_scores_is_in_their_own_unit_and_a_mean_must_be_proven() -> None:
    [judge, resets] = resolve([spec.Metric.model_validate(each) for each in (MEAN, EVENTS)])
    assert (judge.metric.kind, judge.metric.bounds, judge.metric.is_critical) == (Kind.MEAN, (1.0, 5.0), True)
    assert judge.metric.tolerance.absolute == pytest.approx(0.05)
    assert not resets.metric.is_critical


def test_bounds_that_hold_no_score_are_refused() -> None:
    wrong = MEAN | {"mean": MEAN["mean"] | {"least": "5"}}
    with pytest.raises(Unresolvable, match="the least score is below the greatest"):
        resolve([spec.Metric.model_validate(wrong)])
