"""The first revision."""

from __future__ import annotations

import pytest

from modelrollout.api.problem import Problem
from modelrollout.api.spec import Spec
from modelrollout.api.status import Status
from modelrollout.rollout.actions import DeleteRevision, EnsureRevision, PointService, SetTraffic
from modelrollout.traffic.router import Split
from tests.unit.rollout.reading import condition, moves
from tests.unit.rollout.world import (
    LOADING,
    SERVICE_ONLY,
    Operator,
    Pods,
    World,
    installed,
    revision_named,
    spec_of,
)

FIRST, SECOND = revision_named("vllm:1"), revision_named("vllm:2")
EITHER_WAY = pytest.mark.parametrize(
    "spec", [spec_of(), spec_of(traffic=SERVICE_ONLY)], ids=["by a route", "by the Service itself"]
)


def test_the_deployment_and_both_services_are_made_at_once_and_traffic_is_left_alone() -> None:
    operator = Operator(World(spec_of()))
    plan = operator.run_once()
    assert plan.actions == (
        EnsureRevision(FIRST, 4),
        PointService("stable", FIRST),
        PointService("canary", FIRST),
    )
    operator.wait(LOADING - 1)
    assert moves(operator) == []
    assert operator.status.phase == "Installing"


def test_traffic_is_touched_when_the_pods_are_ready_and_what_was_found_is_kept_before() -> None:
    operator = Operator(World(spec_of()))
    operator.wait(LOADING)
    assert moves(operator) == [SetTraffic(Split())]
    assert operator.status.original_traffic == {"rules": "as found"}
    assert operator.status.phase == "Stable"
    assert condition(operator, "Promoted") == ("True", "Promoted")


def test_a_route_that_already_names_the_stable_service_does_not_make_it_installed() -> None:
    operator = Operator(World(spec_of(), route=Split()))
    operator.wait(LOADING - 1)
    assert operator.status.phase == "Installing"
    operator.wait(1)
    assert operator.status.phase == "Stable"
    assert moves(operator) == []


def test_it_is_not_installed_before_the_gateway_has_taken_the_route() -> None:
    operator = Operator(World(spec_of(), settled=False))
    operator.wait(2 * LOADING)
    assert operator.status.phase == "Installing"
    operator.world.settled = True
    operator.settle()
    assert operator.status.phase == "Stable"


def test_what_the_gateway_lacks_is_said_and_asked_again_while_the_first_revision_waits_for_it() -> None:
    lacks = Problem("GatewayNotProgrammed", "Gateway gw is not programmed")
    operator = Operator(World(spec_of(), settled=False, waiting_for=lacks))
    operator.wait(LOADING + 30)
    assert operator.status.message == lacks.message
    assert condition(operator, "TrafficSplit") == ("False", "GatewayNotProgrammed")
    assert operator.notes.count("GatewayNotProgrammed") == 1
    assert operator.settle().requeue == 10


def test_a_first_revision_that_does_not_load_goes_on_trying_and_says_so() -> None:
    operator = Operator(World(spec_of(), loading=10_000))
    operator.wait(1800)
    assert operator.status.phase == "Installing"
    assert condition(operator, "Progressing") == ("True", "StartupDeadlineExceeded")
    assert operator.notes.count("StartupDeadlineExceeded") == 1
    operator.wait(10_000)
    assert operator.status.phase == "Stable"


def test_a_spec_that_changes_before_anything_served_just_starts_with_the_new_revision() -> None:
    operator = Operator(World(spec_of()))
    operator.wait(30)
    operator.world.ask(spec_of("vllm:2"))
    operator.wait(LOADING + 10)
    assert operator.status.phase == "Stable"
    assert set(operator.world.pods) == {SECOND}
    assert DeleteRevision(FIRST) in operator.world.calls


def test_a_spec_that_changes_when_users_may_be_on_the_first_revision_is_a_rollout() -> None:
    operator = Operator(World(spec_of(), settled=False))
    operator.wait(LOADING)
    operator.world.ask(spec_of("vllm:2"))
    operator.settle()
    assert operator.status.stable is not None
    assert operator.status.stable.revision == FIRST
    assert operator.status.phase == "Starting"


def test_a_lost_status_takes_what_users_are_on_as_stable_where_the_service_alone_splits() -> None:
    spec = spec_of(traffic=SERVICE_ONLY, strategy={"blueGreen": {}})
    operator = installed(spec)
    operator.world.ask(spec.model_copy(update={"runtime": spec_of("vllm:2").runtime}))
    while operator.world.selects != SECOND:
        operator.wait(LOADING if not operator.world.ready(SECOND) else 0)
        operator.run_once()
    operator.world.services.clear()  # lost together with the status
    operator.status = Status()
    operator.world.ask(spec.model_copy(update={"runtime": spec_of("vllm:3").runtime}))
    operator.settle()
    assert operator.status.stable is not None
    assert operator.status.stable.revision == SECOND
    assert operator.status.canary is not None, "the third is on trial against what serves"
    assert operator.world.selects == SECOND, "nobody is moved"


def test_pods_that_a_route_may_lead_to_stay_while_the_first_revision_is_not_installed_yet() -> None:
    operator = Operator(World(spec_of(), settled=False))
    operator.wait(LOADING)
    assert operator.status.original_traffic is not None
    assert operator.status.phase == "Installing"
    stray = "straywxyz2"
    operator.world.pods[stray] = Pods(1, [operator.world.now])
    operator.world.drift(None)
    operator.world.problem = Problem("ServiceNotFound", "There is no Service chat")
    operator.wait(60)
    operator.world.problem = None
    assert stray in operator.world.pods
    operator.status = operator.status.model_copy(
        update={"draining": [stray], "draining_since": operator.status.phase_since}
    )
    assert DeleteRevision(stray) not in operator.run_once().actions
    operator.wait(60)
    assert stray not in operator.world.pods, "the route is ours again"


def test_a_lost_status_takes_what_the_stable_service_selects_as_stable() -> None:
    """A cluster restored from a backup without status does not send its users to the unproven revision."""
    operator = installed()
    operator.world.ask(spec_of("vllm:2"))
    operator.wait(LOADING + 700)
    assert operator.world.route == Split(25)
    operator.status = Status()
    operator.settle()
    assert "FoundServing" in operator.notes
    assert operator.status.stable is not None
    assert operator.status.stable.revision == FIRST
    assert operator.world.route == Split(5), "the rollout starts over, at its first step"


def test_pods_that_no_status_accounts_for_leave() -> None:
    operator = installed()
    operator.world.pods["stray"] = Pods(1, [0.0])
    operator.wait(60)
    assert set(operator.world.pods) == {FIRST}


def test_a_missing_service_is_made_again() -> None:
    operator = installed()
    del operator.world.services["stable"]
    operator.world.services["canary"] = None
    assert operator.run_once().actions == (PointService("stable", FIRST), PointService("canary", FIRST))


def test_a_service_of_ours_that_still_selects_another_tools_pods_keeps_them_until_ours_can_serve() -> None:
    operator = Operator(World(spec_of(), services={"stable": None}))
    operator.wait(LOADING - 1)
    assert operator.world.services["stable"] is None
    operator.wait(1)
    assert operator.world.services["stable"] == FIRST
    assert operator.status.phase == "Stable"


@EITHER_WAY
def test_a_spec_that_changes_just_when_the_first_pods_are_ready_sends_nobody_to_pods_that_still_load(
    spec: Spec,
) -> None:
    operator = Operator(World(spec))
    operator.settle()
    operator.world.now += LOADING
    operator.world.propagate()
    operator.world.ask(spec.model_copy(update={"runtime": spec_of("vllm:2").runtime}))
    operator.wait(LOADING - 1)
    assert moves(operator) == []
    operator.wait(1)
    assert moves(operator) == [SetTraffic(Split())]
    assert operator.world.shares() == {SECOND: 100}


@EITHER_WAY
def test_a_foreign_canary_service_does_not_keep_the_stable_one_on_a_revision_that_was_replaced(
    spec: Spec,
) -> None:
    operator = Operator(World(spec))
    operator.settle()
    operator.world.services["canary"] = None
    operator.world.ask(spec.model_copy(update={"runtime": spec_of("vllm:2").runtime}))
    operator.settle()
    assert operator.world.services == {"stable": SECOND, "canary": None}
    operator.wait(LOADING + 10)
    assert operator.world.services == {"stable": SECOND, "canary": SECOND}
    assert operator.world.shares() == {SECOND: 100}
    assert set(operator.world.pods) == {SECOND}


def test_a_revision_is_not_installed_while_the_stable_service_leads_to_another_one() -> None:
    operator = Operator(World(spec_of(), route=Split()))
    operator.settle()
    operator.world.ask(spec_of("vllm:2"))
    operator.settle()
    operator.world.services["stable"] = FIRST  # somebody edits it
    operator.world.now += LOADING
    operator.world.propagate()
    operator.run_once()
    assert operator.status.phase == "Installing"
    operator.settle()
    assert operator.status.phase == "Stable"
    assert operator.world.services["stable"] == SECOND
