"""A judgement as status shows it, and that nothing is decided on what status shows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelrollout.analysis.evidence.decision import VerdictKind
from modelrollout.api.status import AnalysisStatus, MetricStatus
from modelrollout.api.times import stamp, unix
from modelrollout.rollout.analysis_status import analysis_status
from modelrollout.rollout.model import Judgement
from tests.unit.rollout.world import METRICS, on_trial, spec_of


def test_status_shows_all_of_a_judgement_in_whole_seconds() -> None:
    metric = MetricStatus(name="errors", verdict="Worse", message="errors: 9 % against 0.5 %")
    judgement = Judgement(
        VerdictKind.INSUFFICIENT,
        1_800_000_000.7,
        reason="HeldByMetric",
        message="errors looks worse",
        looks=7,
        proven_at=1_800_000_300.2,
        metrics=(metric,),
    )
    assert analysis_status(judgement) == AnalysisStatus(
        verdict="Insufficient",
        reason="HeldByMetric",
        message="errors looks worse",
        looks=7,
        last_look=stamp(1_800_000_000),
        eta=stamp(1_800_000_300),
        metrics=[metric],
    )


def test_a_verdict_that_stands_in_status_alone_decides_nothing() -> None:
    """Status is for people: after a restart its verdict may be older than the step."""
    operator = on_trial(spec_of(analysis=METRICS))
    for shown in ("Pass", "Fail"):
        analysis = AnalysisStatus.model_validate(
            {"verdict": shown, "last_look": stamp(operator.world.now + 900)}
        )
        operator.status = operator.status.model_copy(update={"analysis": analysis})
        operator.wait(700)
        assert operator.status.phase == "Progressing"
        assert operator.status.step is not None
        assert operator.status.step.index == 0


@pytest.mark.parametrize(("late", "index"), [(0.0, 0), (0.5, 1)])
def test_a_look_counts_for_a_step_when_it_closed_after_the_step_began(late: float, index: int) -> None:
    operator = on_trial(spec_of(analysis=METRICS))
    step = operator.status.step
    assert step is not None
    assert step.started_at is not None
    operator.wait(700)
    operator.world.judge("Pass")
    assert operator.world.judgement is not None
    operator.world.judgement = replace(operator.world.judgement, ended_at=unix(step.started_at) + late)
    operator.settle()
    assert operator.status.step is not None
    assert operator.status.step.index == index
