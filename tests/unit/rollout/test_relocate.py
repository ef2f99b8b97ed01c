"""The spec names another route while a rollout exists."""

from __future__ import annotations

from typing import Any

import pytest

from modelrollout.api.problem import Problem
from modelrollout.api.traffic import Traffic
from modelrollout.rollout.actions import HandBack, SetTraffic
from modelrollout.traffic.router import Split
from tests.unit.rollout.reading import command, condition
from tests.unit.rollout.world import (
    LOADING,
    SERVICE_ONLY,
    Died,
    Operator,
    installed,
    on_trial,
    spec_of,
    with_steps,
)

NEXT = {"service": "chat", "gateway": {"httpRoute": "next", "rule": "completions"}}
MESH = {"service": "chat", "istio": {"virtualService": "chat", "route": "completions"}}
TWO_STEPS = with_steps({"weight": 25, "for": "1m"}, {"weight": 50, "for": "1m"})


def ask(operator: Operator, traffic: dict[str, Any]) -> None:
    asked = Traffic.model_validate(traffic)
    operator.world.ask(operator.world.spec.model_copy(update={"traffic": asked}))


def old_route(operator: Operator) -> list[Split | None]:
    return list(operator.world.others.values())


@pytest.mark.parametrize("traffic", [NEXT, MESH], ids=["another route", "another kind of route"])
def test_in_a_step_users_leave_the_canary_then_the_old_route_is_given_back_then_the_step_begins_anew(
    traffic: dict[str, Any],
) -> None:
    operator = on_trial(TWO_STEPS)
    operator.wait(30)
    assert operator.world.route == Split(25)
    operator.world.calls.clear()
    ask(operator, traffic)
    operator.settle()
    assert operator.world.calls == [
        SetTraffic(Split()),
        HandBack(service=False),
        SetTraffic(Split(25)),
    ]
    assert old_route(operator) == [None]
    assert [each for each in operator.notes if each.startswith("Traffic")] == ["TrafficMoves", "TrafficMoved"]
    assert "Drifted" not in operator.notes
    operator.wait(4 * LOADING)
    assert operator.status.phase == "Watching"
    assert old_route(operator) == [None]


def test_at_rest_the_old_route_is_given_back_and_the_new_one_leads_to_stable() -> None:
    operator = installed()
    ask(operator, NEXT)
    operator.settle()
    assert operator.world.route == Split()
    assert old_route(operator) == [None]
    assert operator.status.taken is not None
    assert operator.status.taken.gateway is not None
    assert operator.status.taken.gateway.http_route == "next"


def test_an_abort_goes_by_the_route_that_users_are_on() -> None:
    operator = on_trial(TWO_STEPS)
    operator.wait(30)
    ask(operator, NEXT)
    command(operator, "abort")
    operator.run_once()
    assert operator.world.route == Split()
    operator.wait(60)
    assert operator.status.phase == "Reverted"
    assert old_route(operator) == [None]


def test_a_promotion_whose_names_have_moved_is_finished_by_the_old_route() -> None:
    operator = on_trial(TWO_STEPS)
    while operator.world.services["stable"] != operator.world.revision:
        operator.run_once()
        operator.world.propagate()
        operator.world.now += 1
    ask(operator, NEXT)
    operator.wait(60)
    assert operator.status.phase == "Watching"
    assert old_route(operator) == [None]


def test_an_old_route_that_is_gone_holds_nothing_up() -> None:
    operator = installed()
    operator.world.route_problem = Problem("RouteNotFound", "There is no HTTPRoute chat")
    operator.world.route = None
    ask(operator, NEXT)
    operator.run_once()
    operator.world.route_problem = None
    operator.settle()
    assert operator.world.route == Split()


def test_the_old_route_waits_until_stable_can_carry_everybody() -> None:
    operator = on_trial(TWO_STEPS)
    operator.wait(30)
    assert operator.status.stable is not None
    operator.world.kill(operator.status.stable.revision, 4)
    operator.world.propagate()
    ask(operator, NEXT)
    operator.settle()
    assert operator.world.route == Split(25)
    operator.wait(LOADING)
    assert old_route(operator) == [None]


def test_a_service_that_split_by_itself_stays_ours_when_a_route_takes_over() -> None:
    operator = installed(spec_of(traffic=SERVICE_ONLY))
    selected = operator.world.selects
    ask(operator, NEXT)
    operator.world.named = selected
    operator.settle()
    assert not any(isinstance(call, HandBack) for call in operator.world.calls)
    assert operator.status.original_service is not None
    assert operator.world.route == Split()


def test_a_service_that_followed_a_route_is_given_back_as_it_was_when_it_splits_by_itself() -> None:
    operator = installed(named_selector={"app": "old"})
    ask(operator, SERVICE_ONLY)
    operator.world.selects = operator.world.named
    operator.settle()
    assert operator.status.original_service is None
    assert operator.status.original_traffic == {"selector": {"app": "old"}}


def test_who_wrote_the_new_route_before_is_not_taken_for_drift_though_our_first_write_fails() -> None:
    operator = installed()
    ask(operator, NEXT)
    operator.world.writer = "kubectl-client-side-apply"
    while not old_route(operator):
        operator.run_once()
        operator.world.moved_by(operator.status.taken)
    operator.calls_left = 1
    with pytest.raises(Died):
        operator.run_once()
    operator.calls_left = None
    assert condition(operator, "TrafficSplit") == ("Unknown", "NotWritten")
    operator.settle()
    assert operator.world.route == Split()
    assert condition(operator, "TrafficSplit") == ("True", "AsDesired")
    assert "Drifted" not in operator.notes
    operator.world.drift(Split(40))
    operator.settle()
    assert "Drifted" in operator.notes
