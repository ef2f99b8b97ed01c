"""A step that an evaluation opens, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelrollout.api.problem import Problem
from modelrollout.rollout.actions import RunEvaluation, SetTraffic
from modelrollout.rollout.model import Gate
from modelrollout.rollout.steps import expand
from modelrollout.traffic.router import Split
from tests.unit.rollout.reading import command, condition, said
from tests.unit.rollout.world import (
    LOADING,
    METRICS,
    Operator,
    Verdict,
    installed,
    on_trial,
    revision_named,
    with_steps,
)

SECOND = revision_named("vllm:2")
PLAN = with_steps({"mirror": 20}, {"evaluate": "golden"}, {"weight": 25, "for": "10m"})


def at(operator: Operator) -> str | None:
    return operator.status.step.progress if operator.status.step is not None else None


def runs(operator: Operator) -> list[RunEvaluation]:
    return [call for call in operator.world.calls if isinstance(call, RunEvaluation)]


def at_the_gate() -> Operator:
    operator = on_trial(PLAN)
    assert at(operator) == "2/4"
    return operator


def test_the_evaluation_is_run_once_and_the_traffic_stays_as_it_was() -> None:
    operator = at_the_gate()
    operator.wait(7200)
    assert [(run.name, run.revision, run.step) for run in runs(operator)] == [("golden", SECOND, 1)]
    assert operator.world.route == Split(mirror=20)


def test_a_passed_evaluation_opens_its_step() -> None:
    operator = at_the_gate()
    operator.world.evaluate("passed", "91 of 100 answers are as good")
    operator.settle()
    assert operator.world.route == Split(25)
    assert at(operator) == "3/4"


@pytest.mark.parametrize(
    "state", ["absent", "silent", "error", "insufficient", "stale run", "stale revision"]
)
@pytest.mark.parametrize("metrics", [False, True])
def test_a_gate_that_is_absent_silent_stale_or_broken_holds(state: str, metrics: bool) -> None:
    spec = PLAN.model_copy(update={"analysis": with_steps(analysis=METRICS).analysis}) if metrics else PLAN
    operator = on_trial(spec)
    operator.judged(60)
    assert at(operator) == "2/4"
    gate = operator.world.gates["golden"]
    states: dict[str, dict[str, Gate]] = {
        "absent": {},
        "silent": {"golden": gate},
        "error": {"golden": replace(gate, state="error", sentence="The Job ran out of memory.")},
        "insufficient": {"golden": replace(gate, state="insufficient", sentence="12 of 50 pairs answered")},
        "stale run": {"golden": replace(gate, state="passed", run="1@2020-01-01T00:00:00Z")},
        "stale revision": {"golden": replace(gate, state="passed", revision=revision_named("vllm:1"))},
    }
    for _ in range(12):
        operator.world.gates = states[state]
        operator.world.judge("Pass")
        operator.run_once()
        operator.world.now += 4 * 3600
        operator.world.propagate()
    assert at(operator) == "2/4"
    assert operator.world.route == Split(mirror=20)


def test_an_answer_to_another_evaluation_does_not_answer_this_one() -> None:
    operator = at_the_gate()
    operator.world.gates = {"toxicity": replace(operator.world.gates["golden"], state="passed")}
    operator.run_once()
    assert at(operator) == "2/4"


def test_an_answer_that_is_lost_is_asked_for_again() -> None:
    operator = at_the_gate()
    operator.world.gates = {}
    operator.settle()
    assert len(runs(operator)) == 2
    assert runs(operator)[0] == runs(operator)[1], "the same run, so that it is not run twice"


@pytest.mark.parametrize("paused", [False, True])
def test_a_failed_evaluation_sends_the_revision_away_and_refuses_it(paused: bool) -> None:
    operator = at_the_gate()
    if paused:
        command(operator, "pause")
        operator.settle()
    operator.world.evaluate("failed", "40 of 100 answers are worse")
    operator.wait(60)
    assert operator.status.phase == "Reverted"
    assert operator.status.refused_revision == SECOND
    assert operator.status.history[-1].reason == "EvaluationFailed"
    assert "40 of 100 answers are worse" in operator.status.history[-1].message


def test_a_failed_evaluation_sends_the_revision_away_though_the_spec_cannot_be_carried_out() -> None:
    operator = at_the_gate()
    operator.world.evaluate("failed")
    operator.world.problem = Problem("ServiceNotFound", "There is no Service chat")
    operator.settle()
    assert operator.status.refused_revision == SECOND
    assert operator.world.route == Split()


def test_an_old_failure_does_not_send_a_revision_away_that_is_tried_again() -> None:
    operator = at_the_gate()
    operator.world.evaluate("failed")
    operator.wait(60)
    command(operator, "retry")
    operator.wait(LOADING)
    assert at(operator) == "2/4"
    assert operator.world.gates["golden"].state == "running"
    assert len(runs(operator)) == 2


@pytest.mark.parametrize("state", ["running", "error", "insufficient"])
def test_a_person_may_pass_the_step_without_an_answer(state: Verdict) -> None:
    operator = at_the_gate()
    operator.world.evaluate(state, "The Job ran out of memory.")
    command(operator, "promote", "step")
    operator.settle()
    assert at(operator) == "3/4"


def test_a_paused_rollout_starts_no_evaluation_and_passes_none() -> None:
    operator = installed(PLAN)
    operator.world.ask(PLAN.model_copy(update={"runtime": with_steps(image="vllm:2").runtime}))
    operator.settle()
    command(operator, "pause")
    operator.wait(LOADING)
    assert runs(operator) == []
    operator = at_the_gate()
    command(operator, "pause")
    operator.settle()
    operator.world.evaluate("passed")
    operator.settle()
    assert at(operator) == "2/4"


def test_people_read_what_is_evaluated_and_what_they_can_do_when_it_cannot_be() -> None:
    operator = at_the_gate()
    assert condition(operator, "Progressing") == ("True", "Evaluating")
    operator.world.evaluate("error", "The Job ran out of memory.")
    operator.settle()
    assert condition(operator, "Progressing") == ("True", "EvaluationHolds")
    assert "The Job ran out of memory. Nothing moves until it can" in said(operator, "Progressing")
    assert said(operator, "Progressing").endswith("annotate modelrollout.io/promote=step@2")
    assert operator.notes.count("EvaluationHolds") == 1


def test_an_evaluation_of_a_canary_that_lost_its_pods_is_run_anew_once_they_are_back() -> None:
    operator = at_the_gate()
    operator.world.kill(SECOND)
    operator.world.propagate()
    operator.settle()
    assert operator.world.route == Split()
    assert len(runs(operator)) == 1, "nothing is asked of a step whose traffic is not in place"
    operator.world.evaluate("passed")
    operator.settle()
    assert at(operator) == "2/4"
    operator.wait(LOADING)
    assert len({run.run for run in runs(operator)}) == 2
    operator.world.evaluate("passed")
    operator.settle()
    assert at(operator) == "3/4"


def test_an_error_holds_until_it_is_time_and_then_the_next_attempt_is_started() -> None:
    operator = at_the_gate()
    again = operator.world.now + 40
    gate = replace(operator.world.gates["golden"], state="error", sentence="Evicted.", again_at=again)
    operator.world.gates["golden"] = gate
    operator.wait(39)
    assert [run.attempt for run in runs(operator)] == [1]
    operator.wait(2)
    assert [run.attempt for run in runs(operator)] == [1, 2]
    assert runs(operator)[0].run == runs(operator)[1].run
    assert at(operator) == "2/4"


@pytest.mark.parametrize(("state", "phase"), [("passed", "Progressing"), ("failed", "Reverted")])
def test_a_verdict_that_was_written_outlives_its_job(state: Verdict, phase: str) -> None:
    operator = at_the_gate()
    command(operator, "pause")
    operator.settle()
    operator.world.evaluate(state, "91 of 100 answers are as good")
    operator.run_once()
    operator.world.gates = {}
    command(operator, "pause", None)
    operator.wait(60)
    assert len(runs(operator)) == 1
    assert operator.status.phase == phase


def test_the_last_run_of_each_evaluation_is_in_status() -> None:
    operator = at_the_gate()
    operator.world.evaluate("running", "142/300 cases, correct 91.2 % beside 92.0 %")
    operator.run_once()
    (seen,) = operator.status.evaluations
    assert (seen.name, seen.revision, seen.verdict) == ("golden", SECOND, None)
    assert seen.message == "142/300 cases, correct 91.2 % beside 92.0 %"
    operator.world.evaluate("passed", "All is well")
    operator.settle()
    (seen,) = operator.status.evaluations
    assert (seen.verdict, seen.message) == ("Pass", "All is well")


def test_an_evaluation_before_traffic_is_the_first_step_and_nobody_is_sent_to_what_fails_it() -> None:
    given = [{"name": "golden", "policy": {"configMap": "quality"}, "when": "beforeTraffic"}]
    operator = on_trial(with_steps({"weight": 25}, {"weight": 50}, evaluations=given))
    assert [step.evaluate for step in operator.status.plan] == ["golden", None, None, None]
    operator.world.evaluate("failed", "40 of 100 answers are worse")
    operator.wait(60)
    assert operator.status.phase == "Reverted"
    assert all(call.split == Split() for call in operator.world.calls if isinstance(call, SetTraffic))


def test_an_evaluation_that_a_step_names_is_not_put_first_as_well() -> None:
    given = [{"name": "golden", "policy": {"configMap": "quality"}, "when": "beforeTraffic"}]
    plan = expand(with_steps({"mirror": 20}, {"evaluate": "golden"}, evaluations=given))
    assert [step.evaluate for step in plan] == [None, "golden", None]
