"""A new revision on trial, and what changes of the spec do to it."""

from __future__ import annotations

from modelrollout.rollout.actions import DeleteRevision, EnsureRevision, PointService, Scale, SetTraffic
from modelrollout.traffic.router import Split
from tests.unit.rollout.reading import command, condition, weights
from tests.unit.rollout.world import LOADING, installed, on_trial, revision_named, spec_of, with_steps

FIRST, SECOND, THIRD = (revision_named(f"vllm:{number}") for number in (1, 2, 3))


def test_the_canary_loads_only_the_pods_of_its_first_step_and_stable_keeps_all_of_its_own() -> None:
    operator = installed()
    operator.world.ask(spec_of("vllm:2"))
    plan = operator.run_once()
    assert plan.actions == (EnsureRevision(SECOND, 1),)
    assert operator.status.phase == "Starting"
    assert operator.world.pods[FIRST].wanted == 4


def test_capacity_comes_before_traffic() -> None:
    operator = installed()
    operator.world.ask(spec_of("vllm:2"))
    operator.wait(LOADING - 1)
    assert operator.world.services["canary"] == FIRST, "the canary's Service always has living pods"
    assert weights(operator) == [0]
    operator.world.now += 1
    assert operator.run_once().actions == (PointService("canary", SECOND),)
    assert operator.run_once().actions == (), "nothing is sent to pods that the Service does not list yet"
    operator.world.propagate()
    assert operator.run_once().actions == (SetTraffic(Split(5)),)


def test_a_new_revision_in_mid_rollout_first_takes_the_weight_to_0_and_starts_over_against_stable() -> None:
    operator = on_trial()
    operator.wait(700)
    assert operator.world.route == Split(25)
    operator.world.ask(spec_of("vllm:3"))
    first = operator.run_once()
    assert first.actions[0] == SetTraffic(Split(), urgent=True)
    operator.wait(LOADING)
    status = operator.status
    assert (status.stable and status.stable.revision, status.canary and status.canary.revision) == (
        FIRST,
        THIRD,
    )
    assert status.step is not None
    assert status.step.index == 0
    assert status.history[-1].outcome == "Superseded"
    assert SECOND not in operator.world.pods
    operator.wait(3 * 3600)
    assert operator.status.phase == "Stable"
    assert operator.world.services["stable"] == THIRD


def test_a_revision_superseded_before_it_had_traffic_starts_over_in_the_same_pass() -> None:
    operator = installed()
    operator.world.ask(spec_of("vllm:2"))
    operator.run_once()
    operator.world.ask(spec_of("vllm:3"))
    assert EnsureRevision(THIRD, 1) in operator.run_once().actions


def test_back_to_the_stable_revision_in_mid_rollout_is_a_revert_and_nothing_is_refused() -> None:
    operator = on_trial()
    operator.wait(700)
    operator.world.ask(spec_of())
    operator.wait(60)
    assert operator.status.phase == "Stable"
    assert operator.status.refused_revision is None
    assert operator.status.history[-1].outcome == "Superseded"
    assert set(operator.world.pods) == {FIRST}


def test_an_aborted_revision_does_not_start_again_by_itself() -> None:
    operator = on_trial()
    command(operator, "abort")
    operator.wait(24 * 3600)
    assert operator.status.phase == "Reverted"
    assert operator.status.refused_revision == SECOND
    assert operator.world.created.count(SECOND) == 1
    operator.world.scale(5)
    operator.wait(3600)
    assert operator.status.phase == "Reverted", "a new generation is no new revision"


def test_an_aborted_revision_starts_again_when_a_person_says_so() -> None:
    operator = on_trial()
    command(operator, "abort")
    operator.wait(60)
    command(operator, "retry")
    operator.wait(LOADING)
    assert operator.status.phase == "Progressing", "and the old abort does not hit it again"
    command(operator, "abort")
    operator.wait(60)
    assert operator.status.phase == "Reverted", "but a new one does"


def test_an_aborted_revision_may_come_again_after_another_revision_was_asked_for() -> None:
    operator = on_trial()
    command(operator, "abort")
    operator.wait(60)
    operator.world.ask(spec_of())
    operator.wait(60)
    assert operator.status.phase == "Stable"
    operator.world.ask(spec_of("vllm:2"))
    operator.wait(LOADING)
    assert operator.status.phase == "Progressing"


def test_a_new_revision_after_a_revert_starts_at_once() -> None:
    operator = on_trial()
    command(operator, "abort")
    operator.wait(60)
    operator.world.ask(spec_of("vllm:3"))
    operator.wait(LOADING)
    assert operator.status.phase == "Progressing", "the abort was for the one before"


def test_a_pause_for_another_revision_that_is_still_there_is_said_to_do_nothing() -> None:
    operator = on_trial()
    command(operator, "pause", SECOND)
    operator.settle()
    operator.world.ask(spec_of("vllm:3"))
    operator.wait(LOADING)
    assert operator.status.phase == "Progressing"
    assert operator.notes.count("CommandStale") == 1


def test_a_new_revision_in_the_rollback_window_takes_the_place_of_the_warm_one() -> None:
    operator = on_trial()
    operator.wait(3600)
    assert operator.status.phase == "Watching"
    operator.world.ask(spec_of("vllm:3"))
    operator.wait(LOADING)
    assert operator.status.phase == "Progressing"
    assert set(operator.world.pods) == {SECOND, THIRD}


def test_later_steps_may_be_edited_in_mid_rollout() -> None:
    operator = on_trial(with_steps({"weight": 5, "for": "10m"}, {"weight": 50, "for": "10m"}))
    started = operator.status.step and operator.status.step.started_at
    operator.world.ask(with_steps({"weight": 5, "for": "10m"}, {"weight": 20, "for": "1h"}, image="vllm:2"))
    operator.settle()
    assert operator.status.step is not None
    assert operator.status.step.started_at == started
    assert [step.weight for step in operator.status.plan] == [5, 20, 100]


def test_an_edit_of_the_step_in_progress_starts_the_plan_again_and_never_jumps_ahead() -> None:
    operator = on_trial()
    operator.wait(1300)
    assert operator.world.route == Split(50)
    operator.world.ask(with_steps({"weight": 10, "for": "1h"}, {"weight": 80, "for": "1h"}, image="vllm:2"))
    operator.settle()
    assert operator.world.route == Split(10)
    assert operator.status.step is not None
    assert operator.status.step.progress == "1/3"
    assert operator.status.phase == "Progressing"


def test_replicas_go_to_stable_and_canary_at_once() -> None:
    operator = on_trial()
    operator.wait(700)
    operator.world.scale(12)
    assert operator.run_once().actions == (Scale(FIRST, 12), Scale(SECOND, 3))
    operator.wait(LOADING)
    operator.world.scale(4)
    assert operator.run_once().actions == (Scale(FIRST, 4), Scale(SECOND, 1))


def test_growing_in_mid_step_is_no_loss_of_pods() -> None:
    """An autoscaler must not restart the step each time it adds a pod."""
    operator = on_trial()
    operator.wait(1400)
    assert operator.world.route == Split(50)
    before = operator.status.step
    operator.world.scale(12)
    operator.wait(LOADING - 1)
    assert operator.status.step == before
    assert operator.world.route == Split(50)


def test_a_warm_revision_whose_traffic_has_ended_is_drained_before_it_is_deleted() -> None:
    operator = on_trial()
    operator.wait(700)
    operator.world.ask(spec_of("vllm:3"))
    operator.wait(4)
    assert SECOND in operator.world.pods
    operator.wait(2)
    assert DeleteRevision(SECOND) in operator.world.calls


def test_the_conditions_of_a_trial_tell_a_waiting_person_that_it_is_not_over() -> None:
    operator = installed()
    operator.world.ask(spec_of("vllm:2"))
    operator.run_once()
    assert condition(operator, "Promoted") == ("False", "Starting")
    assert condition(operator, "Reverted")[0] == "False"
    assert condition(operator, "Progressing")[0] == "True"
