"""After promotion, inside the window: everybody back to the warm revision in one route write."""

from __future__ import annotations

import pytest

from modelrollout.api.spec import Spec
from modelrollout.rollout.actions import DeleteRevision, PointNamed, PointService, Scale, SetTraffic, TakeOff
from modelrollout.traffic.router import Split
from tests.unit.rollout.reading import command, condition
from tests.unit.rollout.world import (
    LOADING,
    METRICS,
    SERVICE_ONLY,
    Operator,
    on_trial,
    revision_named,
    spec_of,
    with_steps,
)

FIRST, SECOND = revision_named("vllm:1"), revision_named("vllm:2")
ONE_STEP = with_steps({"weight": 50, "for": "1m"})
SELECTOR = spec_of(traffic=SERVICE_ONLY, strategy={"blueGreen": {}})


def promoted(spec: Spec = ONE_STEP) -> Operator:
    operator = on_trial(spec)
    operator.wait(2 * LOADING)
    assert operator.status.phase == "Watching"
    return operator


@pytest.mark.parametrize("name", ["abort", "rollback"])
def test_inside_the_window_one_route_write_brings_everybody_to_the_warm_revision(name: str) -> None:
    operator = promoted()
    before = len(operator.world.calls)
    command(operator, name)
    plan = operator.run_once()
    assert [act for act in plan.actions if not isinstance(act, TakeOff)] == [
        SetTraffic(Split(100), urgent=True),
        PointNamed(FIRST),
    ]
    assert operator.world.shares() == {FIRST: 100}
    operator.wait(60)
    assert [act for act in operator.world.calls[before:] if not isinstance(act, TakeOff)] == [
        SetTraffic(Split(100), urgent=True),
        PointNamed(FIRST),
        PointService("stable", FIRST),
        SetTraffic(Split(), urgent=True),
        DeleteRevision(SECOND),
    ]
    assert operator.status.phase == "Reverted"
    assert operator.status.history[-1].outcome == "RolledBack"
    assert condition(operator, "Reverted")[0] == "True"
    assert condition(operator, "Promoted")[0] == "False"


def test_a_rollback_to_the_warm_revision_brings_everybody_there() -> None:
    operator = promoted()
    command(operator, "rollback", f"to@{FIRST}")
    operator.wait(60)
    assert operator.world.shares() == {FIRST: 100}
    assert operator.status.history[-1].outcome == "RolledBack"


def test_a_rollback_to_what_has_no_pods_moves_nobody_and_says_what_has() -> None:
    operator = promoted()
    command(operator, "rollback", "to@gonegonexx")
    plan = operator.run_once()
    operator.wait(60)
    assert operator.world.shares() == {SECOND: 100}
    assert operator.status.phase == "Watching"
    assert [FIRST in note.message for note in plan.notes if note.reason == "CommandIgnored"] == [True]
    assert "modelrollout.io/rollback" not in operator.world.annotations


def test_a_selector_is_rolled_back_by_one_write_too() -> None:
    operator = promoted(SELECTOR)
    command(operator, "rollback")
    operator.run_once()
    assert operator.world.selects == FIRST
    operator.wait(60)
    assert operator.status.phase == "Reverted"
    assert set(operator.world.pods) == {FIRST}


def test_the_old_spec_inside_the_window_is_a_rollback_too_and_nothing_is_refused() -> None:
    operator = promoted()
    operator.world.ask(ONE_STEP)
    operator.run_once()
    assert operator.world.shares() == {FIRST: 100}
    operator.wait(60)
    assert operator.status.phase == "Stable"
    assert operator.world.created == [FIRST, SECOND]


def test_after_the_window_a_rollback_gets_the_answer_what_to_do_instead() -> None:
    operator = promoted()
    operator.wait(4000)
    command(operator, "rollback")
    operator.settle()
    assert operator.status.phase == "Stable"
    assert operator.notes[-1] == "CommandIgnored"


def test_a_fail_of_the_guard_rolls_back() -> None:
    spec = with_steps({"weight": 50, "for": "1m"}, analysis=METRICS)
    operator = on_trial(spec)
    operator.judged(4 * LOADING)
    assert operator.status.phase == "Watching"
    assert operator.settle().collect
    operator.judged(30, "Fail")
    operator.wait(60)
    assert operator.status.phase == "Reverted"
    assert operator.status.history[-1].reason == "AnalysisFailed"


def test_a_promoted_revision_that_loses_all_its_pods_gives_way_to_the_warm_one() -> None:
    operator = promoted()
    operator.world.loading = 10_000
    operator.world.kill(SECOND, 4)
    operator.world.propagate()
    operator.wait(25)
    assert operator.status.phase == "Watching", "a restart is no reason yet"
    operator.wait(10)
    assert operator.world.shares() == {FIRST: 100}
    operator.wait(60)
    assert operator.status.history[-1].reason == "StableLost"


def test_a_warm_revision_with_fewer_pods_than_are_needed_now_gets_them_and_users_by_degrees() -> None:
    operator = promoted()
    operator.world.scale(8)
    operator.wait(LOADING)
    command(operator, "rollback")
    plan = operator.run_once()
    assert [act for act in plan.actions if not isinstance(act, TakeOff)] == [
        SetTraffic(Split(50), urgent=True),
        Scale(FIRST, 8),
    ]
    operator.wait(2 * LOADING)
    assert operator.status.phase == "Reverted"
    assert operator.world.shares() == {FIRST: 100}
