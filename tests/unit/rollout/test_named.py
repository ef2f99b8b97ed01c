"""The Service that people named leads to the pods that serve users, whoever writes the route."""

from __future__ import annotations

import pytest

from modelrollout.api.spec import Spec
from modelrollout.api.status import OriginalService
from modelrollout.rollout.actions import PointNamed
from tests.unit.rollout.reading import command
from tests.unit.rollout.world import (
    LOADING,
    SERVICE_ONLY,
    Operator,
    World,
    installed,
    on_trial,
    revision_named,
    spec_of,
    with_steps,
)

FIRST, SECOND = revision_named("vllm:1"), revision_named("vllm:2")
ONE_STEP = with_steps({"weight": 50, "for": "1m"})


def led(operator: Operator) -> list[str]:
    """Where the Service was pointed, in order."""
    return [call.revision for call in operator.world.calls if isinstance(call, PointNamed)]


def test_it_leads_to_the_first_revision_as_soon_as_that_can_serve_everybody() -> None:
    operator = Operator(World(spec_of()))
    operator.wait(LOADING - 1)
    assert led(operator) == []
    operator.wait(1)
    assert operator.world.named == FIRST


def test_it_stays_on_stable_during_a_trial_and_follows_the_promotion() -> None:
    operator = on_trial(ONE_STEP)
    assert operator.world.named == FIRST
    operator.wait(60 + LOADING)
    assert operator.status.phase == "Watching"
    assert led(operator) == [FIRST, SECOND]


def test_a_rollback_takes_it_along() -> None:
    operator = on_trial(ONE_STEP)
    operator.wait(60 + LOADING)
    command(operator, "rollback")
    operator.wait(60)
    assert led(operator) == [FIRST, SECOND, FIRST]


@pytest.mark.parametrize("selector", [{}, {"app": "old"}], ids=["nothing", "pods of another Deployment"])
def test_what_it_selected_is_in_status_before_it_is_touched(selector: dict[str, str]) -> None:
    operator = installed(named_selector=selector)
    assert operator.status.original_service == OriginalService(selector=selector, pointed=True)


def test_living_pods_of_others_keep_it_until_ours_can_carry_everybody() -> None:
    operator = installed()
    operator.world.named, operator.world.named_selector = None, {"app": "old"}
    operator.world.kill(FIRST, 3)
    operator.run_once()
    assert operator.world.named is None
    operator.wait(LOADING)
    assert operator.world.named == FIRST


@pytest.mark.parametrize(
    ("selector", "found"), [({"app": "old"}, "app=old"), ({}, "nothing")], ids=["changed", "removed"]
)
def test_who_points_it_elsewhere_is_named_and_it_is_pointed_back(
    selector: dict[str, str], found: str
) -> None:
    operator = on_trial()
    operator.world.named, operator.world.named_selector = None, selector
    plan = operator.run_once()
    assert plan.actions == (PointNamed(FIRST),)
    (said,) = plan.notes
    assert (said.reason, said.warning) == ("ServiceDrifted", True)
    assert said.message.startswith(f"gitops changed what Service chat selects ({found})")
    assert operator.run_once().notes == ()


def test_a_writer_that_always_writes_back_costs_one_correction_in_ten_seconds() -> None:
    operator = on_trial()
    before = len(led(operator))
    for _ in range(60):
        operator.world.named = None
        operator.run_once()
        operator.world.now += 1
    assert len(led(operator)) - before <= 18


def test_a_leaving_revision_keeps_its_pods_while_the_service_leads_to_them() -> None:
    operator = on_trial(with_steps({"weight": 50, "for": "1m"}, rollbackWindow="0s"))
    operator.wait(60 + LOADING - 1)
    operator.world.named = FIRST
    operator.world.calls.clear()
    operator.wait(61)
    assert led(operator) == [SECOND]
    assert FIRST not in operator.world.pods


@pytest.mark.parametrize("spec", [with_steps({"weight": 50}, traffic=SERVICE_ONLY)], ids=["by pod counts"])
def test_where_it_is_the_router_nothing_but_the_router_moves_it(spec: Spec) -> None:
    assert led(installed(spec)) == []
