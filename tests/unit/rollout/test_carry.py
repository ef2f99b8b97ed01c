"""The stable revision loses its pods in mid-rollout."""

from __future__ import annotations

from modelrollout.rollout.actions import PointNamed, SetTraffic
from modelrollout.rollout.carry import GRACE
from modelrollout.traffic.router import Split
from tests.unit.rollout.reading import command, condition
from tests.unit.rollout.world import LOADING, Operator, Pods, on_trial, revision_named, with_steps

FIRST, SECOND = revision_named("vllm:1"), revision_named("vllm:2")
STEPS = with_steps({"weight": 25}, {"pause": {}})


def at_a_quarter() -> Operator:
    operator = on_trial(STEPS)
    operator.wait(10)
    assert operator.world.route == Split(25)
    return operator


def without_deployment() -> Operator:
    operator = at_a_quarter()
    operator.world.loading = 10 * LOADING  # a Deployment that is made again takes its time
    del operator.world.pods[FIRST]
    operator.world.propagate()
    return operator


def test_the_deployment_of_stable_is_gone_so_the_canary_answers_everybody_at_once() -> None:
    operator = without_deployment()
    plan = operator.run_once()
    assert SetTraffic(Split(100)) in plan.actions
    assert PointNamed(SECOND) in plan.actions
    assert [(each.reason, each.warning) for each in plan.notes] == [("StableGone", True)]
    assert condition(operator, "Progressing") == ("True", "StableGone")
    assert operator.world.route == Split(100)


def test_the_canary_grows_to_what_everybody_needs() -> None:
    operator = without_deployment()
    operator.settle()
    assert operator.world.pods[SECOND].wanted == operator.world.spec.replicas


def test_pods_that_only_restart_are_waited_for() -> None:
    operator = at_a_quarter()
    operator.world.loading = GRACE - 1
    operator.world.kill(FIRST, 4)
    operator.world.propagate()
    operator.wait(LOADING)
    assert "StableGone" not in operator.notes
    assert operator.world.route == Split(25)


def test_pods_that_stay_away_are_not() -> None:
    operator = at_a_quarter()
    operator.world.loading = 10 * GRACE
    operator.world.kill(FIRST, 4)
    operator.world.propagate()
    operator.wait(GRACE + 1)
    assert operator.world.route == Split(100)


def test_once_stable_is_back_the_step_begins_anew() -> None:
    operator = without_deployment()
    operator.wait(60)
    operator.world.pods[FIRST] = Pods(4, [operator.world.now + 1] * 4)
    operator.wait(60)
    assert operator.world.route == Split(25)
    assert operator.world.named == FIRST


def test_an_abort_leaves_users_where_pods_are_until_stable_can_take_them() -> None:
    operator = without_deployment()
    operator.wait(60)
    command(operator, "abort")
    operator.wait(60)
    assert operator.world.route == Split(100)
    operator.world.pods[FIRST] = Pods(4, [operator.world.now + 1] * 4)
    operator.wait(60)
    assert operator.world.route == Split()
    assert operator.status.phase == "Reverted"
