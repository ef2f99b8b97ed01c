"""Waiting for a person, and what a person may pass."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from modelrollout.api.spec import Spec
from modelrollout.traffic.router import Split
from tests.unit.rollout.reading import command, condition, weights
from tests.unit.rollout.world import (
    LOADING,
    METRICS,
    Died,
    Operator,
    installed,
    on_trial,
    revision_named,
    spec_of,
    with_steps,
)

SECOND = revision_named("vllm:2")


def judged(**analysis: Any) -> Spec:
    return spec_of(analysis={**METRICS, **analysis})


def at(operator: Operator) -> str | None:
    return operator.status.step.progress if operator.status.step is not None else None


# ── pauses ──

PAUSED = with_steps({"weight": 5, "for": "1m"}, {"pause": {}}, {"weight": 50, "for": "1m"})


def test_a_pause_waits_for_the_promote_annotation() -> None:
    operator = on_trial(PAUSED)
    operator.wait(24 * 3600)
    assert (operator.status.phase, at(operator)) == ("Paused", "2/4")
    assert condition(operator, "Paused") == ("True", "PausedByPlan")
    assert operator.world.route == Split(5), "a pause changes no traffic"
    command(operator, "promote", "step")
    operator.settle()
    assert at(operator) == "3/4"


def test_a_pause_with_a_duration_waits_that_long() -> None:
    operator = on_trial(with_steps({"pause": {"duration": "10m"}}, {"weight": 50, "for": "1m"}))
    assert operator.settle().requeue == 600
    operator.wait(600 + LOADING)
    assert at(operator) == "2/3"


def test_a_pause_before_all_traffic_loads_a_pod_to_look_at_and_sends_nobody() -> None:
    operator = on_trial(with_steps({"pause": {}}))
    assert operator.status.phase == "Paused"
    assert operator.world.services["canary"] == SECOND
    assert operator.world.route == Split()


def test_the_pause_annotation_freezes_and_taking_it_away_goes_on() -> None:
    operator = on_trial()
    command(operator, "pause")
    operator.wait(3600)
    assert (operator.status.phase, at(operator)) == ("Paused", "1/4")
    assert condition(operator, "Paused") == ("True", "PausedByCommand")
    operator.world.say("pause", None)
    operator.settle()
    assert at(operator) == "2/4"


def test_a_pause_set_before_the_rollout_holds_it_before_any_traffic() -> None:
    operator = installed()
    command(operator, "pause")
    operator.settle()
    operator.world.ask(spec_of("vllm:2"))
    operator.wait(3600)
    assert operator.status.phase == "Paused"
    assert operator.world.route == Split()


def test_a_pause_meant_for_one_revision_does_not_hold_the_next() -> None:
    operator = on_trial()
    command(operator, "pause")
    operator.settle()
    operator.world.ask(spec_of("vllm:3"))
    operator.wait(LOADING + 700)
    assert at(operator) == "2/4"


def on_the_object(operator: Operator) -> str | None:
    return operator.world.annotations.get("modelrollout.io/pause")


def test_a_pause_that_is_said_again_holds_the_next_revision() -> None:
    operator = on_trial()
    command(operator, "pause")
    operator.settle()
    operator.world.ask(spec_of("vllm:3"))
    operator.wait(LOADING)
    assert on_the_object(operator) is None
    assert operator.notes.count("PauseOver") == 1
    command(operator, "pause")
    operator.wait(7200)
    assert operator.status.phase == "Paused"
    assert at(operator) == "1/4"
    assert on_the_object(operator) == "true"


def test_a_pause_said_after_an_abort_holds_the_next_revision_before_any_traffic() -> None:
    operator = on_trial()
    command(operator, "pause")
    operator.settle()
    command(operator, "abort")
    operator.wait(600)
    assert on_the_object(operator) is None
    command(operator, "pause")
    operator.world.ask(spec_of("vllm:3"))
    operator.wait(7200)
    assert operator.status.phase == "Paused"
    assert operator.world.route == Split()


def test_a_pause_that_names_a_revision_stays_for_when_that_one_comes() -> None:
    operator = on_trial()
    command(operator, "pause", revision_named("vllm:3"))
    operator.settle()
    operator.world.ask(spec_of("vllm:3"))
    operator.wait(7200)
    assert operator.status.phase == "Paused"


@pytest.mark.parametrize("calls", range(1, 12))
def test_a_pause_that_is_said_again_counts_whenever_the_operator_dies(calls: int) -> None:
    operator = on_trial()
    command(operator, "pause")
    operator.settle()
    operator.world.ask(spec_of("vllm:3"))
    operator.calls_left = calls
    with contextlib.suppress(Died):
        operator.wait(LOADING)
    if on_the_object(operator) is None:
        command(operator, "pause")
    operator.calls_left = None
    operator.wait(LOADING)
    if on_the_object(operator) is None:
        command(operator, "pause")
    operator.wait(7200)
    assert operator.status.phase == "Paused"
    assert on_the_object(operator) == "true"


def test_paused_a_fail_still_reverts() -> None:
    operator = on_trial(judged())
    command(operator, "pause")
    operator.judged(60, "Fail")
    operator.settle()
    assert operator.world.route == Split()
    assert operator.status.phase == "Reverted"


# ── promote ──


def test_promote_step_acts_once_and_not_on_the_next_pause() -> None:
    two = with_steps({"pause": {}}, {"weight": 5}, {"pause": {}}, {"weight": 50, "for": "1h"})
    operator = on_trial(two)
    command(operator, "promote", "step")
    operator.wait(3600)
    assert at(operator) == "3/5"
    command(operator, "promote", "step@3")
    operator.settle()
    assert at(operator) == "4/5"


def test_promote_step_for_a_later_step_waits_for_it() -> None:
    operator = on_trial(PAUSED)
    command(operator, "promote", "step@2")
    operator.wait(59)
    assert at(operator) == "1/4"
    operator.wait(1)
    assert at(operator) == "3/4"


def test_promote_step_of_the_last_rollout_does_not_pass_the_same_step_of_the_next() -> None:
    operator = on_trial(PAUSED)
    command(operator, "promote", "step@2")
    operator.wait(3600)
    assert operator.status.phase == "Watching"
    operator.world.ask(PAUSED.model_copy(update={"runtime": spec_of("vllm:3").runtime}))
    operator.wait(3600)
    assert at(operator) == "2/4"


def test_promote_full_skips_evidence_but_not_capacity() -> None:
    operator = on_trial(judged())
    command(operator, "promote", "full")
    operator.wait(LOADING - 1)
    assert operator.status.phase == "Promoting"
    assert operator.world.route == Split(5)
    operator.wait(1)
    assert operator.status.phase == "Watching"
    assert weights(operator)[-3:] == [5, 100, 0]


def test_promote_full_for_a_revision_to_come_waits_for_it() -> None:
    operator = installed()
    command(operator, "promote", f"full@{SECOND}")
    operator.settle()
    operator.world.ask(spec_of("vllm:2"))
    operator.wait(2 * LOADING)
    assert operator.status.phase == "Watching"
