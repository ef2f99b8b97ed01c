"""The way back: every reason for it, its order, and its limits."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from modelrollout.api.problem import Problem
from modelrollout.rollout.actions import RestoreRevision, Scale, SetTraffic
from modelrollout.rollout.model import Trouble
from modelrollout.traffic.router import Split
from tests.unit.rollout.reading import command, condition, moves, said, weights
from tests.unit.rollout.world import (
    LOADING,
    METRICS,
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
JUDGED = spec_of(analysis=METRICS)
ONE_STEP = with_steps({"weight": 50, "for": "1m"})
SELECTOR = spec_of(traffic=SERVICE_ONLY, strategy={"blueGreen": {}})


def starting() -> Operator:
    operator = installed()
    operator.world.ask(spec_of("vllm:2"))
    operator.wait(10)
    return operator


def at_a_step() -> Operator:
    operator = on_trial()
    operator.wait(700)
    return operator


def paused() -> Operator:
    operator = at_a_step()
    command(operator, "pause")
    operator.settle()
    return operator


def promoting() -> Operator:
    operator = on_trial(ONE_STEP)
    operator.wait(60 + LOADING - 1)
    operator.world.now += 1
    operator.world.propagate()
    operator.run_once()
    assert operator.world.route == Split(100)
    return operator


# ── abort ──

ABORTED: dict[str, tuple[Callable[[], Operator], int]] = {
    "while its pods load, nothing is to be written": (starting, 0),
    "at a step, one route write": (at_a_step, 1),
    "while paused, one route write": (paused, 1),
    "while everybody is on it, one route write": (promoting, 1),
}


@pytest.mark.parametrize("sentence", ABORTED)
def test_abort_takes_every_user_back_in_its_first_pass(sentence: str) -> None:
    make, writes = ABORTED[sentence]
    operator = make()
    before = len(moves(operator))
    command(operator, "abort")
    plan = operator.run_once()
    assert len(moves(operator)) - before == writes
    assert operator.world.route == Split()
    if writes:
        assert plan.actions[0] == SetTraffic(Split(), urgent=True), "traffic first"
    operator.wait(60)
    assert operator.status.phase == "Reverted"
    assert operator.status.history[-1].outcome == "Aborted"
    assert operator.status.refused_revision == SECOND
    assert set(operator.world.pods) == {FIRST}
    assert len(moves(operator)) - before == writes


def test_abort_is_acknowledged_and_acts_once() -> None:
    operator = at_a_step()
    command(operator, "abort")
    operator.settle()
    record = operator.status.commands[0]
    assert (record.name, record.value, record.revision, record.state) == ("abort", "true", SECOND, "Done")
    assert operator.world.annotations == {"modelrollout.io/last-order": "abort=true 1"}


def test_abort_for_another_revision_does_nothing() -> None:
    operator = at_a_step()
    command(operator, "abort", FIRST)
    operator.wait(100)
    assert operator.status.phase == "Progressing"


def test_abort_does_not_wait_for_a_problem_to_be_solved() -> None:
    operator = at_a_step()
    operator.world.problem = Problem("Unreachable", "Prometheus does not answer")
    operator.settle()
    command(operator, "abort")
    operator.settle()
    assert operator.world.route == Split()
    assert operator.status.phase == "Reverted"


def test_abort_of_the_first_revision_gets_the_answer_that_there_is_nothing_to_go_back_to() -> None:
    operator = installed()
    command(operator, "abort")
    operator.settle()
    assert operator.notes[-1] == "CommandIgnored"
    operator.world.ask(spec_of("vllm:2"))
    operator.wait(LOADING)
    assert operator.status.phase == "Progressing", "and it does not hit the next"


# ── fail ──


def test_a_fail_reverts_at_any_step_before_its_time_is_over() -> None:
    operator = on_trial(JUDGED)
    operator.wait(60)
    operator.world.judge("Fail", "errors: 9 % against 0.5 %")
    plan = operator.run_once()
    assert plan.actions[0] == SetTraffic(Split(), urgent=True)
    operator.wait(60)
    assert operator.status.phase == "Reverted"
    assert "9 % against 0.5 %" in operator.status.message
    assert operator.status.history[-1].outcome == "Reverted"


def test_a_fail_of_an_earlier_rollout_does_not_hit_this_one() -> None:
    operator = installed(JUDGED)
    operator.world.judge("Fail")
    operator.world.now += 10
    operator.world.ask(JUDGED.model_copy(update={"runtime": spec_of("vllm:2").runtime}))
    operator.wait(LOADING + 100)
    assert operator.status.phase == "Progressing"


def test_a_fail_reverts_while_a_problem_holds_everything_else() -> None:
    operator = on_trial(JUDGED)
    operator.wait(60)
    operator.world.problem = Problem("Unknown", "the edited spec names a metric that no pack has")
    operator.settle()
    operator.world.judge("Fail")
    operator.wait(60)
    assert operator.world.route == Split()
    assert operator.status.phase == "Reverted"


# ── never ready ──


def test_loading_is_progress_until_the_startup_deadline() -> None:
    operator = installed()
    operator.world.loading = 100_000
    operator.world.ask(spec_of("vllm:2"))
    operator.wait(1799)
    assert operator.status.phase == "Starting"
    operator.wait(1)
    operator.wait(10)
    assert operator.status.phase == "Reverted"
    assert operator.status.history[-1].reason == "StartupDeadlineExceeded"
    assert set(operator.world.pods) == {FIRST}


def test_what_keeps_pods_from_being_ready_is_said_while_it_lasts_and_at_the_end() -> None:
    operator = installed()
    operator.world.loading = 100_000
    operator.world.trouble = Trouble("ImagePullBackOff", "the image vllm:2 does not exist")
    operator.world.ask(spec_of("vllm:2"))
    operator.wait(60)
    assert condition(operator, "Progressing") == ("True", "ImagePullBackOff")
    assert "the image vllm:2 does not exist" in operator.status.message
    assert operator.notes.count("ImagePullBackOff") == 1
    operator.wait(1800)
    assert "the image vllm:2 does not exist" in operator.status.message
    assert operator.status.phase == "Reverted"


def test_pods_for_a_later_step_have_a_deadline_of_their_own() -> None:
    operator = on_trial()
    operator.world.loading = 100_000
    operator.wait(1200 + 1799)
    assert operator.world.route == Split(25)
    operator.wait(10)
    assert operator.status.history[-1].reason == "StartupDeadlineExceeded"
    assert operator.world.route == Split()


# ── capacity on the way back ──


def short_of_stable(lost: int = 3) -> Operator:
    """Half of the users are on the canary when stable has lost three of its four pods."""
    operator = at_a_step()
    operator.wait(600 + LOADING)
    assert operator.world.route == Split(50)
    operator.world.kill(FIRST, lost)
    operator.world.propagate()
    return operator


def test_stable_gets_no_more_than_its_pods_carry() -> None:
    operator = short_of_stable()
    command(operator, "abort")
    operator.run_once()
    assert operator.world.route == Split(50), "one pod of four carries a quarter, and has half already"
    assert "1 of 4 pods" in operator.status.message


def test_on_the_way_back_the_share_of_the_bad_revision_never_rises_whoever_writes() -> None:
    operator = short_of_stable(lost=2)
    command(operator, "abort")
    operator.run_once()
    operator.world.drift(Split(80))
    operator.run_once()
    assert operator.world.route == Split(50)
    operator.world.drift(Split(20))
    operator.run_once()
    assert operator.world.route == Split(20), "less is welcome, whoever wrote it"
    operator.world.drift(Split(80))
    operator.run_once()
    assert operator.world.route == Split(50), "and then again what stable carries"


def test_users_go_back_by_degrees_as_stable_gets_its_pods() -> None:
    operator = short_of_stable()
    before = len(moves(operator))
    command(operator, "abort")
    pods = operator.world.pods[FIRST]
    start = operator.world.now
    pods.ready_at = [0.0, start + 10, start + 20, start + 30]
    operator.world.propagate()
    operator.wait(40)
    assert weights(operator)[before:] == [0], "three of four are enough on the way back"
    assert operator.status.phase == "Reverted"


def test_a_large_stable_takes_users_back_as_each_of_its_pods_gets_ready() -> None:
    operator = on_trial(with_steps({"weight": 90, "for": "1h"}, replicas=10))
    start = operator.world.now
    operator.world.pods[FIRST].ready_at = [start + 10 * number for number in range(10)]
    operator.world.propagate()
    command(operator, "abort")
    before = len(moves(operator))
    operator.wait(120)
    found = weights(operator)[before:]
    assert found == [80, 70, 60, 50, 40, 30, 0]
    assert operator.status.phase == "Reverted"


def test_if_the_canary_has_no_pods_stable_gets_everybody_whatever_it_has() -> None:
    operator = short_of_stable()
    operator.world.kill(SECOND, 4)
    operator.world.propagate()
    command(operator, "abort")
    operator.run_once()
    assert operator.world.route == Split(), "less bad than no answer"


def test_a_stable_that_was_shrunk_is_grown_first() -> None:
    operator = at_a_step()
    operator.world.pods[FIRST].wanted = 1
    operator.world.kill(FIRST, 0)
    operator.world.pods[FIRST].ready_at = [0.0]
    operator.world.propagate()
    command(operator, "abort")
    assert Scale(FIRST, 4) in operator.run_once().actions
    operator.wait(2 * LOADING)
    assert operator.status.phase == "Reverted"


# ── the rest of the way ──


def test_copies_and_matches_end_at_once() -> None:
    operator = on_trial(with_steps({"match": [{"header": "x-beta", "value": "yes"}], "for": "1h"}))
    assert operator.world.route is not None
    assert operator.world.route.matches
    command(operator, "abort")
    operator.run_once()
    assert operator.world.route == Split()


def test_the_canary_drains_before_it_is_removed() -> None:
    operator = at_a_step()
    command(operator, "abort")
    operator.wait(4)
    assert operator.status.phase == "Reverted"
    assert SECOND in operator.world.pods
    assert operator.world.services["canary"] == SECOND, "what is under way finds its endpoints"
    operator.wait(2)
    assert SECOND not in operator.world.pods


def test_a_revert_is_not_over_before_the_gateway_has_taken_it() -> None:
    operator = at_a_step()
    operator.world.settled = False
    command(operator, "abort")
    operator.wait(100)
    assert operator.world.route == Split()
    assert operator.status.phase == "Reverting"
    assert "the gateway has not taken it yet" in operator.status.message
    operator.world.settled = True
    operator.wait(60)
    assert operator.status.phase == "Reverted"


def test_kubectl_wait_for_reverted_is_met_and_tells_why() -> None:
    operator = at_a_step()
    command(operator, "abort")
    operator.wait(60)
    assert condition(operator, "Reverted") == ("True", "Aborted")
    assert "modelrollout.io/abort" in said(operator, "Reverted")


def test_a_stable_deployment_that_somebody_deletes_in_mid_rollout_is_made_again() -> None:
    operator = on_trial()
    del operator.world.pods[FIRST]
    assert RestoreRevision(FIRST, 4) in operator.run_once().actions
    operator.wait(LOADING)
    assert operator.world.ready(FIRST) == 4


def test_an_abort_without_the_stable_deployment_brings_it_back_and_then_the_users() -> None:
    operator = on_trial()
    del operator.world.pods[FIRST]
    command(operator, "abort")
    operator.wait(2 * LOADING)
    assert operator.status.phase == "Reverted"
    assert operator.world.ready(FIRST) == 4


# ── what the API server will not have ──

REFUSAL = Problem("RevisionRefused", "The API server answered 422 to create deployments: quantity one")


def test_a_revision_that_the_api_server_refuses_is_sent_back_at_once_with_its_reason() -> None:
    operator = installed()
    operator.world.ask(spec_of("vllm:2"))
    operator.status = operator.decided().status
    operator.world.unmade, operator.world.setback = SECOND, REFUSAL
    operator.run_once()
    operator.world.unmade = operator.world.setback = None
    operator.settle()
    assert operator.status.phase == "Reverted"
    assert operator.status.refused_revision == SECOND
    assert REFUSAL.message in operator.status.message
    assert condition(operator, "Reverted") == ("True", "RevisionRefused")
    assert condition(operator, "Finished") == ("True", "Reverted")


def test_a_first_revision_that_the_api_server_refuses_is_said_to_be_impossible() -> None:
    operator = Operator(World(spec_of()))
    operator.status = operator.decided().status
    operator.world.unmade, operator.world.setback = FIRST, REFUSAL
    operator.run_once()
    assert operator.status.message == REFUSAL.message
    assert condition(operator, "Finished") == ("True", "Invalid")
    assert condition(operator, "Stalled") == ("True", "RevisionRefused")
