"""The order of the policies: a reason for each place where it matters, in a situation that shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from modelrollout.api.status import Status
from modelrollout.rollout import orders, promote, revert
from modelrollout.rollout.decide import GROUPS
from modelrollout.rollout.model import Alarm, Alarms
from modelrollout.rollout.view import View
from modelrollout.traffic.router import Split
from tests.unit.rollout.order import check_order_inside_groups, outcome, swapped, view_of
from tests.unit.rollout.reading import command
from tests.unit.rollout.world import (
    METRICS,
    Operator,
    Pods,
    installed,
    on_trial,
    revision_named,
    spec_of,
    with_steps,
)

FIRST, SECOND = revision_named("vllm:1"), revision_named("vllm:2")
STRAY = "straywxyz2"
JUDGED = spec_of(analysis={**METRICS, "onInsufficient": "revert", "maxStepDuration": "1h"})


def bound(operator: Operator) -> View:
    """The situation once the annotations have been bound."""
    view = view_of(operator)
    change = orders.take_commands(view)
    assert change is not None
    return view.after(change)


def an_old_route_is_back_as_it_was_found() -> View:
    operator = installed()
    gateway = operator.world.spec.traffic.gateway
    assert gateway is not None
    traffic = operator.world.spec.traffic.model_copy(
        update={"gateway": gateway.model_copy(update={"http_route": "next"})}
    )
    operator.world.ask(operator.world.spec.model_copy(update={"traffic": traffic}))
    view_of(operator)
    operator.world.drift(None)
    return view_of(operator)


def a_kill_while_somebody_writes_the_route() -> View:
    operator = on_trial()
    operator.world.drift(Split(40))
    command(operator, "kill")
    return bound(operator)


def a_kill_and_an_abort() -> View:
    operator = on_trial()
    command(operator, "abort")
    command(operator, "kill")
    return bound(operator)


def an_abort_and_a_new_spec() -> View:
    operator = on_trial()
    operator.world.ask(spec_of("vllm:3"))
    command(operator, "abort")
    return bound(operator)


def a_new_spec_and_a_bad_verdict() -> View:
    operator = on_trial(JUDGED)
    operator.wait(60)
    operator.world.judge("Fail")
    operator.world.ask(spec_of("vllm:3", analysis=METRICS))
    return view_of(operator)


ALERTED = {**METRICS, "alerts": [{"name": "CanaryRegressionDetected", "then": "revert"}]}


def alerted(operator: Operator) -> Operator:
    now = operator.world.now
    alarm = Alarm("CanaryRegressionDetected", now - 60, now)
    operator.world.alarms = Alarms(SECOND, now, (alarm,))
    return operator


def a_bad_verdict_and_an_alert() -> View:
    operator = on_trial(spec_of(analysis=ALERTED))
    operator.wait(60)
    operator.world.judge("Fail")
    return view_of(alerted(operator))


def an_alert_and_a_failed_evaluation() -> View:
    operator = on_trial(with_steps({"evaluate": "golden"}, analysis=ALERTED))
    operator.wait(60)
    operator.world.evaluate("failed")
    return view_of(alerted(operator))


def copies_while_a_revert_begins() -> View:
    operator = on_trial(with_steps({"mirror": 20, "for": "1h"}))
    command(operator, "abort")
    view = bound(operator)
    change = revert.commanded(view)
    assert change is not None
    return view.after(change)


def reverted_and_to_be_tried_again() -> View:
    operator = on_trial()
    command(operator, "abort")
    operator.run_once()
    operator.world.propagate()
    command(operator, "retry")
    return bound(operator)


def to_be_tried_again_and_the_old_spec_is_back() -> View:
    operator = on_trial()
    command(operator, "abort")
    operator.settle()
    operator.world.ask(spec_of("vllm:1"))
    command(operator, "retry")
    return bound(operator)


def a_new_spec_as_the_window_closes() -> View:
    operator = on_trial(with_steps({"weight": 50}))
    operator.wait(600)
    assert operator.status.phase == "Watching"
    operator.world.now += 3600
    operator.world.ask(with_steps({"weight": 50}, image="vllm:3"))
    return view_of(operator)


def a_plan_is_edited_as_pods_are_lost() -> View:
    operator = on_trial()
    operator.wait(900)
    assert operator.world.route == Split(25)
    operator.world.kill(SECOND, 4)
    operator.world.propagate()
    operator.world.ask(with_steps({"weight": 10}, image="vllm:2"))
    return view_of(operator)


def undecided_to_the_end() -> Operator:
    operator = on_trial(JUDGED)
    operator.judged(3540, "Insufficient", every=60)
    operator.world.now += 60
    operator.world.propagate()
    return operator


def pods_are_lost_as_the_time_runs_out() -> View:
    operator = undecided_to_the_end()
    operator.world.kill(SECOND)
    operator.world.propagate()
    return view_of(operator)


def a_person_promotes_as_the_time_runs_out() -> View:
    operator = undecided_to_the_end()
    command(operator, "promote", "step")
    return bound(operator)


def a_person_promotes_as_the_step_passes() -> View:
    operator = on_trial()
    operator.world.now += 600
    command(operator, "promote", "step")
    return bound(operator)


def pods_of_nobody_as_a_revision_is_replaced() -> View:
    operator = on_trial(with_steps({"weight": 50}, rollbackWindow="0s"))
    while promote.promoted(view_of(operator)) is None:
        operator.world.now += 1
        operator.run_once()
        operator.world.propagate()
    operator.world.pods[STRAY] = Pods(1, [0.0])
    return view_of(operator)


@dataclass(frozen=True)
class Because:
    """Why the earlier of two groups goes first."""

    reason: str
    situation: Callable[[], View]
    holds: Callable[[Status, dict[str, str]], bool]
    """Of the outcome, and of its notes: reason -> message."""


ORDER: tuple[Because, ...] = (
    Because(
        "a route that the spec has left and that is as it was found has not drifted",
        an_old_route_is_back_as_it_was_found,
        lambda status, notes: "TrafficMoved" in notes and "Drifted" not in notes,
    ),
    Because(
        "a foreign write is named though the same pass moves the route away from it",
        a_kill_while_somebody_writes_the_route,
        lambda status, notes: "Drifted" in notes and status.revert_reason == "Killed",
    ),
    Because(
        "of two ways to send everybody back, people read the one that stays",
        a_kill_and_an_abort,
        lambda status, notes: status.revert_reason == "Killed",
    ),
    Because(
        "what a person aborts is refused, whatever the spec asks for by then",
        an_abort_and_a_new_spec,
        lambda status, notes: status.refused_revision == SECOND,
    ),
    Because(
        "a revision that nobody asks for any more is not refused for its verdict",
        a_new_spec_and_a_bad_verdict,
        lambda status, notes: status.revert_reason == "Superseded" and status.refused_revision is None,
    ),
    Because(
        "a verdict on both arms is said before an alert, which looks at one",
        a_bad_verdict_and_an_alert,
        lambda status, notes: status.revert_reason == "AnalysisFailed",
    ),
    Because(
        "what users met is said before what an evaluation found",
        an_alert_and_a_failed_evaluation,
        lambda status, notes: status.revert_reason == "AlertFired",
    ),
    Because(
        "copies of requests end before the revision that gets them is let go",
        copies_while_a_revert_begins,
        lambda status, notes: status.weight.mirror == 0,
    ),
    Because(
        "a revert is finished and told before the revision is tried again",
        reverted_and_to_be_tried_again,
        lambda status, notes: {"Reverted", "Retried"} <= notes.keys(),
    ),
    Because(
        "a person's retry is answered though the spec has gone back by then",
        to_be_tried_again_and_the_old_spec_is_back,
        lambda status, notes: "Retried" in notes,
    ),
    Because(
        "the end of the rollback window is told though a new rollout begins",
        a_new_spec_as_the_window_closes,
        lambda status, notes: {"WindowClosed", "RolloutStarted"} <= notes.keys(),
    ),
    Because(
        "lost pods count against the step of the plan as it is now",
        a_plan_is_edited_as_pods_are_lost,
        lambda status, notes: "that step 1/2 needs" in notes["CanaryLost"],
    ),
    Because(
        "a step that lost its pods begins anew instead of ending without a verdict",
        pods_are_lost_as_the_time_runs_out,
        lambda status, notes: status.revert_reason is None and "CanaryLost" in notes,
    ),
    Because(
        "a step whose time is over is sent back, as the spec says, though a person promotes it that moment",
        a_person_promotes_as_the_time_runs_out,
        lambda status, notes: status.revert_reason == "NoVerdict",
    ),
    Because(
        "a person's promote counts for the step it was meant for, though that passes by itself that moment",
        a_person_promotes_as_the_step_passes,
        lambda status, notes: "StepPromoted" in notes and status.commands[0].state == "Done",
    ),
    Because(
        "the revision that was replaced leaves before pods that nobody knows",
        pods_of_nobody_as_a_revision_is_replaced,
        lambda status, notes: status.draining == [FIRST, STRAY],
    ),
)


def test_there_is_a_reason_for_the_place_of_every_group() -> None:
    assert len(ORDER) == len(GROUPS) - 1


@pytest.mark.parametrize("place", range(len(ORDER)), ids=[each.reason for each in ORDER])
def test_of_two_neighbouring_groups_the_earlier_goes_first_because(place: int) -> None:
    because = ORDER[place]
    view = because.situation()
    for group in GROUPS[place : place + 2]:
        assert any(policy(view) is not None for policy in group), "both have something to change"
    status, notes = outcome(view)
    assert because.holds(status, {note.reason: note.message for note in notes})
    status, notes = outcome(view, swapped(place))
    assert not because.holds(status, {note.reason: note.message for note in notes})


@pytest.mark.parametrize("place", range(len(ORDER)), ids=[each.reason for each in ORDER])
def test_inside_a_group_the_order_does_not_matter(place: int) -> None:
    """Here over the situations above; the state machine looks at every situation that it meets."""
    check_order_inside_groups(ORDER[place].situation())


def test_a_first_revision_that_users_are_on_is_installed_and_not_replaced() -> None:
    operator = installed()
    operator.world.ask(spec_of("vllm:2"))
    operator.status = Status(
        stable=operator.status.stable, phase="Installing", phase_since=operator.status.phase_since
    )
    check_order_inside_groups(view_of(operator))
    status, notes = outcome(view_of(operator))
    assert status.stable is not None
    assert status.stable.revision == FIRST
    assert "Installed" in {note.reason for note in notes}
