"""A step: its pods, its traffic, its time, its verdict, and the person who may pass it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from modelrollout.api.problem import Problem
from modelrollout.api.spec import Spec
from modelrollout.api.times import stamp, unix
from modelrollout.rollout.actions import SetTraffic
from modelrollout.traffic.router import Split
from tests.unit.rollout.reading import command, condition, moves, weights
from tests.unit.rollout.world import (
    LOADING,
    METRICS,
    SERVICE_ONLY,
    Operator,
    installed,
    on_trial,
    revision_named,
    spec_of,
    with_steps,
)

FIRST, SECOND = revision_named("vllm:1"), revision_named("vllm:2")


def judged(**analysis: Any) -> Spec:
    return spec_of(analysis={**METRICS, **analysis})


def at(operator: Operator) -> str | None:
    return operator.status.step.progress if operator.status.step is not None else None


# ── time ──


def test_a_steps_clock_starts_when_the_route_was_read_to_carry_its_split_and_has_settled() -> None:
    operator = installed()
    operator.world.ask(spec_of("vllm:2"))
    operator.wait(LOADING - 1)
    operator.world.now += 1
    operator.world.propagate()
    while operator.world.route != Split(5):
        moving = any(isinstance(action, SetTraffic) for action in operator.decided().actions)
        operator.world.settled = not moving  # the gateway has not taken what is written now
        operator.run_once()
        operator.world.propagate()
    operator.wait(1000)
    step = operator.status.step
    assert step is not None
    assert (step.index, step.started_at) == (0, None)
    operator.world.settled = True
    operator.world.now += 0.4
    operator.settle()
    step = operator.status.step
    assert step is not None
    assert step.started_at == stamp(math.ceil(operator.world.now))


def test_a_canarys_service_is_not_pointed_while_the_route_is_unsettled() -> None:
    operator = installed()
    operator.world.ask(spec_of("vllm:2"))
    operator.world.settled = False
    operator.wait(LOADING + 1000)
    assert operator.world.services["canary"] == FIRST
    assert operator.world.route == Split()
    operator.world.settled = True
    operator.settle()
    assert operator.world.services["canary"] == SECOND
    assert operator.world.route == Split(5)


def test_the_clock_is_rounded_up_so_that_no_step_is_shorter_than_asked() -> None:
    operator = installed()
    operator.world.ask(spec_of("vllm:2"))
    operator.wait(LOADING - 1)
    operator.world.now += 1.4
    operator.world.propagate()
    operator.settle()
    step = operator.status.step
    assert step is not None
    assert step.started_at is not None
    assert operator.world.now < unix(step.started_at) < operator.world.now + 1


def test_no_step_is_passed_while_the_gateway_has_not_taken_the_route() -> None:
    operator = on_trial()
    operator.world.settled = False
    operator.wait(1200)
    assert at(operator) == "1/4"
    operator.world.settled = True
    operator.settle()
    assert at(operator) == "2/4"


def test_a_step_without_for_is_passed_at_the_second_it_started_though_nothing_else_happens() -> None:
    operator = installed(with_steps({"weight": 5}, {"weight": 25, "for": "1h"}))
    operator.world.now += 0.4
    operator.world.ask(with_steps({"weight": 5}, {"weight": 25, "for": "1h"}, image="vllm:2"))
    operator.wait(LOADING)
    assert operator.settle().requeue == pytest.approx(0.6)


def test_without_metrics_the_dwell_alone_passes_a_step_and_to_the_second() -> None:
    operator = on_trial()
    plan = operator.settle()
    assert plan.requeue == 600
    operator.wait(599)
    assert at(operator) == "1/4"
    operator.wait(1)
    assert at(operator) == "2/4"
    assert operator.world.route == Split(25)


def test_a_step_without_a_verdict_says_why_and_until_when_it_waits() -> None:
    operator = on_trial(spec_of(analysis=METRICS))
    operator.wait(700)  # the stay, and the looks that were open at its end
    operator.world.judge(
        "Insufficient", "The canary had no traffic in this look; see whether users reach it."
    )
    operator.settle()
    step = operator.status.step
    assert step is not None
    assert step.started_at is not None
    facts = operator.plans[-1].facts
    assert "see whether users reach it. Without" in facts["message"]
    limit = stamp(unix(step.started_at) + 2 * 3600)
    assert facts["message"].endswith(f"Without a verdict by {limit} it waits for a person")


def test_the_next_weight_waits_for_the_pods_that_it_needs() -> None:
    operator = on_trial()
    operator.wait(1200)
    assert at(operator) == "3/4"
    assert operator.world.route == Split(25)
    assert condition(operator, "Progressing") == ("True", "WaitingForPods")
    operator.wait(LOADING)
    assert operator.world.route == Split(50)


def test_a_step_without_for_passes_as_soon_as_it_is_in_place() -> None:
    operator = on_trial(with_steps({"weight": 5}, {"weight": 25, "for": "1h"}))
    assert at(operator) == "2/3"
    assert weights(operator)[-2:] == [5, 25], "but each weight has been in place"


# ── evidence ──


def test_only_pass_advances() -> None:
    operator = on_trial(judged())
    for verdict in ("Insufficient", "ProviderError", "Insufficient"):
        operator.judged(700, verdict)
        assert at(operator) == "1/4", verdict
    operator.judged(30, "Pass")
    assert at(operator) == "2/4"


def test_a_pass_before_the_dwell_is_over_waits_for_it() -> None:
    operator = on_trial(judged())
    operator.judged(300)
    assert at(operator) == "1/4"
    operator.judged(330)
    assert at(operator) == "2/4"


def test_a_pass_of_the_step_before_does_not_count_for_the_next() -> None:
    operator = on_trial(judged())
    operator.judged(600)
    assert at(operator) == "2/4"
    operator.wait(5000)
    assert at(operator) == "2/4", "no look has closed since this step began"


def test_the_evidence_that_passed_a_step_is_shown_until_the_next_step_collects_its_own() -> None:
    operator = on_trial(judged())
    operator.judged(600)
    shown = [
        (plan.status.step.index, plan.status.analysis.verdict)
        for plan in operator.plans
        if plan.status.step is not None and plan.status.analysis is not None
    ]
    entered, then = shown.index((1, "Pass")), shown.index((1, "Insufficient"))
    assert entered < then, "step 2 is entered by what passed step 1, and then looks for itself"


def test_after_promotion_the_evidence_of_the_last_step_stays_and_no_verdict_is_shown() -> None:
    operator = on_trial(
        with_steps({"weight": 50, "for": "10m"}, {"weight": 100, "for": "1m"}, analysis=METRICS)
    )
    operator.judged(600)
    operator.wait(LOADING + 61)
    assert operator.status.phase in ("Watching", "Stable")
    assert operator.status.analysis is not None
    assert operator.status.analysis.verdict == "Pass"
    assert operator.status.verdict is None
    assert condition(operator, "Analysed") == ("Unknown", "NothingOnTrial")


def test_looks_are_taken_only_while_a_step_is_in_place() -> None:
    operator = installed(judged())
    operator.world.ask(judged().model_copy(update={"runtime": spec_of("vllm:2").runtime}))
    assert not operator.run_once().collect
    operator.wait(LOADING)
    assert operator.settle().collect
    assert not on_trial().settle().collect, "without metrics there is nothing to look at"


def test_at_weight_100_there_is_no_control_left_so_time_alone_passes() -> None:
    steps = [{"weight": 50, "for": "1m"}, {"weight": 100, "for": "10m"}]
    operator = on_trial(with_steps(*steps, analysis=METRICS))
    operator.judged(60 + LOADING + 30)
    assert operator.world.route == Split(100)
    operator.wait(700)
    assert operator.status.phase == "Watching"


def test_a_mismatch_of_the_split_holds() -> None:
    operator = on_trial(judged())
    operator.world.split_mismatch = "asked for 5 %, counted 12 %"
    operator.judged(1200)
    assert at(operator) == "1/4"
    assert condition(operator, "TrafficSplit") == ("False", "NotComparable")
    operator.world.split_mismatch = None
    operator.judged(30)
    assert at(operator) == "2/4"


# ── no verdict in time ──


def test_undecided_too_long_it_waits_for_a_person() -> None:
    operator = on_trial(judged(maxStepDuration="1h"))
    operator.judged(3570, "Insufficient", every=210)
    assert operator.status.phase == "Progressing"
    operator.judged(60, "Insufficient")
    assert operator.status.phase == "Paused"
    assert condition(operator, "Paused") == ("True", "PausedWithoutVerdict")
    command(operator, "promote", "step@1")
    operator.settle()
    assert at(operator) == "2/4"


def test_undecided_too_long_a_late_pass_still_advances() -> None:
    operator = on_trial(judged(maxStepDuration="1h"))
    operator.judged(4000, "Insufficient", every=200)
    assert operator.status.phase == "Paused"
    operator.judged(30, "Pass")
    assert at(operator) == "2/4"


@pytest.mark.parametrize("verdict", ["Insufficient", None])
def test_undecided_too_long_it_reverts_when_the_user_said_so(verdict: str | None) -> None:
    operator = on_trial(judged(maxStepDuration="1h", onInsufficient="revert"))
    if verdict is not None:
        operator.judged(3660, verdict, every=183)
    operator.wait(3660)
    assert operator.status.phase == "Reverted"
    assert operator.status.history[-1].reason == "NoVerdict"


def test_a_provider_that_is_down_never_reverts_and_never_promotes() -> None:
    for policy in ("pause", "revert", "promoteIfQuiet"):
        operator = on_trial(judged(maxStepDuration="1h", onInsufficient=policy))
        operator.world.quiet = True
        operator.judged(3 * 3600, "ProviderError", every=900)
        assert at(operator) == "1/4", policy
        assert operator.world.route == Split(5)


def test_quiet_evidence_passes_when_the_user_said_so_and_silence_does_not() -> None:
    operator = on_trial(judged(maxStepDuration="1h", onInsufficient="promoteIfQuiet"))
    operator.judged(3660, "Insufficient", every=183)
    assert at(operator) == "1/4"
    operator.world.quiet = True
    operator.judged(60, "Insufficient")
    assert at(operator) == "2/4"
    assert "QuietlyPassed" in operator.notes


# ── pods are lost ──


def test_a_canary_that_loses_its_pods_gives_its_traffic_back_and_the_step_begins_anew() -> None:
    operator = on_trial()
    operator.wait(300)
    operator.world.kill(SECOND)
    operator.world.propagate()
    plan = operator.run_once()
    assert plan.actions == (SetTraffic(Split()),)
    assert operator.status.phase == "Starting"
    operator.wait(LOADING)
    assert operator.world.route == Split(5)
    assert operator.settle().requeue == 600, "the dwell counts from here"


def test_a_canary_that_loses_its_pods_three_times_in_a_step_is_reverted() -> None:
    operator = on_trial()
    for _ in range(3):
        operator.wait(LOADING)
        operator.world.kill(SECOND)
        operator.world.propagate()
        operator.settle()
    operator.wait(10)
    assert operator.status.phase == "Reverted"
    assert operator.status.history[-1].reason == "CanaryUnstable"


def test_one_pod_of_many_that_is_replaced_does_not_throw_traffic_about() -> None:
    operator = on_trial(with_steps({"weight": 50, "for": "1h"}, replicas=16))
    operator.world.kill(SECOND, 2)
    operator.world.propagate()
    assert operator.run_once().actions == ()
    assert operator.world.route == Split(50)


def test_lost_pods_give_back_no_more_than_stable_can_take() -> None:
    operator = on_trial()
    operator.wait(1400)
    assert operator.world.route == Split(50)
    operator.world.kill(FIRST, 2)
    operator.world.kill(SECOND, 1)
    operator.world.propagate()
    operator.run_once()
    assert operator.world.route == Split(50), "stable has pods for half of the users only"
    operator.wait(LOADING)
    assert operator.status.phase == "Progressing"


# ── without a gateway ──

PODS = with_steps({"weight": 20, "for": "10m"}, {"weight": 50, "for": "10m"}, traffic=SERVICE_ONLY)


def test_a_service_that_selects_both_waits_until_a_third_revision_has_left() -> None:
    operator = on_trial(PODS)
    operator.wait(3600)
    assert operator.status.phase == "Watching"
    operator.world.ask(PODS.model_copy(update={"runtime": spec_of("vllm:3").runtime}))
    operator.world.loading = 0
    operator.settle()
    assert condition(operator, "Progressing") == ("True", "WaitingForOthers")
    assert operator.world.selects == SECOND
    operator.wait(10)
    assert operator.world.selects == "", "both, once the old one was told to go"


def test_between_two_mixed_weights_only_pods_change() -> None:
    operator = on_trial(PODS)
    before = len(moves(operator))
    operator.wait(600 + LOADING)
    assert at(operator) == "2/3"
    assert operator.world.pods[SECOND].wanted == 4
    assert len(moves(operator)) == before


# ── obstacles ──


def test_a_problem_in_mid_rollout_holds_and_touches_nothing() -> None:
    operator = on_trial()
    operator.world.problem = Problem("TargetConflict", "The rollout talk already owns the rule completions")
    plan = operator.wait(24 * 3600)
    assert plan.actions == ()
    assert (operator.status.phase, at(operator)) == ("Progressing", "1/4")
    assert condition(operator, "Accepted") == ("False", "TargetConflict")
    assert operator.notes.count("TargetConflict") == 1
    operator.world.problem = None
    operator.settle()
    assert condition(operator, "Accepted")[0] == "True"
    assert at(operator) == "2/4"


def test_a_route_that_is_gone_holds() -> None:
    operator = on_trial()
    operator.world.route, operator.world.route_problem = (
        None,
        Problem("NoRoute", "There is no HTTPRoute chat"),
    )
    plan = operator.wait(3600)
    assert plan.actions == ()
    assert condition(operator, "TrafficSplit") == ("False", "NoRoute")


# ── a split that is made of pods, while an autoscaler writes replicas ──

BY_PODS = with_steps(
    *({"weight": weight, "for": "2m"} for weight in (10, 23, 50)),
    traffic={**SERVICE_ONLY, "tolerance": 2},
    replicas=10,
)


def test_an_autoscaler_may_scale_as_it_likes_at_rest() -> None:
    operator = installed(BY_PODS)
    for replicas in (12, 13, 8, 6, 5, 4, 3, 2, 1, 10):
        operator.world.scale(replicas)
        operator.wait(LOADING)
        assert (operator.status.phase, operator.status.ready) == ("Stable", f"{replicas}/{replicas}")
        assert condition(operator, "Accepted") == ("True", "Accepted")


def test_a_weight_that_the_pods_of_now_cannot_make_holds_with_words_and_goes_on_with_pods_that_can() -> None:
    operator = on_trial(BY_PODS, replicas=3)
    operator.wait(600)
    assert (operator.status.phase, operator.world.shares()) == ("Paused", {FIRST: 100.0})
    assert condition(operator, "Paused") == ("True", "WeightNotAchievable")
    assert "3 replicas can make 25, 40 or 50 %" in operator.status.message
    assert operator.notes.count("WeightNotAchievable") == 1
    operator.world.scale(4)
    operator.wait(LOADING)
    assert operator.status.ready == "4/4", "the hold keeps nobody from getting pods"
    operator.world.scale(10)
    operator.wait(3600)
    assert operator.status.phase == "Watching"


def test_a_step_is_not_passed_by_a_proof_of_more_than_the_next_step_tolerates() -> None:
    """Such as a Pass from before an edit of later steps; 5 % before 25 % asks for four tolerances."""
    for margin, progress in ((20.0, "1/4"), (4.0, "2/4")):
        operator = on_trial(judged())
        operator.wait(600)
        operator.world.judge("Pass")
        assert operator.world.judgement is not None
        operator.world.judgement = replace(operator.world.judgement, margin=margin)
        operator.settle()
        assert at(operator) == progress
