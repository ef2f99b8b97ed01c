"""A judgement as status shows it: the one place where it becomes text. Nothing reads it back to decide."""

from __future__ import annotations

from modelrollout.api.status import AnalysisStatus
from modelrollout.api.times import stamp
from modelrollout.rollout.model import Judgement

COLLECTING = AnalysisStatus(verdict="Insufficient", reason="Collecting")
"""A step has begun, and no look at it has closed."""


def analysis_status(judgement: Judgement) -> AnalysisStatus:
    return AnalysisStatus(
        verdict=judgement.kind.value,
        reason=judgement.reason,
        message=judgement.message,
        looks=judgement.looks,
        last_look=stamp(judgement.ended_at),
        eta=stamp(judgement.proven_at) if judgement.proven_at is not None else None,
        metrics=list(judgement.metrics),
    )
