"""What the control's own past says about what is judged, put into its metrics before the first look."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

from modelrollout.analysis.evidence.evidence import Evidence
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.planning.calibration import calibrate
from modelrollout.analysis.planning.settling import settling, unknown
from modelrollout.sources.looks import LookSource, Question

HISTORY = 480
"""Looks of the control's past from which its noise is learned."""


@dataclass(frozen=True)
class Learned:
    evidence: Evidence
    """Before the first look, with the control's shares and noise in it."""
    warnings: Mapping[str, str]
    """By metric: why its tolerance can hardly be tested on this service, or what could not be learned."""


async def learn(
    source: LookSource, question: Question, plan: Plan, planned_looks: int, *, interval: float, until: float
) -> Learned:
    """From the looks of the control up to the one that ended at `until`. Asked again it is the same.

    Raises:
        ProviderError: the past could not be read.
    """
    past = await source.history(question, until, interval, HISTORY)
    lasting = await source.lasting(question, until)
    wait = settling(question.metrics, lasting)
    found = [
        await asyncio.to_thread(calibrate, metric, past.get(metric.name, ()), plan, planned_looks)
        for metric in plan.metrics
    ]
    metrics = tuple(replace(each.metric, settle=wait[each.metric.name]) for each in found)
    learned = replace(plan, metrics=metrics)
    warnings = {each.metric.name: each.warning for each in found if each.warning}
    for name, text in unknown(question.metrics, lasting).items():
        warnings[name] = f"{warnings[name]} {text}" if name in warnings else text
    return Learned(Evidence.fresh(learned), warnings)
