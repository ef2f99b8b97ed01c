"""Alerts hold steps and send revisions home; that nobody can say whether one fires holds, and no more."""

from __future__ import annotations

import pytest

from modelrollout.rollout.model import Alarm, Alarms
from modelrollout.traffic.router import Split
from tests.unit.rollout.reading import command, condition, said, weights
from tests.unit.rollout.world import (
    METRICS,
    Operator,
    installed,
    on_trial,
    revision_named,
    spec_of,
    with_steps,
)

FIRST, SECOND = revision_named("vllm:1"), revision_named("vllm:2")
BAD = "CanaryRegressionDetected"
LOOK = 30.0


def alerting(then: str, after: str = "10m", **entry: object) -> Operator:
    alerts = [{"name": BAD, "then": then, "for": after, **entry}]
    return on_trial(spec_of(analysis={**METRICS, "alerts": alerts}))


def hear(operator: Operator, *firing: Alarm, silent: str = "", revision: str = SECOND) -> None:
    operator.world.alarms = Alarms(revision, operator.world.now, firing, silent)


def go_on(operator: Operator, looks: float, began: float | None = None, silent: str = "") -> None:
    """So many looks with a Pass each, and at each an answer about the alerts."""
    for _ in range(int(looks)):
        operator.wait(LOOK)
        now = operator.world.now
        operator.world.judge("Pass")
        hear(operator, *([Alarm(BAD, began, now)] if began is not None else []), silent=silent)
        operator.settle()


def test_a_sustained_alert_sends_the_revision_home_once_it_has_fired_long_enough() -> None:
    operator = alerting("revert")
    began = operator.world.now + LOOK
    go_on(operator, 20, began)
    assert operator.status.phase == "Progressing"
    go_on(operator, 2, began)
    assert operator.status.revert_reason == "AlertFired"
    assert BAD in (operator.status.revert_message or "")
    operator.wait(60)
    assert operator.status.phase == "Reverted"
    assert operator.status.refused_revision == SECOND
    assert weights(operator)[-1] == 0
    assert operator.notes.count("AlertFired") == 1
    assert operator.status.history[-1].reason == "AlertFired"


def test_an_alert_that_has_ended_in_time_lets_the_rollout_go_on() -> None:
    operator = alerting("revert")
    go_on(operator, 22, operator.world.now + LOOK + 300)
    assert operator.status.step is not None
    assert operator.status.step.index == 0, "the step's ten minutes are over, and an alert fires"
    assert condition(operator, "Progressing") == ("True", "AlertHolds")
    assert "When it has fired for 10m" in said(operator, "Progressing")
    go_on(operator, 2)
    assert operator.status.step.index == 1
    assert operator.world.route == Split(25)


def test_an_alert_that_comes_and_goes_holds_and_never_sends_home() -> None:
    operator = alerting("revert")
    for _ in range(5):
        assert operator.status.step is not None
        before = operator.status.step.index
        go_on(operator, 10, operator.world.now + LOOK)
        assert operator.status.step.index == before, "a step waits until nothing fires"
        go_on(operator, 1)
    assert operator.status.revert_reason is None
    assert operator.world.route == Split(50), "steps pass in the looks between"


@pytest.mark.parametrize("verdict", ["Pass", "Insufficient"])
@pytest.mark.parametrize("on_insufficient", ["pause", "promoteIfQuiet"])
@pytest.mark.parametrize("kind", ["never asked", "no answer", "an old answer", "of another revision"])
def test_silence_passes_no_step_and_sends_nobody_home(kind: str, on_insufficient: str, verdict: str) -> None:
    alerts = [{"name": BAD, "then": "revert"}]
    judged = {**METRICS, "alerts": alerts, "onInsufficient": on_insufficient}
    operator = on_trial(spec_of(analysis=judged))
    operator.world.quiet = True
    answered = Alarms(SECOND, operator.world.now)
    for _ in range(12):
        operator.world.now += 1200
        operator.world.alarms = {
            "never asked": None,
            "no answer": Alarms(SECOND, operator.world.now, silent="Prometheus cannot be reached."),
            "an old answer": answered,
            "of another revision": Alarms(FIRST, operator.world.now),
        }[kind]
        operator.world.judge(verdict)
        operator.settle()
    assert operator.world.route == Split(5)
    assert condition(operator, "Progressing") == ("True", "AlertsSilent")
    assert operator.status.revert_reason is None


@pytest.mark.parametrize("steps", [[{"pause": {"duration": "10m"}}], [{"evaluate": "golden"}]])
def test_an_alert_holds_every_kind_of_step(steps: list[dict[str, object]]) -> None:
    analysis = {**METRICS, "alerts": [{"name": BAD}]}
    operator = on_trial(with_steps({"mirror": 20, "for": "1m"}, *steps, {"weight": 25}, analysis=analysis))
    go_on(operator, 3)
    assert operator.status.step is not None
    assert operator.status.step.index == 1
    go_on(operator, 1, operator.world.now)
    operator.world.evaluate("passed")
    go_on(operator, 25, operator.world.now)
    assert operator.status.step.index == 1
    go_on(operator, 2)
    assert operator.world.route == Split(25)


def test_an_alert_that_only_holds_sends_nobody_home_and_holds_from_its_time_on() -> None:
    operator = alerting("hold", "15m")
    began = operator.world.now + LOOK
    go_on(operator, 22, began)
    assert operator.world.route == Split(25), "it has not fired for 15 minutes yet"
    go_on(operator, 45, began)
    assert operator.world.route == Split(25)
    assert operator.status.revert_reason is None


def test_a_person_passes_a_step_that_an_alert_holds() -> None:
    operator = alerting("hold", "0s")
    go_on(operator, 30, operator.world.now)
    assert operator.world.route == Split(5)
    command(operator, "promote", "step")
    operator.settle()
    assert operator.world.route == Split(25)


def test_an_alert_sends_a_promoted_revision_home_while_the_one_before_is_warm() -> None:
    operator = alerting("revert", "2m")
    go_on(operator, 100)
    assert operator.status.phase == "Watching"
    began = operator.world.now
    go_on(operator, 6, began)
    operator.wait(60)
    assert operator.status.stable is not None
    assert operator.status.stable.revision == FIRST
    assert operator.status.history[-1].reason == "AlertFired"


def test_an_alert_that_the_spec_no_longer_names_says_nothing() -> None:
    operator = installed(spec_of(analysis=METRICS))
    operator.world.ask(spec_of("vllm:2", analysis=METRICS))
    operator.wait(60)
    hear(operator, Alarm(BAD, 0.0, operator.world.now))
    operator.settle()
    assert operator.status.revert_reason is None
