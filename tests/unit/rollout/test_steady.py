"""Requests that drift from their own past: people hear of it, an evaluation may run, and no user is moved."""

from __future__ import annotations

from typing import Any

from modelrollout.analysis.kinds.own_past import Drifted
from modelrollout.rollout.actions import RunEvaluation
from tests.unit.rollout.reading import condition
from tests.unit.rollout.world import Operator, installed, revision_named, spec_of

FIRST = revision_named("vllm:1")
SHIFTED = (Drifted(True, "prompt-tokens: 50 % above 512 tokens"), Drifted(False, "latency: as ever"))
STEADY = (Drifted(False, "latency: as ever"),)


def spec(**more: Any) -> Any:
    golden = {"name": "golden", "policy": {"configMap": "quality"}, "when": "onDrift"}
    analysis = {"prometheus": {"address": "http://prometheus:9090"}, "ownPast": {}}
    return spec_of("vllm:1", evaluations=[golden], analysis=analysis, **more)


def seen(*rounds: tuple[Drifted, ...]) -> Operator:
    operator = installed(spec())
    for found in rounds:
        operator.world.own_past = found
        operator.wait(60)
    return operator


def runs(operator: Operator) -> list[RunEvaluation]:
    return [call for call in operator.world.calls if isinstance(call, RunEvaluation)]


def test_before_anything_was_counted_nothing_is_said_to_be_steady() -> None:
    assert condition(seen(()), "Steady") == ("Unknown", "NoPast")
    assert condition(seen(STEADY), "Steady") == ("True", "RequestsSteady")


def test_a_drift_is_an_event_once_and_a_condition_while_it_lasts() -> None:
    operator = seen(STEADY, SHIFTED, SHIFTED)
    assert condition(operator, "Steady") == ("False", "RequestsDrifted")
    assert operator.notes.count("RequestsDrifted") == 1
    operator.world.own_past = STEADY
    operator.wait(60)
    assert condition(operator, "Steady") == ("True", "RequestsSteady")
    assert operator.status.phase == "Stable"
    assert operator.status.stable is not None
    assert operator.status.stable.revision == FIRST


def test_each_drift_starts_its_evaluation_once_on_the_revision_that_serves() -> None:
    operator = seen(STEADY)
    assert runs(operator) == []
    operator = seen(STEADY, SHIFTED, SHIFTED)
    (first,) = runs(operator)
    assert (first.name, first.revision, first.serving) == ("golden", FIRST, True)
    operator.world.evaluate("passed", "The candidate keeps every gate.")
    operator.wait(3600)
    assert len(runs(operator)) == 1
    for found in (STEADY, SHIFTED):
        operator.world.own_past = found
        operator.wait(60)
    assert len({run.run for run in runs(operator)}) == 2


def test_a_prometheus_that_is_away_takes_nothing_back() -> None:
    operator = seen(SHIFTED, ())
    assert condition(operator, "Steady") == ("False", "RequestsDrifted")


def test_where_nobody_asks_for_it_there_is_no_such_condition() -> None:
    operator = installed(spec_of("vllm:1"))
    assert all(each.type != "Steady" for each in operator.status.conditions)
