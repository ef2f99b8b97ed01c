"""Promotion moves names, not models, and the old revision stays warm."""

from __future__ import annotations

import pytest

from modelrollout.api.times import unix
from modelrollout.rollout.actions import (
    DeleteRevision,
    EnsureRevision,
    PointNamed,
    PointService,
    Scale,
    SetTraffic,
)
from modelrollout.traffic.router import Split
from tests.unit.rollout.reading import condition
from tests.unit.rollout.world import (
    LOADING,
    SERVICE_ONLY,
    Operator,
    installed,
    on_trial,
    revision_named,
    spec_of,
    with_steps,
)

FIRST, SECOND = revision_named("vllm:1"), revision_named("vllm:2")
ONE_STEP = with_steps({"weight": 50, "for": "1m"})


def promoted() -> Operator:
    operator = on_trial(ONE_STEP)
    operator.wait(60 + LOADING)
    assert operator.status.phase == "Watching"
    return operator


def test_the_names_move_in_the_order_in_which_every_user_always_has_pods() -> None:
    operator = promoted()
    start = operator.world.calls.index(SetTraffic(Split(50)))
    assert operator.world.calls[start + 1 :] == [
        Scale(SECOND, 4),
        SetTraffic(Split(100)),
        PointService("stable", SECOND),
        SetTraffic(Split()),
        PointNamed(SECOND),
        PointService("canary", FIRST),
    ]


def test_the_last_traffic_move_waits_until_the_stable_service_lists_the_new_pods_only() -> None:
    operator = on_trial(ONE_STEP)
    operator.wait(60 + LOADING - 1)
    operator.world.now += 1
    operator.world.propagate()
    while operator.world.named != SECOND:
        operator.run_once()
    assert operator.run_once().actions == (), "the EndpointSlices still list the old pods"
    operator.world.endpoints["stable"] = {SECOND: 4, FIRST: 1}
    assert operator.run_once().actions == ()
    operator.world.endpoints["stable"] = {SECOND: 4}
    assert operator.run_once().actions == (SetTraffic(Split()),)


def test_nothing_is_loaded_twice() -> None:
    assert promoted().world.created == [FIRST, SECOND]


def test_the_promoted_revision_is_stable_and_the_old_one_stays_warm_at_its_size() -> None:
    operator = promoted()
    status = operator.status
    assert (status.stable and status.stable.revision, status.previous and status.previous.revision) == (
        SECOND,
        FIRST,
    )
    assert operator.world.pods[FIRST].wanted == 4
    assert condition(operator, "Promoted") == ("True", "Promoted")
    assert operator.settle().requeue == pytest.approx(3600)


def test_after_the_window_the_old_revision_loses_its_name_then_its_pods() -> None:
    operator = promoted()
    operator.wait(3590)
    assert FIRST in operator.world.pods
    operator.wait(60)
    assert operator.world.calls[-2:] == [PointService("canary", SECOND), DeleteRevision(FIRST)]
    assert operator.status.phase == "Stable"
    assert operator.settle().requeue is None


def test_a_revision_is_not_deleted_in_the_pass_that_takes_its_name() -> None:
    operator = promoted()
    operator.world.now += 3601
    operator.run_once()
    operator.world.now += 6
    assert operator.run_once().actions == (PointService("canary", SECOND),)
    assert operator.run_once().actions == (DeleteRevision(FIRST),)


def test_a_promotion_whose_names_have_moved_is_finished_before_the_next_revision_starts() -> None:
    operator = on_trial(ONE_STEP)
    operator.wait(60 + LOADING - 1)
    operator.world.now += 1
    operator.world.propagate()
    while operator.world.services["stable"] != SECOND:
        operator.run_once()
    operator.world.ask(operator.world.spec.model_copy(update={"runtime": spec_of("vllm:3").runtime}))
    operator.settle()
    assert operator.status.history[-1].outcome == "Promoted"
    assert operator.status.stable is not None
    assert operator.status.stable.revision == SECOND
    assert operator.status.phase == "Starting"


def test_without_a_window_the_old_revision_leaves_at_once() -> None:
    operator = on_trial(with_steps({"weight": 50, "for": "1m"}, rollbackWindow="0s"))
    operator.wait(60 + LOADING + 10)
    assert operator.status.phase == "Stable"
    assert set(operator.world.pods) == {SECOND}


def test_the_window_ends_when_somebody_deletes_the_warm_deployment() -> None:
    operator = promoted()
    del operator.world.pods[FIRST]
    operator.wait(1)
    assert operator.status.phase == "Stable"
    assert "WarmLost" in operator.notes


def test_the_old_revisions_pods_are_deleted_when_no_route_can_bring_them_anything_new() -> None:
    """Each of them then goes by itself, once its streams have ended: `serving/scripts/drain.py`."""
    operator = promoted()
    operator.wait(3600 + 4)
    assert FIRST in operator.world.pods
    operator.wait(2)
    assert FIRST not in operator.world.pods


def test_blue_green_by_a_selector_moves_everybody_in_one_write() -> None:
    spec = spec_of(traffic=SERVICE_ONLY, strategy={"blueGreen": {"warmFor": "1m"}})
    operator = installed(spec)
    operator.world.ask(spec.model_copy(update={"runtime": spec_of("vllm:2").runtime}))
    before = len(operator.world.calls)
    operator.wait(LOADING + 59)
    assert operator.world.selects == FIRST
    operator.wait(1)
    assert operator.status.phase == "Watching"
    assert operator.world.calls[before:] == [
        EnsureRevision(SECOND, 4),
        PointService("canary", SECOND),
        SetTraffic(Split(100)),
        PointService("stable", SECOND),
        PointService("canary", FIRST),
    ]
    assert operator.world.selects == SECOND
    progressing = next(each for each in operator.status.conditions if each.type == "Progressing")
    for said in (progressing.message, operator.status.history[-1].message):
        assert f"{SECOND} serves all new connections; {FIRST} stays warm until" in said
        assert "keep a connection open from before stay with it" in said


def test_pods_lost_after_the_names_have_moved_bring_the_old_revision_back() -> None:
    operator = on_trial(ONE_STEP)
    operator.wait(60 + LOADING - 1)
    operator.world.now += 1
    operator.world.propagate()
    while operator.world.services["stable"] != SECOND:
        operator.run_once()
    operator.world.loading = 100_000
    operator.world.kill(SECOND, 4)
    operator.world.propagate()
    operator.wait(40)
    assert operator.world.shares() == {FIRST: 100}
    operator.wait(60)
    assert operator.status.history[-1].reason == "StableLost"


def test_pods_lost_before_the_names_have_moved_send_the_users_back() -> None:
    operator = on_trial(ONE_STEP)
    operator.wait(60 + LOADING - 1)
    operator.world.now += 1
    operator.world.propagate()
    operator.run_once()
    assert operator.world.route == Split(100)
    operator.world.kill(SECOND, 3)
    operator.world.propagate()
    operator.run_once()
    assert operator.world.route == Split()
    operator.wait(LOADING)
    assert operator.status.phase == "Watching", "and promotion goes on when they are back"


def test_history_says_when_a_trial_began_and_when_it_ended() -> None:
    operator = on_trial()
    began = operator.status.started_at
    operator.wait(3600)
    entry = operator.status.history[-1]
    assert began is not None
    assert entry.outcome == "Promoted"
    assert entry.started_at == began
    assert unix(entry.at) > unix(began)
