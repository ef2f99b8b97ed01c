"""Evaluations of the revision that serves: after its promotion, and by schedule."""

from __future__ import annotations

from typing import Any

import pytest

from modelrollout.api.times import stamp, unix
from modelrollout.rollout.actions import RunEvaluation
from tests.unit.rollout.reading import command, condition, said
from tests.unit.rollout.world import LOADING, Operator, installed, revision_named, spec_of

FIRST, SECOND, THIRD = (revision_named(f"vllm:{number}") for number in (1, 2, 3))
DAY = 86_400.0


def spec(when: str = "0 2 * * *", image: str = "vllm:1", **more: Any) -> Any:
    nightly = {"name": "nightly", "policy": {"configMap": "quality"}, "when": when, **more}
    steps = {"canary": {"steps": [{"weight": 50, "for": "1m"}]}}
    return spec_of(image, evaluations=[nightly], strategy=steps)


def runs(operator: Operator) -> list[RunEvaluation]:
    return [call for call in operator.world.calls if isinstance(call, RunEvaluation)]


def promoted(**more: Any) -> Operator:
    """The second revision has just taken over, and the first one is warm."""
    operator = installed(spec(**more))
    operator.world.ask(spec(image="vllm:2", **more))
    operator.wait(LOADING + 120)
    assert operator.status.phase == "Watching"
    return operator


def a_night_later(**more: Any) -> Operator:
    """The nightly evaluation of the first revision is under way."""
    operator = installed(spec(**more))
    operator.wait(DAY)
    assert len(runs(operator)) == 1
    return operator


def test_the_revision_that_serves_is_asked_once_at_each_moment_of_the_schedule() -> None:
    operator = installed(spec())
    assert runs(operator) == []
    operator.wait(3 * DAY)
    asked = runs(operator)
    assert [run.run.partition("@")[2][10:] for run in asked] == ["T02:00:00Z"] * 3
    assert len({run.run for run in asked}) == 3
    assert all(run.serving and run.revision == FIRST for run in asked)


def test_moments_that_nobody_led_through_are_made_up_for_once() -> None:
    operator = installed(spec())
    operator.world.now += 10 * DAY
    operator.settle()
    assert len(runs(operator)) == 1


def test_a_promoted_revision_is_asked_once_after_its_promotion() -> None:
    """The first one counts as promoted when it serves."""
    operator = promoted(when="afterPromotion")
    operator.wait(3 * DAY)
    assert [run.revision for run in runs(operator)] == [FIRST, SECOND]
    assert all(run.serving for run in runs(operator))


def test_none_is_started_while_a_revision_is_on_trial() -> None:
    operator = installed(spec())
    operator.world.ask(spec(image="vllm:2"))
    operator.wait(LOADING)
    command(operator, "pause")
    operator.wait(DAY)
    assert runs(operator) == []


def test_a_pass_is_said_with_its_moment() -> None:
    operator = a_night_later()
    assert condition(operator, "Evaluated") == ("Unknown", "NotEvaluated")
    operator.world.evaluate("passed", "The candidate keeps every gate.")
    operator.settle()
    assert condition(operator, "Evaluated") == ("True", "EvaluationPassed")
    (known,) = operator.status.evaluations
    assert known.valid is not None
    assert (known.valid.verdict, known.valid.revision) == ("Pass", FIRST)
    assert known.valid.at == stamp(operator.world.now)


@pytest.mark.parametrize("on_fail", ["revert", "alarm"])
def test_a_fall_below_the_gates_reverts_within_the_guard_or_alarms(on_fail: str) -> None:
    operator = promoted(when="afterPromotion", onFail=on_fail)
    operator.world.evaluate("failed", "correct fell to 40 %")
    operator.wait(120)
    if on_fail == "revert":
        assert (operator.status.phase, operator.status.refused_revision) == ("Reverted", SECOND)
        assert operator.status.history[-1].reason == "EvaluationFellShort"
    else:
        assert operator.status.phase == "Watching"
        assert condition(operator, "Evaluated") == ("False", "EvaluationFellShort")
        assert operator.notes.count("EvaluationFellShort") == 1
        assert "correct fell to 40 %" in said(operator, "Evaluated")


def test_without_a_warm_revision_a_fall_only_alarms() -> None:
    operator = a_night_later(onFail="revert")
    operator.world.evaluate("failed", "correct fell to 40 %")
    operator.wait(120)
    assert operator.status.phase == "Stable"
    assert operator.notes.count("EvaluationFellShort") == 1


@pytest.mark.parametrize("on_stale", ["hold", "warn"])
@pytest.mark.parametrize("state", ["error", "insufficient"])
def test_without_a_valid_result_new_rollouts_are_held_or_people_are_warned(state: Any, on_stale: str) -> None:
    operator = a_night_later(onStale=on_stale)
    operator.world.evaluate(state, "The judge is down.")
    operator.settle()
    assert condition(operator, "Evaluated") == ("Unknown", "EvaluationStale")
    assert operator.notes.count("EvaluationStale") == 1
    operator.world.ask(spec(image="vllm:2", onStale=on_stale))
    operator.wait(LOADING)
    if on_stale == "warn":
        assert operator.status.canary is not None
        return
    assert operator.status.canary is None
    assert operator.status.phase == "Stable"
    assert "The judge is down" in operator.status.message
    assert "onStale: warn" in operator.status.message
    operator.world.evaluate("passed", "All is well.")
    operator.wait(LOADING)
    assert operator.status.canary is not None
    assert operator.status.canary.revision == SECOND


def test_while_the_next_attempt_runs_a_stale_evaluation_holds_on() -> None:
    operator = a_night_later()
    operator.world.evaluate("error", "The judge is down.")
    operator.settle()
    operator.world.evaluate("running", "3/300 cases")
    operator.world.ask(spec(image="vllm:2"))
    operator.wait(LOADING)
    assert operator.status.canary is None


def test_a_run_at_a_step_says_nothing_about_the_revision_that_serves() -> None:
    both = {"name": "nightly", "policy": {"configMap": "quality"}, "when": "0 2 * * *"}
    plan = {"canary": {"steps": [{"evaluate": "nightly"}, {"weight": 50}]}}
    operator = installed(spec_of(evaluations=[both], strategy=plan))
    operator.world.ask(spec_of("vllm:2", evaluations=[both], strategy=plan))
    operator.wait(LOADING)
    operator.world.evaluate("error", "The judge is down.")
    operator.settle()
    assert condition(operator, "Evaluated") == ("Unknown", "NotEvaluated")
    operator.world.ask(spec_of("vllm:3", evaluations=[both], strategy=plan))
    operator.wait(LOADING)
    assert operator.status.canary is not None
    assert operator.status.canary.revision == THIRD


def test_the_last_valid_result_stays_when_the_newest_run_has_none() -> None:
    operator = a_night_later()
    operator.world.evaluate("passed", "All is well.")
    operator.settle()
    (before,) = operator.status.evaluations
    operator.wait(DAY)
    operator.world.evaluate("error", "The judge is down.")
    operator.settle()
    (known,) = operator.status.evaluations
    assert (known.verdict, known.stale, known.valid) == ("ProviderError", True, before.valid)
    assert before.valid is not None
    assert before.valid.at in said(operator, "Evaluated")
    assert unix(known.at) > unix(before.valid.at)
