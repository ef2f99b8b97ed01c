"""Whether the step in progress may be passed: its time, its verdict, or a person."""

from __future__ import annotations

from modelrollout.api.quantities import seconds
from modelrollout.api.spec import Step
from modelrollout.api.status import AnalysisStatus
from modelrollout.api.times import unix
from modelrollout.rollout.view import View

COUNTED = 2
"""Looks after which the last one of a stay has been counted."""


def current(view: View) -> Step | None:
    """The plan's entry in progress."""
    return view.status.plan[view.index] if view.rolling and view.index < len(view.status.plan) else None


def needs_verdict(view: View) -> bool:
    """There are metrics, and a control arm to compare with."""
    step = current(view)
    return (
        view.spec.analysis is not None and step is not None and step.pause is None and view.asked.canary < 100
    )


def evidence(view: View) -> AnalysisStatus | None:
    """What the looks since the step's start say."""
    return view.verdict(view.step.started_at) if view.step is not None else None


def stayed(view: View) -> bool:
    """The step has lasted as long as the plan says; for a pause without duration that is never."""
    step = current(view)
    if step is None or view.step is None:
        return False
    duration = step.for_ or "0s"
    if step.pause is not None:
        if step.pause.duration is None:
            return False
        duration = step.pause.duration
    return view.past(view.step.started_at, duration)


def awaited(view: View) -> float | None:
    """Until when a verdict may well come: the looks that were open when the stay ended are counted a little
    later, and until then there is nothing new to tell people."""
    step, analysis = current(view), view.spec.analysis
    if step is None or step.for_ is None or view.step is None or view.step.started_at is None:
        return None
    if analysis is None or not needs_verdict(view):
        return None
    return unix(view.step.started_at) + seconds(step.for_) + COUNTED * seconds(analysis.interval)


def passed(view: View) -> bool:
    if not stayed(view):
        return False
    verdict = evidence(view)
    return not needs_verdict(view) or (verdict is not None and verdict.verdict == "Pass")


def late(view: View) -> bool:
    """The step needs a verdict, has none, and its time for one is over."""
    analysis = view.spec.analysis
    if analysis is None or view.step is None or not needs_verdict(view) or passed(view) or not stayed(view):
        return False
    return view.past(view.step.started_at, analysis.max_step_duration)


def quietly_passed(view: View) -> bool:
    """Late, undecided, nothing against it, and the user said that this is enough."""
    analysis, verdict = view.spec.analysis, evidence(view)
    return (
        analysis is not None
        and analysis.on_insufficient == "promoteIfQuiet"
        and view.observed.quiet
        and verdict is not None
        and verdict.verdict == "Insufficient"
        and late(view)
    )
