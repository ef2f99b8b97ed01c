"""While the window is open some users stay on the warm old revision; they never keep anything waiting."""

from __future__ import annotations

import pytest

from modelrollout.api.spec import Spec
from modelrollout.rollout.actions import DeleteRevision
from modelrollout.traffic.router import Split
from tests.unit.rollout.reading import command, condition
from tests.unit.rollout.world import LOADING, SERVICE_ONLY, Operator, on_trial, revision_named, spec_of

FIRST, SECOND, THIRD = (revision_named(f"vllm:{n}") for n in (1, 2, 3))


def held(image: str = "vllm:1", **changes: object) -> Spec:
    steps = [{"weight": 50, "for": "1m"}]
    return spec_of(image, **({"strategy": {"canary": {"steps": steps}}, "holdback": 5} | changes))


def promoted(spec: Spec | None = None) -> Operator:
    operator = on_trial(spec or held())
    operator.wait(2 * LOADING)
    assert operator.status.phase == "Watching"
    return operator


def test_some_users_stay_on_the_warm_revision_until_the_window_ends() -> None:
    operator = promoted()
    assert operator.world.shares() == {FIRST: 5, SECOND: 95}
    assert f"5 % stay on {FIRST}" in operator.run_once().facts["message"]
    operator.wait(3400)
    assert operator.world.shares() == {FIRST: 5, SECOND: 95}
    operator.wait(300)
    assert operator.status.phase == "Stable"
    assert operator.world.shares() == {SECOND: 100}
    assert operator.world.calls[-1] == DeleteRevision(FIRST)
    assert condition(operator, "Promoted")[0] == "True"


def test_nobody_is_held_back_where_nothing_was_asked_or_the_service_alone_splits() -> None:
    assert promoted(held(holdback=0)).world.shares() == {SECOND: 100}
    selector = spec_of(traffic=SERVICE_ONLY, strategy={"blueGreen": {}}, holdback=5)
    assert promoted(selector).world.selects == SECOND


@pytest.mark.parametrize(
    ("name", "phase"), [("abort", "Reverted"), ("rollback", "Reverted"), ("kill", "Killed")]
)
def test_a_rollback_or_a_kill_takes_everybody_to_the_warm_revision_in_one_write(
    name: str, phase: str
) -> None:
    operator = promoted()
    command(operator, name)
    operator.run_once()
    assert operator.world.shares() == {FIRST: 100}
    operator.wait(60)
    assert operator.status.phase == phase
    assert set(operator.world.pods) == {FIRST}


def test_a_new_revision_begins_at_once_and_takes_the_users_of_the_old_one_along() -> None:
    operator = promoted()
    operator.world.ask(held("vllm:3"))
    operator.run_once()
    assert operator.status.canary is not None
    assert operator.status.canary.revision == THIRD
    assert operator.world.shares() == {SECOND: 100}
    operator.wait(600)
    assert operator.status.phase == "Watching"
    assert operator.world.shares() == {SECOND: 5, THIRD: 95}


def test_the_share_may_be_edited_while_the_window_is_open() -> None:
    operator = promoted()
    operator.world.spec = held("vllm:2", holdback=10)
    operator.wait(30)
    assert operator.world.shares() == {FIRST: 10, SECOND: 90}
    operator.world.spec = held("vllm:2", holdback=0)
    operator.wait(30)
    assert operator.world.shares() == {SECOND: 100}
    assert operator.status.phase == "Watching"


def test_a_warm_revision_without_pods_gets_no_users() -> None:
    operator = promoted()
    del operator.world.pods[FIRST]
    operator.world.propagate()
    operator.wait(30)
    assert operator.world.shares() == {SECOND: 100}
    assert operator.world.route == Split()
