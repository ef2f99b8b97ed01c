"""Another writer changes the route."""

from __future__ import annotations

from modelrollout.rollout.actions import PointService, SetTraffic
from modelrollout.traffic.router import Split
from tests.unit.rollout.reading import command, condition, moves
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


def at_a_step() -> Operator:
    operator = on_trial(spec_of(analysis=METRICS))
    operator.wait(100)
    return operator


def test_it_is_named_undone_and_the_look_is_dropped() -> None:
    operator = at_a_step()
    operator.world.drift(Split(60), writer="argocd-controller")
    plan = operator.run_once()
    assert plan.actions == (SetTraffic(Split(5)),)
    assert plan.drop_look
    assert [(note.reason, note.warning) for note in plan.notes] == [("Drifted", True)]
    assert "argocd-controller" in plan.notes[0].message
    assert "60 %" in plan.notes[0].message
    assert condition(operator, "TrafficSplit") == ("False", "Drifted")
    plan = operator.settle()
    assert not plan.drop_look
    assert condition(operator, "TrafficSplit") == ("True", "AsDesired")


def test_no_looks_are_taken_while_the_route_says_something_else() -> None:
    operator = at_a_step()
    operator.world.drift(None)
    assert not operator.run_once().collect
    assert operator.settle().collect


def test_a_write_of_ours_that_was_lost_is_done_again_without_a_word() -> None:
    operator = at_a_step()
    operator.world.route = Split()
    plan = operator.run_once()
    assert plan.actions == (SetTraffic(Split(5)),)
    assert plan.notes == ()


def test_the_first_change_of_ours_is_not_taken_for_drift_though_a_user_wrote_the_route_last() -> None:
    operator = installed()
    operator.world.writer = "kubectl-client-side-apply"
    operator.world.ask(spec_of("vllm:2"))
    operator.wait(LOADING)
    assert operator.world.route == Split(5)
    assert "Drifted" not in operator.notes


def test_a_writer_that_always_writes_back_costs_one_correction_in_ten_seconds() -> None:
    operator = at_a_step()
    before = len(moves(operator))
    for _ in range(120):
        operator.world.now += 0.5
        operator.world.drift(Split(60))
        operator.run_once()
    assert len(moves(operator)) - before <= 4 * 7, "60 seconds"
    assert operator.notes.count("Drifted") <= 7
    assert operator.run_once().requeue is not None


def test_at_rest_drift_is_undone_too() -> None:
    operator = installed()
    operator.world.drift(Split(50))
    operator.settle()
    assert operator.world.route == Split()
    assert operator.notes[-1] == "Drifted"


def test_on_the_way_back_nothing_waits_for_a_fight() -> None:
    operator = at_a_step()
    for _ in range(12):
        operator.world.now += 0.5
        operator.world.drift(Split(60))
        operator.run_once()
    command(operator, "abort")
    for _ in range(6):
        operator.world.now += 0.5
        operator.world.drift(Split(60))
        operator.run_once()
        assert operator.world.route == Split()


def test_drift_that_gives_traffic_to_the_warm_revision_is_undone() -> None:
    operator = on_trial()
    operator.wait(3600)
    assert operator.status.phase == "Watching"
    operator.world.drift(Split(30))
    operator.settle()
    assert operator.world.route == Split()


def test_the_pass_that_a_waiting_correction_asks_for_names_the_writer_and_corrects() -> None:
    operator = at_a_step()
    operator.world.drift(Split(60))
    operator.run_once()
    operator.world.now += 5
    operator.world.drift(Split(60))
    plan = operator.run_once()
    assert (plan.actions, plan.requeue) == ((), 5)
    operator.world.now += 5
    plan = operator.run_once()
    assert plan.actions == (SetTraffic(Split(5)),)
    assert [note.reason for note in plan.notes] == ["Drifted"]


def test_a_service_that_splits_by_itself_is_not_pointed_while_the_stable_one_selects_others_pods() -> None:
    first = revision_named("vllm:1")
    operator = installed(spec_of(traffic=SERVICE_ONLY))
    operator.world.kill(first, 4)
    operator.world.services["stable"] = None
    operator.world.propagate()
    operator.world.calls.clear()
    operator.wait(LOADING - 1)
    assert operator.world.calls == []
    operator.wait(1)
    assert operator.world.calls == [PointService("stable", first)]
    assert operator.world.shares() == {first: 100}


def test_a_service_that_holds_both_revisions_waits_when_one_of_the_two_services_selects_others_pods() -> None:
    first = revision_named("vllm:1")
    operator = on_trial(with_steps({"weight": 50, "for": "1h"}, traffic=SERVICE_ONLY))
    assert operator.world.selects == ""
    operator.world.kill(first, 4)
    operator.world.services["stable"] = None
    operator.world.propagate()
    operator.world.calls.clear()
    operator.settle()
    assert operator.world.calls == []
    operator.wait(2 * LOADING)
    assert operator.world.services["stable"] == first
    assert operator.world.selects == ""
