"""An order acts each time it is said, once for each time, and is then taken off the object."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from modelrollout.api.problem import Problem
from modelrollout.api.status import CommandStatus, Status
from modelrollout.rollout.actions import TakeOff
from modelrollout.rollout.changes import but
from modelrollout.rollout.decide import decide
from modelrollout.rollout.model import Author
from modelrollout.traffic.router import Split
from tests.unit.rollout.reading import command
from tests.unit.rollout.world import LOADING, Operator, World, installed, on_trial, revision_named, with_steps

FIRST, SECOND, THIRD = (revision_named(f"vllm:{number}") for number in (1, 2, 3))
ONE_STEP = with_steps({"weight": 50, "for": "1h"})
LAST = "modelrollout.io/last-order"


def on_the_object(operator: Operator) -> set[str]:
    """Commands that stand on the object."""
    return {name.rpartition("/")[2] for name in operator.world.annotations if name != LAST}


# ── the kill switch, twice in a row, from every phase ──


def _invalid() -> Operator:
    operator = Operator(World(ONE_STEP, problem=Problem("ServiceNotFound", "There is no Service chat")))
    operator.settle()
    return operator


def _installing() -> Operator:
    operator = Operator(World(ONE_STEP))
    operator.settle()
    return operator


def _starting() -> Operator:
    operator = installed(ONE_STEP)
    operator.world.ask(with_steps({"weight": 50, "for": "1h"}, image="vllm:2"))
    operator.settle()
    return operator


def _paused() -> Operator:
    operator = on_trial(ONE_STEP)
    command(operator, "pause")
    operator.settle()
    return operator


def _promoting() -> Operator:
    operator = on_trial(ONE_STEP)
    command(operator, "promote", "full")
    operator.settle()
    return operator


def _watching() -> Operator:
    operator = on_trial(ONE_STEP)
    command(operator, "promote", "full")
    operator.wait(2 * LOADING)
    return operator


def _reverting() -> Operator:
    operator = on_trial(ONE_STEP)
    operator.world.settled = False
    operator.world.judge("Fail")
    command(operator, "abort", SECOND)
    operator.settle()
    return operator


def _reverted() -> Operator:
    operator = on_trial(ONE_STEP)
    command(operator, "abort")
    operator.wait(60)
    return operator


PHASES: dict[str, Callable[[], Operator]] = {
    "Invalid": _invalid,
    "Installing": _installing,
    "Stable": lambda: installed(ONE_STEP),
    "Starting": _starting,
    "Progressing": lambda: on_trial(ONE_STEP),
    "Paused": _paused,
    "Promoting": _promoting,
    "Watching": _watching,
    "Reverting": _reverting,
    "Reverted": _reverted,
}


def _killed(operator: Operator) -> None:
    """Whatever was on trial has no users, and the order is off the object."""
    operator.settle()
    assert "abort" not in on_the_object(operator)
    operator.world.settled = True
    operator.wait(60)
    assert operator.status.canary is None
    assert operator.status.previous is None
    if operator.status.stable is not None and operator.status.phase != "Installing":
        assert operator.world.shares() == {FIRST: 100}


@pytest.mark.parametrize("phase", PHASES)
def test_the_kill_switch_works_twice_in_a_row_with_the_same_words(phase: str) -> None:
    operator = PHASES[phase]()
    assert operator.status.phase == phase, operator.status.message
    command(operator, "abort")
    _killed(operator)
    operator.world.problem = None
    operator.world.say("pause", None) if "pause" in on_the_object(operator) else None
    operator.wait(LOADING)
    if operator.status.phase != "Reverted":
        operator.world.ask(with_steps({"weight": 50, "for": "1h"}, image="vllm:2"))
    else:
        command(operator, "retry")
    operator.wait(LOADING)
    assert (operator.status.phase, operator.world.route) == ("Progressing", Split(50))
    command(operator, "abort")
    _killed(operator)
    assert operator.status.phase == "Reverted"


# ── the other orders ──


def test_promote_step_passes_one_step_each_time_it_is_said() -> None:
    operator = on_trial(with_steps({"weight": 5}, {"pause": {}}, {"weight": 50}, {"pause": {}}))
    for expected in ("2/5", "4/5"):
        assert operator.status.step is not None
        assert operator.status.step.progress == expected
        command(operator, "promote", "step")
        operator.wait(LOADING)
        assert on_the_object(operator) == set()
    assert operator.status.phase == "Watching"


def test_retry_and_rollback_act_each_time_they_are_said() -> None:
    operator = on_trial(ONE_STEP)
    for _ in range(2):
        command(operator, "promote", "full")
        operator.wait(2 * LOADING)
        assert operator.status.phase == "Watching"
        command(operator, "rollback")
        operator.wait(60)
        assert operator.status.phase == "Reverted"
        command(operator, "retry")
        operator.wait(LOADING)
        assert operator.status.phase == "Progressing"


@pytest.mark.parametrize(
    ("name", "value"), [("promote", "all"), ("abort", "yes"), ("rollback", "true"), ("retry", "true")]
)
def test_an_order_that_is_refused_is_taken_off_and_said_again_it_is_refused_again(
    name: str, value: str
) -> None:
    operator = installed()
    for times in (1, 2):
        command(operator, name, value)
        operator.settle()
        assert on_the_object(operator) == set()
        assert operator.notes.count("CommandIgnored") == times


def test_pause_stays_while_it_is_there() -> None:
    operator = on_trial()
    command(operator, "pause")
    operator.wait(7200)
    assert on_the_object(operator) == {"pause"}
    assert operator.status.phase == "Paused"


def test_an_order_that_names_a_revision_waits_on_the_object_for_it() -> None:
    operator = on_trial(ONE_STEP)
    command(operator, "abort", THIRD)
    operator.wait(60)
    assert on_the_object(operator) == {"abort"}
    operator.world.ask(with_steps({"weight": 50, "for": "1h"}, image="vllm:3"))
    operator.wait(LOADING)
    assert operator.status.refused_revision == THIRD
    assert on_the_object(operator) == set()


def test_an_order_whose_moment_has_gone_by_is_refused_and_does_not_wait_for_the_next() -> None:
    operator = on_trial(with_steps({"weight": 5, "for": "10m"}, {"weight": 50, "for": "10m"}))
    command(operator, "pause")
    operator.settle()
    command(operator, "promote", "step")
    operator.settle()
    assert on_the_object(operator) == {"pause", "promote"}, "it is held by the pause"
    operator.world.ask(with_steps({"weight": 5, "for": "10m"}, image="vllm:3"))
    operator.wait(LOADING)
    assert on_the_object(operator) == set()
    assert {"CommandIgnored", "PauseOver"} <= set(operator.notes)
    assert operator.status.step is not None
    assert operator.status.step.index == 0


# ── nothing is lost and nothing is done twice ──


def test_a_new_value_said_while_the_old_one_is_taken_off_is_not_lost() -> None:
    operator = on_trial(ONE_STEP)
    command(operator, "promote", "nonsense")
    plan = operator.decided()
    operator.status = plan.status
    command(operator, "promote", "full")
    for action in plan.actions:
        operator.world.apply(action)
    operator.wait(2 * LOADING)
    assert operator.status.phase == "Watching"


def test_the_same_words_said_right_after_they_were_taken_off_are_a_new_order_also_for_a_successor() -> None:
    """The operator dies after the patch, before it has seen that the order is off."""
    operator = on_trial(with_steps({"weight": 5}, {"pause": {}}, {"pause": {}}, {"weight": 50, "for": "1h"}))
    command(operator, "promote", "step")
    operator.run_once()
    assert on_the_object(operator) == set()
    command(operator, "promote", "step")
    operator.wait(LOADING)
    assert operator.status.step is not None
    assert operator.status.step.progress == "4/5"


def test_without_the_mark_an_order_known_to_be_off_is_still_a_new_one() -> None:
    """Whoever replaces the whole object takes our mark away too."""
    operator = _reverted()
    command(operator, "retry")
    operator.wait(LOADING)
    operator.world.annotations.clear()
    command(operator, "abort")
    operator.wait(60)
    assert operator.status.phase == "Reverted"


@pytest.mark.parametrize("state", ["Done", "Ignored"])
def test_an_order_that_an_older_version_has_done_and_left_is_taken_off_and_not_done_again(state: str) -> None:
    operator = on_trial(ONE_STEP)
    command(operator, "abort")
    old = {"name": "abort", "value": "true", "revision": SECOND, "state": state, "at": "2026-11-21T09:00:00Z"}
    operator.status = but(operator.status, commands=[CommandStatus.model_validate(old)])
    operator.settle()
    assert on_the_object(operator) == set()
    assert operator.status.phase == "Progressing"
    command(operator, "abort")
    operator.wait(60)
    assert operator.status.phase == "Reverted"


def test_an_order_is_taken_off_before_what_the_api_server_may_refuse() -> None:
    operator = on_trial(ONE_STEP)
    operator.world.scale(2)
    command(operator, "abort")
    plan = operator.run_once()
    kinds = [type(action).__name__ for action in plan.actions]
    assert kinds[:2] == ["SetTraffic", "TakeOff"]
    assert len(kinds) > 2


def test_a_rollout_that_is_being_deleted_takes_no_orders() -> None:
    world = World(ONE_STEP, deleting=True)
    world.say("abort")
    assert decide(world.spec, Status(), world.observe(), world.now).actions == ()


# ── a tool that writes it back ──

GIT = Author("gitops", applies=True)
PROGRAM = Author("dashboard")


def insist(operator: Operator, author: Author, times: int, every: float = 5.0) -> None:
    for _ in range(times):
        operator.world.say("abort", author=author)
        operator.settle()
        operator.wait(every)


@pytest.mark.parametrize("author", [GIT, PROGRAM], ids=["applied", "written"])
def test_who_keeps_writing_an_order_back_is_named_once_and_then_ignored(author: Author) -> None:
    operator = installed(ONE_STEP)
    insist(operator, author, 12)
    assert operator.notes.count("CommandRepeated") == 1
    note = next(each for plan in operator.plans for each in plan.notes if each.reason == "CommandRepeated")
    assert note.warning
    assert author.manager in note.message
    operator.world.ask(with_steps({"weight": 50, "for": "1h"}, image="vllm:2"))
    for _ in range(6):
        insist(operator, author, 1, every=20)
    assert operator.status.phase == "Progressing", "the next rollout is not aborted by it"
    operator.wait(20)
    operator.world.say("abort")
    operator.wait(60)
    assert operator.status.phase == "Reverted", "a person is heard"


def test_a_person_who_names_the_revision_is_heard_while_the_tools_order_is_on_the_object() -> None:
    operator = installed(ONE_STEP)
    insist(operator, GIT, 4)
    operator.world.ask(with_steps({"weight": 50, "for": "1h"}, image="vllm:2"))
    operator.wait(LOADING)
    operator.world.say("abort", author=GIT)
    operator.settle()
    assert on_the_object(operator) == {"abort"}
    command(operator, "abort", SECOND)
    operator.wait(60)
    assert operator.status.phase == "Reverted"


def test_an_order_that_is_always_written_back_costs_one_patch_in_ten_seconds() -> None:
    operator = installed(ONE_STEP)
    insist(operator, GIT, 60, every=1)
    patches = [call for call in operator.world.calls if isinstance(call, TakeOff)]
    assert len(patches) < 10


def test_people_may_say_an_order_as_often_as_they_like() -> None:
    steps = [{"pause": {}} for _ in range(12)]
    operator = on_trial(with_steps(*steps, {"weight": 50}))
    for _ in range(12):
        command(operator, "promote", "step")
        operator.settle()
    operator.wait(2 * LOADING)
    assert operator.status.phase == "Watching"
    assert "CommandRepeated" not in operator.notes


def test_a_program_that_says_other_orders_in_between_speaks_for_people() -> None:
    operator = on_trial(ONE_STEP)
    for _ in range(8):
        operator.world.say("abort", author=PROGRAM)
        operator.wait(5)
        operator.world.say("retry", author=PROGRAM)
        operator.wait(5)
        assert operator.status.phase in {"Starting", "Progressing"}
    assert "CommandRepeated" not in operator.notes


# ── what is no command ──

MISSPELT = {
    "modelrollout.io/abbort": "modelrollout.io/abort",
    "modelrollout.io/Abort": "modelrollout.io/abort",
    "modelrollout.io/promte": "modelrollout.io/promote",
    "modelrollout.io/roll-back": "modelrollout.io/rollback",
    "modelrolout.io/abort": "modelrollout.io/abort",
    "abort": "modelrollout.io/abort",
    "modelrollout.io/kil": "modelrollout.io/kill",
    "kill": "modelrollout.io/kill",
    "modelrollout.io/unkill": "take the annotation modelrollout.io/kill off",
    "modelrollout.io/resume": "take the annotation modelrollout.io/pause off",
    "modelrollout.io/stop": "kill, pause, abort, rollback, promote, retry",
}


@pytest.mark.parametrize("annotation", MISSPELT)
def test_a_misspelt_command_is_a_warning_at_once_and_once_and_names_what_was_meant(annotation: str) -> None:
    operator = on_trial(ONE_STEP)
    operator.world.annotations[annotation] = "true"
    plan = operator.run_once()
    note = next(each for each in plan.notes if each.reason == "CommandUnknown")
    assert note.warning
    assert annotation in note.message
    assert MISSPELT[annotation] in note.message
    operator.wait(600)
    assert operator.notes.count("CommandUnknown") == 1
    assert annotation in operator.world.annotations, "it is not ours to take off"


@pytest.mark.parametrize(
    "annotation", ["team", "example.com/abort", "kubectl.kubernetes.io/last-applied-configuration", LAST]
)
def test_annotations_of_others_and_our_own_are_no_commands(annotation: str) -> None:
    operator = on_trial(ONE_STEP)
    operator.world.annotations[annotation] = "true"
    operator.wait(60)
    assert "CommandUnknown" not in operator.notes


def test_what_an_annotation_says_cannot_move_a_terminals_cursor_or_forge_a_line() -> None:
    operator = on_trial(ONE_STEP)
    command(operator, "promote", "\x1b[31mred\x1b[0m\r\nfake\u202e")
    operator.world.annotations["modelrollout.io/\x1bx"] = "true"
    plan = operator.run_once()
    said = " ".join(note.message for note in plan.notes)
    assert "\\x1b[31mred" in said
    assert said.isprintable()
    assert operator.status.commands[0].value.isprintable()
    operator.settle()
    assert "promote" not in on_the_object(operator), "the patch tests the value as it was written"
