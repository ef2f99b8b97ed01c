"""The resource is deleted: what becomes of its users."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest

from modelrollout.rollout.actions import HandBack, PointNamed, Release, SetTraffic
from modelrollout.rollout.drain import ROUTE_LAG
from modelrollout.traffic.router import Split
from tests.unit.rollout.world import (
    SERVICE_ONLY,
    Died,
    Operator,
    World,
    fresh_copy,
    installed,
    on_trial,
    revision_named,
    spec_of,
    with_steps,
)

FIRST, SECOND = revision_named("vllm:1"), revision_named("vllm:2")
DRAIN = {"deletion": "drain"}
TWO_STEPS = with_steps({"weight": 25, "for": "1m"}, {"weight": 50, "for": "1m"})


def deleted(operator: Operator) -> Operator:
    """Passes until the resource may go, as the engine makes them."""
    operator.world.deleting = True
    operator.world.calls.clear()
    for _ in range(20):
        plan = operator.run_once()
        operator.world.propagate()
        if plan.requeue is None:
            return operator
        operator.world.now += plan.requeue
    raise AssertionError(f"it is held up for ever: {plan.actions}")


def test_by_default_nobody_is_cut_off_the_serving_pods_stay_and_the_service_leads_to_them() -> None:
    operator = on_trial(TWO_STEPS)
    started = operator.world.now
    deleted(operator)
    assert operator.world.calls == [HandBack(service=False), Release(FIRST)]
    assert operator.world.named == FIRST
    assert operator.world.now - started >= ROUTE_LAG, "the canary's pods go after the last that came by it"


def test_drained_the_route_and_the_service_are_given_back_first() -> None:
    operator = deleted(on_trial(with_steps({"weight": 25}, {"pause": {}}, **DRAIN)))
    assert operator.world.calls == [HandBack()]
    assert operator.world.released == set()


def test_what_never_touched_anything_goes_at_once() -> None:
    world = World(spec_of(), deleting=True)
    assert Operator(world).run_once().requeue is None
    assert world.calls == []


def test_when_stable_is_dead_the_pods_that_live_stay() -> None:
    operator = on_trial(TWO_STEPS)
    del operator.world.pods[FIRST]
    operator.world.services["stable"] = None
    operator.world.propagate()
    deleted(operator)
    assert operator.world.released == {SECOND}
    assert operator.world.named == SECOND


def test_in_the_middle_of_a_promotion_the_revision_that_the_stable_service_selects_stays() -> None:
    operator = on_trial(TWO_STEPS)
    for _ in range(100):
        operator.wait(5)
        if operator.world.services["stable"] == SECOND:
            break
    deleted(operator)
    assert operator.world.released == {SECOND}
    assert operator.world.named == SECOND


def test_without_a_route_the_service_keeps_selecting_the_pods_that_stay() -> None:
    operator = on_trial(with_steps({"weight": 50, "for": "1m"}, traffic=SERVICE_ONLY))
    assert operator.world.selects == ""
    deleted(operator)
    assert operator.world.selects == FIRST
    assert operator.world.calls == [SetTraffic(Split()), Release(FIRST)]


def test_without_a_route_and_drained_the_service_is_given_back() -> None:
    operator = deleted(installed(spec_of(traffic=SERVICE_ONLY, **DRAIN)))
    assert operator.world.calls == [HandBack()]


def test_a_namespace_that_goes_is_not_held_up_by_pods_that_are_gone_already() -> None:
    operator = on_trial(TWO_STEPS)
    operator.world.pods.clear()
    operator.world.propagate()
    started = operator.world.now
    deleted(operator)
    assert operator.world.now == started


@pytest.mark.parametrize("deletion", ["orphan", "drain"])
def test_a_death_between_any_two_calls_changes_nothing_about_the_end(deletion: str) -> None:
    operator = on_trial(with_steps({"weight": 25}, {"pause": {}}, deletion=deletion))
    operator.world.deleting = True
    whole = deleted(replace(operator, world=fresh_copy(operator.world)))
    for calls in range(4):
        world = fresh_copy(operator.world)
        first = Operator(world, operator.status, calls_left=calls)
        with contextlib.suppress(Died):
            deleted(first)
        successor = deleted(Operator(world, first.status))
        assert (world.route, world.named, world.released) == (
            whole.world.route,
            whole.world.named,
            whole.world.released,
        )
        assert successor.status.handed_back_at is not None


def test_what_a_rollout_left_behind_is_found_serving_and_owned_again() -> None:
    operator = deleted(on_trial(TWO_STEPS))
    world = operator.world
    world.deleting = False
    world.pods.pop(SECOND)
    world.services.clear()
    world.ask(spec_of("vllm:1"))
    again = Operator(world)
    again.wait(60)
    assert again.status.phase == "Stable"
    assert "FoundServing" in again.notes
    assert world.created == [FIRST, SECOND], "nothing is loaded twice"
    assert world.released == set()


def test_a_service_that_another_writer_took_is_left_to_them_when_drained() -> None:
    operator = installed(spec_of(**DRAIN))
    operator.world.named, operator.world.named_selector = None, {"app": "theirs"}
    operator.world.route = None
    assert PointNamed(FIRST) not in deleted(operator).world.calls
    assert operator.world.named_selector == {"app": "theirs"}
