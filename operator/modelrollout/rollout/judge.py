"""Whether the step in progress may be passed: its time, its verdict, or a person."""

from __future__ import annotations

from typing import assert_never

from modelrollout.analysis.evidence.decision import VerdictKind
from modelrollout.api.quantities import seconds
from modelrollout.api.stages import Bandit, Evaluate, Experiment, Shift, Wait
from modelrollout.api.times import unix
from modelrollout.rollout import alarms, contest
from modelrollout.rollout.exposure import exposure
from modelrollout.rollout.gate import answer
from modelrollout.rollout.model import Judgement
from modelrollout.rollout.view import View

COUNTED = 2
"""Looks after which the last one of a stay has been counted."""


def needs_verdict(view: View) -> bool:
    """Whether there are metrics, and a control arm to compare with."""
    if view.spec.analysis is None or view.asked.canary >= 100:
        return False
    return view.stage is not None and view.stage.judged


def evidence(view: View) -> Judgement | None:
    """What the looks since the step's start say."""
    return view.judgement(view.step.started_at) if view.step is not None else None


def stayed(view: View) -> bool:
    """Whether the step has lasted as long as the plan says; a pause without duration never has."""
    if view.stage is None or view.stage.stay is None or view.step is None:
        return False
    return view.after_seconds(view.step.started_at, view.stage.stay)


def awaited(view: View) -> float | None:
    """Until when a verdict may well come: the looks that were open when the stay ended are counted a little
    later, and until then there is nothing new to tell people."""
    stage, analysis = view.stage, view.spec.analysis
    if stage is None or not stage.stay or view.step is None or view.step.started_at is None:
        return None
    if analysis is None or not needs_verdict(view):
        return None
    return unix(view.step.started_at) + stage.stay + COUNTED * seconds(analysis.interval)


def passed(view: View) -> bool:
    """Whether the step's time is over and what it waits for has passed it. Silence never passes a step, that
    of alerts neither."""
    return stayed(view) and alarms.holding(view) is None and _has_passed(view)


def _has_passed(view: View) -> bool:
    """Whether what the step itself waits for has passed it."""
    match view.stage:
        case Shift():
            return _proven(view)
        case Experiment() | Bandit():
            return contest.opens(view) and _proven(view)
        case Wait():
            return True
        case Evaluate():
            opened = answer(view)
            return opened is not None and opened.state == "passed"
        case None:
            return False
        case stage:
            assert_never(stage)


def _proven(view: View) -> bool:
    verdict = evidence(view)
    return not needs_verdict(view) or (verdict is not None and _proves(view, verdict))


def _proves(view: View, verdict: Judgement) -> bool:
    """Whether the verdict is a Pass of what the next step risks; an edit of later steps may have made that
    more."""
    margin = exposure(view.plan, view.index, view.spec).terms(None).margin
    return verdict.kind is VerdictKind.PASS and verdict.margin <= margin


def late(view: View) -> bool:
    """Whether the step still lacks the verdict that it needs when the time for one is over."""
    analysis = view.spec.analysis
    if analysis is None or view.step is None or not needs_verdict(view):
        return False
    if not stayed(view) or _has_passed(view):
        return False
    return view.past(asked_since(view), analysis.max_step_duration)


def asked_since(view: View) -> str | None:
    """Since when the step waits for nothing but a verdict of the metrics; None: it waits for more."""
    if view.step is None or not isinstance(view.stage, Experiment | Bandit):
        return view.step.started_at if view.step is not None else None
    if view.step.contest is None or view.step.started_at is None or not contest.opens(view):
        return None
    return max(filter(None, (view.step.contest.ended_at, view.step.started_at)))


def quietly_passed(view: View) -> bool:
    """Whether the step is late and undecided, nothing speaks against it, and the user said that this is
    enough."""
    analysis, verdict = view.spec.analysis, evidence(view)
    return (
        analysis is not None
        and analysis.on_insufficient == "promoteIfQuiet"
        and verdict is not None
        and verdict.quiet
        and verdict.kind is VerdictKind.INSUFFICIENT
        and late(view)
        and alarms.holding(view) is None
    )
