"""A note carries what its sentence says in fields, such as the share of users that is affected and the way
back."""

from __future__ import annotations

import dataclasses

import pytest

from modelrollout.api.names import PREFIX
from modelrollout.rollout.commands import understand
from modelrollout.rollout.notes import Facts, Note
from tests.reasons import spoken
from tests.unit.rollout.reading import command
from tests.unit.rollout.world import LOADING, METRICS, Operator, on_trial, revision_named, spec_of, with_steps

FIRST, SECOND = revision_named("vllm:1"), revision_named("vllm:2")
PLAN = with_steps({"weight": 5, "for": "1m"}, {"pause": {}}, {"weight": 50, "for": "1m"})


def said(operator: Operator, reason: str) -> Note:
    return next(note for plan in reversed(operator.plans) for note in plan.notes if note.reason == reason)


def facts(operator: Operator, reason: str) -> Facts:
    return said(operator, reason).facts


def test_a_step_says_whom_it_affects_and_how_to_go_on_and_back() -> None:
    operator = on_trial(PLAN)
    entered = facts(operator, "StepEntered")
    assert (entered.transition, entered.revision, entered.serving) == ("entered", SECOND, FIRST)
    assert (entered.step, entered.affected) == ("1/4", 5)
    assert entered.go_on == f"{PREFIX}promote=step@1"
    assert entered.go_back == f"{PREFIX}abort={SECOND}"
    assert entered.figures["split"] == "5 % of requests"


def test_a_pause_says_that_it_waits_for_a_person_and_how_many_are_affected_meanwhile() -> None:
    operator = on_trial(PLAN)
    operator.wait(600)
    waiting = facts(operator, "PausedByPlan")
    assert (waiting.transition, waiting.affected) == ("waiting", 5)
    assert waiting.go_on == f"{PREFIX}promote=step@2"


def test_a_pause_by_annotation_is_ended_by_taking_the_annotation_off() -> None:
    operator = on_trial(PLAN)
    command(operator, "pause")
    operator.settle()
    assert facts(operator, "PausedByCommand").go_on == f"{PREFIX}pause-"


def test_a_revert_says_how_many_users_met_the_bad_revision_and_what_each_metric_showed() -> None:
    operator = on_trial(spec_of(analysis=METRICS), image="vllm:2")
    operator.wait(LOADING)
    weight = operator.world.route.canary if operator.world.route is not None else 0
    operator.world.judge("Fail")
    operator.settle()
    left = facts(operator, "AnalysisFailed")
    assert (left.transition, left.revision, left.affected) == ("leaving", SECOND, weight)
    assert weight > 0
    assert (left.go_on, left.go_back) == ("", ""), "users are on their way back already"
    back = facts(operator, "Reverted")
    assert (back.transition, back.revision, back.serving, back.affected) == ("reverted", SECOND, FIRST, 0)
    assert back.go_on == f"{PREFIX}retry={SECOND}"


def test_a_promotion_says_that_all_are_affected_and_how_to_roll_back() -> None:
    operator = on_trial(with_steps({"weight": 50, "for": "1m"}))
    operator.wait(2 * LOADING)
    promoted = facts(operator, "Promoted")
    assert (promoted.transition, promoted.revision, promoted.affected) == ("promoted", SECOND, 100)
    assert promoted.go_back == f"{PREFIX}rollback={SECOND}"


def test_every_command_in_the_facts_is_one_that_the_operator_obeys() -> None:
    operator = on_trial(PLAN)
    operator.wait(600)
    command(operator, "promote", "full")
    operator.wait(600)
    notes = [note.facts for plan in operator.plans for note in plan.notes]
    offered = {text for facts in notes for text in (facts.go_on, facts.go_back) if text}
    names = {text.removeprefix(PREFIX).partition("=")[0] for text in offered}
    assert names == {"promote", "abort", "rollback"}
    for text in offered:
        name, _, value = text.removeprefix(PREFIX).partition("=")
        assert understand(name, value) is not None, text


def test_two_notes_that_say_the_same_are_the_same_whatever_their_facts() -> None:
    note = Note("StepPassed", "passed")
    assert dataclasses.replace(note, facts=Facts("passed", revision=SECOND)) == note


@pytest.mark.parametrize("reason", [each for each in spoken() if each.warning], ids=lambda each: each.name)
def test_a_warning_of_the_rollout_itself_has_a_kind_of_its_own(reason: object) -> None:
    named = {"CommandIgnored", "CommandRepeated", "CommandUnknown", "Uninstalled"}
    assert reason.transition != "noted" or reason.name in named
