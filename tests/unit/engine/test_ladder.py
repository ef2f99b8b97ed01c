"""Rollouts climb the README's plan: each step proves what the next one risks, through restarts and edits."""

from __future__ import annotations

import json
import random
import statistics
from dataclasses import replace
from functools import cache

import pytest

from modelrollout.analysis.betting.ladder import StepTerms
from modelrollout.analysis.counters.matchers import Arms
from modelrollout.analysis.evidence.decision import VerdictKind
from modelrollout.analysis.evidence.evidence import Evidence
from modelrollout.analysis.inputs.metric import Kind, Prior
from modelrollout.analysis.inputs.observation import Histogram, Observation, Ratio
from modelrollout.analysis.packs.catalogue import arrivals, resolve
from modelrollout.analysis.records.record import Record
from modelrollout.analysis.records.replay import judged
from modelrollout.api.analysis import Analysis
from modelrollout.api.spec import Spec
from modelrollout.cli.recount import step_starts
from modelrollout.engine.judging.case import Case, Stage, judgement_of, planned_looks
from modelrollout.engine.judging.trial import Trial
from modelrollout.rollout.exposure import Exposure, exposure
from modelrollout.rollout.steps import expand
from modelrollout.sources.looks import Counted, Question
from tests.shared.sweep import some
from tests.unit.analysis.given import TTFT, latency_histogram

ERRORS, LATENCY = "vllm/success-rate", "vllm/time-to-first-token"
ANALYSIS = {
    "prometheus": {"address": "http://prometheus:9090"},
    "interval": "30s",
    "metrics": [
        {"use": ERRORS, "tolerate": {"absolute": "0.005"}},
        {"use": LATENCY, "tolerate": {"ratio": "1.10"}},
    ],
}
README = ({"weight": 5, "for": "10m"}, {"weight": 25, "for": "20m"}, {"weight": 50, "for": "40m"})


def spec_of(*steps, replicas=4, **traffic):
    return Spec.model_validate(
        {
            "replicas": replicas,
            "model": {"uri": "hf://test/one"},
            "runtime": {"image": "vllm/vllm-openai:v0.32.0"},
            "traffic": {"service": "chat"} | traffic,
            "strategy": {"canary": {"steps": list(steps)}},
            "analysis": ANALYSIS,
        }
    )


GATEWAY = {"gateway": {"httpRoute": "chat", "rule": "completions"}}
SPEC = spec_of(*README, **GATEWAY)
PLAN = expand(SPEC)
CASE = Case("2026-11-27T09:00:00Z", "old", "new", Analysis.model_validate(ANALYSIS))


def question():
    metrics = CASE.analysis.metrics
    arms = Arms("ns", "chat", "chat", "old", "new")
    return Question("http://prometheus:9090", 5.0, resolve(metrics), arms, 0.0, arrivals(metrics))


def stage_at(index, since, *, plan=PLAN, spec=SPEC, **changes):
    exposed = replace(exposure(plan, index, spec), **changes)
    weight = (5, 25, 50)[index] / 100
    return Stage(f"{index}@{since}", since, weight, judged=True, countable=True, exposure=exposed)


@cache
def usual():
    return latency_histogram(random.Random(7), 5000)


def begun(stage):
    """A trial whose control has a quiet past."""
    trial = Trial(CASE, question(), stage, planned_looks(PLAN, CASE.analysis))
    baseline = usual()
    learned = tuple(
        replace(each.metric, phi=1.0, baseline=baseline)
        if each.metric.kind is Kind.HISTOGRAM
        else replace(each.metric, phi=1.0, prior=Prior(0.005))
        for each in trial.question.metrics
    )
    plan = judgement_of(CASE, trial.question, trial.planned_looks)
    trial.begin(Evidence.fresh(replace(plan, metrics=learned)), {})
    return trial


def test_a_step_that_begins_again_at_the_same_load_goes_on_with_its_evidence_and_spends_no_new_risk():
    """As after the canary lost pods: were it proven anew each time, each time would be one more chance."""
    rng, trial = random.Random(1), begun(stage_at(2, 0.0))
    trial.enter(stage_at(2, 0.0))
    for _ in range(12):
        trial.fold(Counted(trial.next_look(), seen(rng, 5.0, 0.5)))
    before = trial.evidence.standings()[LATENCY].proven
    trial.enter(Stage("", 600.0, 0.5, judged=True, countable=True))  # its pods are awaited
    trial.enter(stage_at(2, 600.0))
    assert trial.evidence.standings()[LATENCY].proven == before != 0.0


def test_the_sum_of_a_histogram_is_asked_for_where_its_buckets_are_too_coarse():
    trial = begun(stage_at(0, 0.0))
    assert trial.asked() == trial.question
    one = Histogram(TTFT, tuple(5000.0 * (edge == 0.5) for edge in (*TTFT, 0)))
    plan = trial.evidence.plan
    narrow = tuple(replace(m, baseline=one) if m.kind is Kind.HISTOGRAM else m for m in plan.metrics)
    trial.begin(Evidence.fresh(replace(plan, metrics=narrow)), {})
    families = {m.name: m.recipe.families() for m in trial.asked().metrics}
    assert "vllm:time_to_first_token_seconds_sum" in families[LATENCY]
    assert "vllm:request_success_sum" not in families[ERRORS]


def seen(rng, rate, weight, slow=1.0):
    n1, n0 = round(30 * rate * weight), round(30 * rate * (1 - weight))
    wrong = [sum(rng.random() < 0.005 for _ in range(n)) for n in (n1, n0)]
    return {
        ERRORS: Observation(Ratio(wrong[0], n1), Ratio(wrong[1], n0)),
        LATENCY: Observation(latency_histogram(rng, n1, slow), latency_histogram(rng, n0)),
    }


def climb(rate, *, slow=1.0, seed=1, longest=3600.0, rows=None):
    """(what became of it, minutes, the trial); `rows` takes the looks."""
    rng, trial = random.Random(seed), begun(stage_at(0, 0.0))
    since, rows = 0.0, [] if rows is None else rows
    for index, stay in enumerate((600.0, 1200.0, 2400.0)):
        stage = stage_at(index, since)
        trial.enter(Stage("", since, stage.weight, judged=True, countable=True))  # its pods are awaited
        trial.enter(stage)
        while True:
            look = trial.next_look()
            row = seen(rng, rate, stage.weight, slow)
            rows.append((index, look, row))
            trial.fold(Counted(look, row))
            verdict = trial.verdict
            if verdict.kind is VerdictKind.FAIL:
                return "reverted", look.end / 60, trial
            if look.end - since >= stay and verdict.kind is VerdictKind.PASS:
                break
            if look.end - since >= longest:
                return "held", look.end / 60, trial
        since = look.end
    return "promoted", since / 60, trial


def test_healthy_canaries_at_five_requests_a_second_are_promoted_in_a_quarter_more_than_the_plan():
    """The plan is 70 minutes; the whole tolerance at each step takes about two hours."""
    ends = [climb(5.0, seed=seed) for seed in (1, 2, 3)]
    assert {became for became, _, _ in ends} == {"promoted"}
    assert statistics.median(minutes for _, minutes, _ in ends) <= 1.25 * 70
    assert ends[0][2].evidence.step.terms == StepTerms(1.0, carry=True, alike=True)


@pytest.mark.parametrize("slow", [1.2, 1.5])
def test_a_slower_canary_is_never_promoted_by_what_the_first_steps_ask(slow):
    assert {climb(5.0, slow=slow, seed=seed)[0] for seed in some(range(2), 2)} <= {"reverted", "held"}


def test_what_the_looks_give_again_after_a_restart_and_from_a_record_is_the_same_evidence():
    rows = []
    _, _, lived = climb(10.0, seed=3, rows=rows)
    trial, index, since = begun(stage_at(0, 0.0)), 0, 0.0
    for number, (at, look, row) in enumerate(rows):
        if number in (10, 25, 45):  # the operator dies; its successor knows the plan and what was stored
            state = json.loads(json.dumps(trial.to_state()))
            trial = Trial(CASE, question(), stage_at(index, since), 1)
            assert trial.restore(state)
            trial.enter(stage_at(index, since))
        if at != index:
            index, since = at, look.start
            trial.enter(stage_at(index, since))
        assert trial.fold(Counted(look, row))
    assert trial.evidence.to_state() == lived.evidence.to_state()
    _, looks, observed = zip(*rows, strict=True)
    record = Record(begun(stage_at(0, 0.0)).evidence.plan, looks, observed, step_starts(trial.looked))
    assert judged(record).to_state()["metrics"] == lived.evidence.to_state()["metrics"]


def test_a_restart_between_two_steps_carries_what_the_step_before_has_shown():
    trial = begun(stage_at(1, 0.0))
    for _ in range(20):
        trial.fold(Counted(trial.next_look(), seen(random.Random(2), 20.0, 0.25)))
    again = Trial(CASE, question(), stage_at(2, 600.0), 1)
    again.restore(json.loads(json.dumps(trial.to_state())))
    for each in (trial, again):
        each.enter(stage_at(2, 600.0))
    assert again.to_state() == trial.to_state()
    assert again.evidence.step.terms.carry


def test_an_edit_that_makes_the_next_step_larger_asks_for_more_at_once():
    trial = begun(stage_at(0, 0.0))
    trial.fold(Counted(trial.next_look(), seen(random.Random(2), 20.0, 0.05)))
    trial.enter(stage_at(0, 0.0, next_weight=1.0))
    assert trial.evidence.step.terms.margin == 1.0
    assert trial.verdict is None
    trial.enter(stage_at(0, 0.0))
    assert trial.evidence.step.terms.margin == 1.0  # what asks for less begins with another step


def latency_alone(look, n1):
    empty = latency_histogram(random.Random(1), 0)
    rng = random.Random(look.end)
    few = latency_histogram(rng, n1) if n1 else empty
    good = Observation(Ratio(0, 50), Ratio(0, 950))
    return {ERRORS: good, LATENCY: Observation(few, latency_histogram(rng, 100))}


def test_what_a_step_does_not_ask_for_must_still_have_been_counted_in_both_arms_and_is_named():
    trial = begun(stage_at(0, 0.0))
    for n1 in [0] * 30 + [5] * 2:
        look = trial.next_look()
        trial.fold(Counted(look, latency_alone(look, n1)))
        assert trial.verdict.kind is VerdictKind.INSUFFICIENT
    assert f"{LATENCY} need not be proven in this step" in trial.verdict.message
    assert "both had traffic in 2 of at least 3 looks" in trial.verdict.message
    look = trial.next_look()
    trial.fold(Counted(look, latency_alone(look, 5)))
    assert trial.verdict.kind is VerdictKind.PASS
    assert f"{LATENCY} can only speak against the canary here" in trial.verdict.message
    assert trial.judgement().margin == 4.0


# ── what the steps of a plan expose ──


def exposures(*steps, replicas=4, equal=True, **traffic):
    spec = spec_of(*steps, replicas=replicas, **traffic)
    analysis = spec.analysis.model_copy(update={"equal_load": equal})
    spec = spec.model_copy(update={"analysis": analysis})
    plan = expand(spec)
    return [exposure(plan, index, spec) for index in range(len(plan))]


@pytest.mark.parametrize(("equal", "loads"), [(True, [0.2105, 1, 1]), (False, [0.2105, 1.3333, 2])])
def test_the_readmes_plan_exposes_more_users_and_at_equal_load_no_more_requests_per_pod(equal, loads):
    five, quarter, half, _ = exposures(*README, **GATEWAY, equal=equal)
    assert (five.next_weight, quarter.next_weight, half.next_weight) == (0.25, 0.5, 1.0)
    assert [each.load for each in (five, quarter, half)] == pytest.approx(loads, abs=1e-3)
    assert half.per_pod == quarter.per_pod == 0.25


def test_pods_that_share_one_service_carry_the_same():
    (fifth, *_) = exposures({"weight": 20, "for": "10m"})
    assert fifth == Exposure(1.0, 1.0, 0.2)


@pytest.mark.parametrize(
    ("steps", "risked"),
    [
        ([{"mirror": 20}, {"weight": 10}], [0.1, 1.0]),
        ([{"weight": 10}, {"mirror": 50}, {"pause": {}}, {"weight": 40}], [0.4, 0.4, 0.4, 1.0]),
        ([{"weight": 50}, {"weight": 25}], [1.0, 1.0]),
        (
            [{"weight": 10}, {"match": [{"header": "x-beta", "value": "yes"}]}, {"weight": 20}],
            [1.0, 1.0, 1.0],
        ),
        ([{"weight": 10}, {"weight": 10}, {"weight": 20}], [0.2, 0.2, 1.0]),
    ],
    ids=["a copy", "through a pause", "fewer users", "nobody knows who matches", "the same weight twice"],
)
def test_a_step_risks_the_users_of_the_next_one_that_sends_more(steps, risked):
    found = exposures(*steps, **GATEWAY)
    assert [each.next_weight for each in found[: len(risked)]] == risked
