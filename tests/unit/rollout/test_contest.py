"""Steps that end by which revision is better: experiments and bandits."""

from __future__ import annotations

from typing import Any

import pytest

from modelrollout.api.contest import ContestStatus
from modelrollout.api.spec import Spec
from modelrollout.api.strategy import Step
from modelrollout.rollout import steps
from modelrollout.traffic.router import Split
from tests.unit.rollout.reading import command, condition, said, weights
from tests.unit.rollout.world import METRICS, Operator, on_trial, revision_named, with_steps

SECOND = revision_named("vllm:2")
COUNTERS = {"successes": "sum(orders{$arm})", "users": "sum(visitors{$arm})"}
TONE = {"name": "tone", "metric": COUNTERS, "baseline": "0.10", "smallestEffect": "0.05"}
EARNS = {"name": "earns", "reward": COUNTERS, "every": "5m", "looks": 3}
ROUTE = {"httpRoute": "chat", "rule": "completions"}
STICKY = {"service": "chat", "gateway": ROUTE, "sticky": {"header": "x-cohort"}}


def plan(*written: dict[str, Any], **analysis: Any) -> Spec:
    return with_steps(*written, traffic=STICKY, analysis={**METRICS, **analysis})


def experiment(**changes: Any) -> Operator:
    """The second revision at a step that is an experiment, and the users are split."""
    operator = on_trial(plan({"experiment": {**TONE, **changes}}, {"weight": 75, "for": "1h"}))
    operator.judged(60, "Insufficient")
    assert operator.world.route == Split(50)
    return operator


def bandit(**changes: Any) -> Operator:
    operator = on_trial(plan({"bandit": {**EARNS, **changes}}))
    operator.judged(60, "Insufficient")
    assert operator.world.route == Split(10)
    return operator


def contest(operator: Operator) -> ContestStatus:
    assert operator.status.step is not None
    assert operator.status.step.contest is not None
    return operator.status.step.contest


def at(operator: Operator) -> str | None:
    return operator.status.step.progress if operator.status.step is not None else None


def ended(verdict: str, stable: int, canary: int, **changes: Any) -> Operator:
    """So many of 690 and 686 users did it, and the metrics say this."""
    operator = experiment(**changes)
    operator.count((stable, 690), (canary, 686))
    operator.world.judge(verdict)
    operator.settle()
    return operator


# ── an experiment ───────────────────────────────────────────────────────────────────────────────


def test_its_users_and_days_are_said_before_the_first_of_them_and_locked_in_status() -> None:
    operator = on_trial(plan({"pause": {}}, {"experiment": {**TONE, "usersPerDay": 200}}))
    assert operator.status.step is not None
    assert operator.status.step.contest is None
    command(operator, "promote", "step")
    operator.settle()
    found = contest(operator)
    assert (found.stable, found.canary) == (686, 686)
    assert "686 users of stable and 686 of the canary" in found.planned
    assert "with 200 new users a day that takes 7 days" in found.planned
    assert "ContestPlanned" in operator.notes
    assert operator.world.route in (None, Split())


def test_nothing_is_said_of_the_metric_before_the_planned_users_are_there() -> None:
    operator = experiment()
    operator.wait(30)
    operator.count((31, 331), (127, 327))
    operator.world.judge("Insufficient")
    operator.settle()
    assert "331 of 686 users of stable and 327 of 686 of the canary were counted" in operator.status.message
    assert "What they did is shown once all are there" in operator.status.message
    whole = operator.status.model_dump_json()
    assert not any(figure in whole for figure in ("127", "38.8", "9.4", "interval", "p = "))


@pytest.mark.parametrize("weeks", [1, 52])
def test_time_and_silence_never_end_it(weeks: int) -> None:
    operator = experiment(onNothing="continue")
    for _ in range(20):
        operator.world.now += weeks * 7 * 86400 / 20
        operator.world.judge("Pass")
        operator.run_once()
    operator.settle()
    assert (at(operator), contest(operator).result) == ("1/3", None)
    assert operator.world.route == Split(50)


def test_a_winner_goes_on_once_the_metrics_have_passed_it_too() -> None:
    operator = ended("Insufficient", 68, 104)
    assert contest(operator).result == "Better"
    assert "the new revision is better" in contest(operator).message
    assert at(operator) == "1/3"
    operator.wait(30)
    operator.world.judge("Pass")
    operator.settle()
    assert at(operator) == "2/3"


def test_a_winner_may_be_promoted_at_once() -> None:
    operator = ended("Pass", 68, 104, onWin="promote")
    operator.wait(600)
    assert operator.status.stable is not None
    assert (operator.status.phase, operator.status.stable.revision) == ("Watching", SECOND)


def test_a_loser_is_sent_back_with_the_figures() -> None:
    operator = ended("Pass", 104, 68)
    operator.wait(60)
    assert (operator.status.phase, operator.status.revert_reason) == ("Reverted", "ContestLost")
    assert "the new revision is worse (9.91 % beside 15.07 %" in (operator.status.revert_message or "")
    assert operator.world.route == Split()


@pytest.mark.parametrize(
    ("changes", "phase"),
    [({}, "Paused"), ({"onNothing": "continue"}, "Progressing"), ({"onNothing": "revert"}, "Reverted")],
)
def test_no_difference_does_what_the_user_wants(changes: dict[str, str], phase: str) -> None:
    operator = ended("Pass", 69, 75, **changes)
    operator.wait(60)
    assert operator.status.phase == phase


def test_a_paused_ending_waits_for_a_person_and_says_how_to_go_on() -> None:
    operator = ended("Pass", 104, 68, onLoss="pause")
    operator.judged(86_400, every=3600)
    assert (operator.status.phase, condition(operator, "Paused")[1]) == ("Paused", "ContestHolds")
    assert "modelrollout.io/promote=step@1" in said(operator, "Paused")
    assert operator.world.route == Split(50)
    command(operator, "promote", "step@1")
    operator.settle()
    assert at(operator) == "2/3"


def test_a_split_that_is_not_as_planned_holds_and_no_result_is_believed() -> None:
    operator = experiment(onNothing="continue")
    operator.count((40, 400), (60, 560))
    operator.world.judge("Pass")
    operator.wait(60)
    assert (operator.status.phase, contest(operator).result) == ("Paused", "Invalid")
    assert "the canary has 58.3 % of the counted users and should have 50 %" in operator.status.message
    operator.count((0, 9000), (9000, 9000))
    operator.judged(3600, every=300)
    assert contest(operator).result == "Invalid"
    assert at(operator) == "1/3"


@pytest.mark.parametrize("counted", [False, True])
def test_a_guardrail_reverts_whatever_the_experiment_says(counted: bool) -> None:
    operator = experiment()
    if counted:
        operator.count((68, 690), (104, 686))
    operator.world.judge("Fail")
    operator.wait(60)
    assert (operator.status.phase, operator.status.revert_reason) == ("Reverted", "AnalysisFailed")


def test_a_changed_experiment_begins_anew_and_says_so() -> None:
    operator = experiment()
    operator.count((31, 331), (127, 327))
    before = contest(operator)
    operator.wait(90)
    strategy = plan({"experiment": {**TONE, "smallestEffect": "0.1"}}).strategy
    operator.world.ask(operator.world.spec.model_copy(update={"strategy": strategy}))
    operator.wait(30)
    after = contest(operator)
    assert "PlanChanged" in operator.notes
    assert after.since > before.since
    assert after.stable < before.stable
    assert f"nothing was counted yet ({after.planned})" in operator.status.message


def test_an_edit_of_later_steps_leaves_it_alone() -> None:
    operator = experiment()
    operator.count((31, 331), (31, 327))
    before = contest(operator)
    strategy = plan({"experiment": TONE}, {"weight": 60}).strategy
    operator.world.ask(operator.world.spec.model_copy(update={"strategy": strategy}))
    operator.wait(30)
    assert contest(operator) == before


def test_the_metrics_have_their_time_from_the_ending_on() -> None:
    operator = experiment()
    operator.judged(3 * 3600, "Insufficient", every=600)
    operator.count((68, 690), (104, 686))
    operator.judged(600, "Insufficient")
    assert operator.status.phase == "Progressing"
    operator.judged(2 * 3600, "Insufficient", every=600)
    assert condition(operator, "Paused") == ("True", "PausedWithoutVerdict")


def test_pods_that_are_lost_do_not_take_the_count_with_them() -> None:
    operator = experiment()
    operator.count((31, 331), (31, 327))
    operator.world.kill(SECOND, 2)
    operator.world.propagate()
    operator.judged(300, "Insufficient")
    assert operator.world.route == Split(50)
    operator.count((37, 359), (73, 359))
    operator.world.judge("Pass")
    operator.settle()
    assert (at(operator), operator.notes.count("ContestPlanned")) == ("2/3", 1)


def test_a_sequential_one_ends_as_soon_as_it_is_clear_and_shows_no_interval() -> None:
    operator = experiment(until="sequential")
    assert contest(operator).planned.startswith("at most")
    earn(operator, 600, 10, 30, "Pass")
    assert at(operator) == "2/3"
    assert "ContestDecided" in operator.notes


# ── a bandit ────────────────────────────────────────────────────────────────────────────────────


def earn(
    operator: Operator,
    seconds: float,
    stable: int,
    canary: int,
    verdict: str = "Insufficient",
    *,
    every: int = 30,
) -> None:
    """Looks go by, in which so many of a hundred users of each arm did it."""
    for _ in range(int(seconds // every)):
        plan = operator.wait(every)
        step = operator.status.step
        if plan.collect and step is not None and step.contest is not None:
            operator.count((stable, 100), (canary, 100))
            operator.world.judge(verdict)
            operator.settle()


def test_the_weight_follows_what_users_do_by_the_pace_and_stays_within_the_floors() -> None:
    operator = bandit(looks=10_000)
    earn(operator, 3600, 10, 20, every=150)
    assert weights(operator) == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]
    assert operator.notes.count("BanditMoved") == 8


def test_a_bad_arm_is_left_with_its_floor() -> None:
    operator = bandit(looks=10_000)
    earn(operator, 1800, 10, 10, every=150)
    assert operator.world.route == Split(50)
    earn(operator, 4800, 20, 10, every=150)
    assert operator.world.route == Split(10)


def test_no_weight_moves_before_its_pods_are_ready_and_each_stays_its_time() -> None:
    operator = bandit(looks=10_000)
    earn(operator, 400, 10, 40)
    operator.world.loading = 1500.0
    earn(operator, 1200, 10, 40)
    assert operator.world.route == Split(20), "a quarter of the users is what one pod of four carries"
    assert contest(operator).weight == 30
    earn(operator, 1500, 10, 40)
    assert operator.world.route != Split(20)


@pytest.mark.parametrize("verdict", ["ProviderError", None])
def test_a_bandit_that_sees_nothing_moves_nothing(verdict: str | None) -> None:
    operator = bandit()
    for _ in range(20):
        operator.wait(600)
        if verdict is not None:
            operator.count((0, 100), (90, 100))
            operator.world.judge(verdict)
    assert operator.world.route == Split(10)


def test_alerts_that_say_nothing_hold_a_bandit_too() -> None:
    operator = on_trial(plan({"bandit": EARNS}, alerts=[{"name": "ChatIsSlow"}]))
    earn(operator, 3600, 10, 12, every=150)
    assert operator.world.route == Split(10)


@pytest.mark.parametrize(
    ("stable", "canary", "changes", "phase"),
    [
        (10, 60, {}, "Watching"),
        (60, 10, {}, "Reverted"),
        (60, 10, {"onLoss": "pause"}, "Paused"),
    ],
)
def test_it_ends_when_one_revision_is_surely_the_better_one(
    stable: int, canary: int, changes: dict[str, str], phase: str
) -> None:
    operator = bandit(**changes)
    earn(operator, 200, stable, canary, "Pass")
    operator.wait(600)
    assert operator.status.phase == phase, operator.status.message


def test_a_bandit_without_an_end_waits_for_a_person_at_its_limit() -> None:
    operator = bandit(limit="1h", looks=10_000)
    earn(operator, 4200, 10, 10, "Pass", every=150)
    assert condition(operator, "Paused") == ("True", "ContestHolds")
    assert "no revision was surely the better one within 1h" in operator.status.message


def test_a_guardrail_ends_a_bandit_that_earns_well() -> None:
    operator = bandit()
    operator.count((10, 100), (60, 100))
    operator.world.judge("Fail")
    operator.wait(60)
    assert operator.status.revert_reason == "AnalysisFailed"


@pytest.mark.parametrize(("before", "begins"), [(None, 10), (5, 10), (30, 30), (95, 90)])
def test_a_bandit_begins_with_the_weight_that_the_canary_has(before: int | None, begins: int) -> None:
    written = [Step(weight=before)] if before is not None else []
    whole = [*written, Step.model_validate({"bandit": EARNS})]
    assert steps.begins_at(whole, len(written), 10) == begins


def test_a_paused_bandit_does_not_move() -> None:
    operator = bandit()
    command(operator, "pause")
    earn(operator, 3600, 10, 60, every=150)
    assert operator.world.route == Split(10)
