"""The kill switch: everybody back at once, from wherever the rollout is, and nothing new until it is off."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from modelrollout.api.problem import Problem
from modelrollout.api.status import Status
from modelrollout.rollout.actions import PointNamed, PointService, SetTraffic
from modelrollout.traffic.router import Split
from tests.unit.rollout.reading import command, condition, moves, said
from tests.unit.rollout.test_revert import at_a_step, paused, promoting, starting
from tests.unit.rollout.test_rollback import ONE_STEP, promoted
from tests.unit.rollout.world import LOADING, Operator, World, installed, revision_named, spec_of

FIRST, SECOND, THIRD = (revision_named(f"vllm:{number}") for number in (1, 2, 3))


def unreachable() -> Operator:
    operator = at_a_step()
    operator.world.problem = Problem("SpecNotUnderstood", "spec.strategy is not understood")
    operator.settle()
    return operator


def restarted() -> Operator:
    """The operator dies, somebody annotates, and a successor finds the annotation and the status."""
    operator = at_a_step()
    return Operator(operator.world, operator.status)


FROM: dict[str, tuple[Callable[[], Operator], int]] = {
    "its pods load": (starting, 0),
    "it is at a step": (at_a_step, 1),
    "it is paused": (paused, 1),
    "everybody is on it": (promoting, 1),
    "the spec is not understood": (unreachable, 1),
    "the operator was just restarted": (restarted, 1),
}


@pytest.mark.parametrize("sentence", FROM)
def test_the_first_pass_takes_everybody_back_while(sentence: str) -> None:
    make, writes = FROM[sentence]
    operator = make()
    before = len(moves(operator))
    command(operator, "kill")
    plan = operator.run_once()
    assert operator.world.route == Split()
    if writes:
        assert plan.actions[0] == SetTraffic(Split(), urgent=True), "traffic first"
    assert len(moves(operator)) - before == writes
    operator.world.problem = None
    operator.wait(60)
    assert operator.status.phase == "Killed"
    assert operator.status.history[-1].reason == "Killed"
    assert set(operator.world.pods) == {FIRST}
    assert operator.world.annotations["modelrollout.io/kill"] == "true", "it stays"


def test_inside_the_rollback_window_everybody_goes_back_to_the_warm_revision() -> None:
    operator = promoted()
    command(operator, "kill")
    operator.run_once()
    assert operator.world.shares() == {FIRST: 100}
    operator.wait(60)
    assert (operator.status.phase, operator.status.history[-1].outcome) == ("Killed", "RolledBack")
    assert operator.status.refused_revision == SECOND


def test_a_warm_revision_that_has_lost_its_pods_gets_no_user_before_they_are_back_and_status_says_so() -> (
    None
):
    operator = promoted()
    operator.world.loading = 500
    operator.world.kill(FIRST, 4)
    operator.world.propagate()
    command(operator, "kill")
    operator.settle()
    assert operator.world.shares() == {SECOND: 100}
    assert condition(operator, "Killed") == ("False", "WaitingForStable")
    assert f"0 of 4 pods of {FIRST} are ready" in operator.status.message
    operator.wait(600)
    assert operator.world.shares() == {FIRST: 100}
    assert condition(operator, "Killed") == ("True", "HeldByKill")


def test_where_nothing_is_on_trial_it_only_keeps_the_next_revision_out_and_says_that() -> None:
    operator = installed()
    command(operator, "kill")
    operator.settle()
    assert (operator.status.phase, operator.notes[-1]) == ("Killed", "HeldByKill")
    assert f"Revision {FIRST} serves all users" in operator.status.message
    operator.world.ask(spec_of("vllm:2"))
    operator.wait(3600)
    assert operator.world.created == [FIRST]
    assert f"revision {SECOND} waits" in operator.status.message
    assert condition(operator, "Finished") == ("True", "Killed"), "a pipeline that waits for it goes on"


def test_lifted_the_revision_that_waited_begins() -> None:
    operator = installed()
    command(operator, "kill")
    operator.world.ask(spec_of("vllm:2"))
    operator.settle()
    operator.world.say("kill", None)
    operator.wait(LOADING)
    assert (operator.status.phase, operator.notes[-2:]) == ("Progressing", ["KillLifted", "StepEntered"])
    assert "Killed" not in [each.type for each in operator.status.conditions]


def test_lifted_the_revision_that_was_killed_stays_refused_until_it_is_retried() -> None:
    operator = at_a_step()
    command(operator, "kill")
    operator.wait(60)
    assert condition(operator, "Reverted") == ("True", "Killed")
    assert f"revision {SECOND} stays refused" in operator.status.message
    operator.world.say("kill", None)
    operator.wait(3600)
    assert (operator.status.phase, condition(operator, "Reverted")) == ("Reverted", ("True", "Killed"))
    command(operator, "retry")
    operator.wait(LOADING)
    assert operator.status.phase == "Progressing"


def test_twice_in_a_row_it_works_twice() -> None:
    operator = at_a_step()
    for _ in range(2):
        command(operator, "kill")
        operator.wait(60)
        assert (operator.status.phase, operator.world.route) == ("Killed", Split())
        operator.world.say("kill", None)
        command(operator, "retry")
        operator.wait(LOADING + 60)
        assert operator.status.phase == "Progressing"


def test_a_spec_that_is_changed_while_users_are_on_the_way_back_does_not_begin() -> None:
    operator = at_a_step()
    command(operator, "kill")
    operator.world.ask(spec_of("vllm:3"))
    operator.wait(3600)
    assert (operator.status.phase, operator.world.created) == ("Killed", [FIRST, SECOND])
    operator.world.say("kill", None)
    operator.wait(LOADING)
    assert operator.world.created == [FIRST, SECOND, THIRD]


@pytest.mark.parametrize("order", ["retry", "promote"])
def test_no_order_begins_anything_meanwhile_and_the_answer_says_what_to_take_off(order: str) -> None:
    operator = at_a_step()
    command(operator, "kill")
    operator.wait(60)
    command(operator, order)
    operator.wait(60)
    assert (operator.status.phase, operator.notes[-1]) == ("Killed", "CommandIgnored")
    record = next(each for each in operator.status.commands if each.name == order)
    assert record.state == "Ignored"


def test_the_spec_that_serves_takes_the_refusal_off_and_the_switch_stays_on() -> None:
    operator = at_a_step()
    command(operator, "kill")
    operator.wait(60)
    operator.world.ask(spec_of("vllm:1"))
    operator.wait(60)
    assert (operator.status.phase, operator.status.refused_revision) == ("Killed", None)
    writes = operator.writes
    operator.wait(3600)
    assert operator.writes == writes, "at rest nothing is written"
    operator.world.say("kill", None)
    operator.settle()
    assert operator.status.phase == "Stable"


def test_a_first_revision_gets_its_pods_and_no_users_until_the_switch_is_off() -> None:
    operator = Operator(World(spec_of()))
    command(operator, "kill")
    operator.wait(3600)
    assert operator.world.ready(FIRST) == 4
    assert not [act for act in operator.world.calls if isinstance(act, SetTraffic | PointNamed)]
    assert (operator.status.phase, condition(operator, "Killed")) == (
        "Installing",
        ("True", "InstallHeldByKill"),
    )
    assert "gets no users" in said(operator, "Killed")
    operator.world.say("kill", None)
    operator.wait(60)
    assert operator.status.phase == "Stable"


def test_a_service_that_was_handed_over_keeps_its_pods_while_the_first_revision_is_killed() -> None:
    operator = Operator(World(spec_of(), services={"stable": None}))
    command(operator, "kill")
    operator.wait(3600)
    assert PointService("stable", FIRST) not in operator.world.calls
    operator.world.say("kill", None)
    operator.wait(60)
    assert operator.status.phase == "Stable"


def test_a_lost_status_does_not_make_the_revision_that_serves_a_new_one() -> None:
    operator = installed()
    command(operator, "kill")
    operator.status = Status()
    operator.wait(60)
    assert (operator.status.phase, operator.world.shares()) == ("Killed", {FIRST: 100})


@pytest.mark.parametrize("value", ["true", "TRUE", "yes", "1", "INC-7: it insults people", "true # INC-7"])
def test_whatever_is_written_in_an_emergency_kills(value: str) -> None:
    operator = at_a_step()
    command(operator, "kill", value)
    operator.settle()
    assert operator.status.phase == "Killed"
    assert f"modelrollout.io/kill={value}" in operator.status.message


@pytest.mark.parametrize("value", ["false", "False", "no", "off", "0", " ", "false # over"])
def test_what_plainly_says_no_does_not(value: str) -> None:
    operator = at_a_step()
    command(operator, "kill", value)
    operator.settle()
    assert operator.status.phase == "Progressing"


def test_status_names_who_switched_it_on() -> None:
    operator = promoted(ONE_STEP)
    command(operator, "kill")
    operator.settle()
    record = operator.status.commands[0]
    assert (record.name, record.value, record.by) == (
        "kill",
        "true",
        operator.world.authors["modelrollout.io/kill"].manager,
    )
    operator.world.say("kill", None)
    operator.settle()
    assert not operator.status.commands
