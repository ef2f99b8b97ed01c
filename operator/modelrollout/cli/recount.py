"""A rollout's record: the looks that its status says were judged, counted again from Prometheus.

Nothing is stored for it but the times of the looks; raw counters at stated times are repeatable for as long
as Prometheus keeps them. What the looks give is compared with the evidence in status.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from modelrollout.analysis.betting.ladder import StepTerms
from modelrollout.analysis.evidence.evidence import Evidence
from modelrollout.analysis.inputs.observation import Look, Observation, Problem, ProblemKind
from modelrollout.analysis.kinds.reading import Reading
from modelrollout.analysis.packs.defaults import analysis_of
from modelrollout.analysis.records.look_log import Looked, Run
from modelrollout.analysis.records.record import Record
from modelrollout.analysis.records.replay import judged
from modelrollout.api.names import RolloutKey
from modelrollout.api.spec import Spec
from modelrollout.api.status import Status
from modelrollout.engine.judging.case import Case, Stage, judgement_of, question_of
from modelrollout.engine.judging.trial import Trial
from modelrollout.rollout.contest_report import reports
from modelrollout.sources.learning import learn
from modelrollout.sources.looks import LookSource, Question
from modelrollout.sources.provider import ProviderError

AT_A_TIME = 8
"""Looks that are asked for together."""


class Unrecorded(Exception):
    """There is nothing to make a record from; the message says why and what would help."""


@dataclass(frozen=True)
class Recounted:
    record: Record
    differences: tuple[str, ...]
    """Where the evidence that the record gives differs from the one in status, a sentence for each metric."""


async def recount(resource: Mapping[str, Any], prometheus: str | None = None) -> Recounted:
    """The record of the trial in a ModelRollout's status, in progress or over. `prometheus` is another
    address than the spec's.

    Raises:
        Unrecorded: the status holds no trial that could be counted again.
        ProviderError: Prometheus does not answer.
    """
    kept = _trial_of(resource, prometheus)
    assert kept.evidence is not None
    source = LookSource()
    try:
        until = kept.looked.learned_until
        plan = judgement_of(kept.case, kept.question, kept.planned_looks)
        learned = await learn(
            source, kept.question, plan, kept.planned_looks, interval=kept.case.interval, until=until
        )
        asked = replace(kept.question, metrics=tuple(m.with_sum() for m in kept.question.metrics))
        rows = await counted_again(source, asked, kept.looked)
    finally:
        await source.close()
    looks = tuple(look for run in kept.looked.runs for look in run.looks())
    told = tuple(report.kept for report in reports(resource["status"]["evidence"]))
    steps = step_starts(kept.looked)
    record = Record(learned.evidence.plan, looks, rows, steps, about=_about(kept), reports=told)
    return Recounted(record, tuple(_differences(judged(record), kept.evidence)))


def _trial_of(resource: Mapping[str, Any], prometheus: str | None) -> Trial:
    """The trial as the operator would take it up again."""
    try:
        spec = Spec.model_validate(resource.get("spec"))
        status = Status.model_validate(resource.get("status") or {})
    except ValidationError as error:
        raise Unrecorded(f"It is no ModelRollout that this version understands: {error}") from error
    state, analysis = status.evidence, analysis_of(spec)
    if not state or analysis is None:
        raise Unrecorded("Its status holds no evidence: no look of a trial has been judged yet.")
    if prometheus is not None:
        server = analysis.prometheus.model_copy(update={"address": prometheus})
        analysis = analysis.model_copy(update={"prometheus": server})
    key = RolloutKey(resource["metadata"].get("namespace", "default"), resource["metadata"]["name"])
    try:
        case = Case.named(state["case"], analysis)
        canary, control = map(tuple, state.get("hardware", ((), ())))
        accelerators = tuple(state["accelerators"])
        question = question_of(key, spec, case, accelerators, hardware=(canary, control))
    except (KeyError, TypeError, ValueError) as error:
        raise Unrecorded("Its status was written by another version of the operator.") from error
    trial = Trial(case, question, Stage("", 0.0, 0.0, judged=True, countable=False), planned_looks=0)
    if not trial.restore(state) or trial.evidence is None:
        raise Unrecorded(
            "The metrics, tolerances or risks in its spec are not those that were judged: they were changed "
            "since. Give the manifest of that time with its status (--file)."
        )
    if len(trial.looked) != trial.evidence.looks:
        raise Unrecorded(
            f"Of its {trial.evidence.looks} looks only the times of the newest {len(trial.looked)} are kept: "
            "the traffic was moved, or Prometheus was gone, too often."
        )
    return trial


async def counted_again(
    source: LookSource, question: Question, looked: Looked
) -> tuple[Mapping[str, Observation], ...]:
    """All looks; those that nobody answered at the time are left unanswered."""
    silence = Observation(
        problem=Problem(ProblemKind.PROVIDER_ERROR, "Prometheus gave no answer when the look was judged.")
    )
    unanswered = dict.fromkeys((metric.name for metric in question.metrics), silence)

    async def one(look: Look, run: Run) -> Mapping[str, Observation]:
        if not run.answered:
            return unanswered
        arms = replace(question.arms, moved=run.moved)
        counted = await source.count(replace(question, arms=arms), look)
        if not counted.answered:
            problem = next(iter(counted.observations.values())).problem
            raise ProviderError(problem.message if problem else "Prometheus gave no answer.")
        return counted.observations

    asked = [(look, run) for run in looked.runs for look in run.looks()]
    rows: list[Mapping[str, Observation]] = []
    for first in range(0, len(asked), AT_A_TIME):
        rows += await asyncio.gather(*(one(*each) for each in asked[first : first + AT_A_TIME]))
    return tuple(rows)


def _about(trial: Trial) -> str:
    arms, began = trial.question.arms, trial.case.started_at
    return f"{arms.namespace}/{arms.rollout}: canary {arms.canary}, control {arms.stable}, begun {began}"


def step_starts(looked: Looked) -> dict[int, StepTerms]:
    """The terms of the steps, by the look before which each began, counted from 1."""
    lengths = (sum(1 for _ in run.looks()) for run in looked.runs)
    firsts = itertools.accumulate(lengths, initial=1)
    runs = zip(firsts, looked.runs, strict=False)
    return {first: run.begun for first, run in runs if run.begun is not None}


def _differences(counted: Evidence, kept: Evidence) -> Iterator[str]:
    if kept.step.looks == 0:
        # the last step has passed, and nothing was judged since
        counted = counted.restart_promotion(terms=kept.step.terms)
    for name, now in counted.standings().items():
        then = kept.standings()[name]
        if now.used != then.used:
            yield f"{name}: {now.used} looks can be used, {then.used} were."
        elif not _alike(_numbers(now.reading), _numbers(then.reading)):
            yield f"{name}: {now.summary} now; {then.summary} then."


def _numbers(reading: Reading) -> Sequence[float]:
    arms = (reading.canary.n, reading.canary.bad, reading.control.n, reading.control.bad)
    return (*arms, reading.log_revert, reading.log_promote)


def _alike(some: Sequence[float], others: Sequence[float]) -> bool:
    """Whether they are equal except for the last digits, which depend on the order in which Prometheus lists
    the pods."""
    return all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-6) for a, b in zip(some, others, strict=True))
