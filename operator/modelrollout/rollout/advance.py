"""Carries out one step of the plan: its pods, then its traffic, then its time and evidence, then the next
step."""

from __future__ import annotations

import math

from modelrollout.api.names import PREFIX
from modelrollout.api.reasons.step import (
    CANARY_LOST,
    QUIETLY_PASSED,
    STEP_ENTERED,
    STEP_PASSED,
    STEP_PROMOTED,
)
from modelrollout.api.status import StepStatus
from modelrollout.api.times import stamp
from modelrollout.rollout import contest, steps
from modelrollout.rollout.analysis_status import COLLECTING
from modelrollout.rollout.capacity import enough, holds
from modelrollout.rollout.changes import but
from modelrollout.rollout.commands import done, pending
from modelrollout.rollout.fit import fit
from modelrollout.rollout.gate import answer
from modelrollout.rollout.handover import lowest
from modelrollout.rollout.judge import evidence, needs_verdict, passed, quietly_passed
from modelrollout.rollout.notes import note
from modelrollout.rollout.rotation import balanced
from modelrollout.rollout.view import Change, View
from modelrollout.traffic.registry import unreachable
from modelrollout.traffic.router import Split


def _climbing(view: View) -> bool:
    return view.rolling and not view.names_moved and view.step is not None


def lose(view: View) -> Change | None:
    """When the canary has lost pods that the present split needs, its traffic goes back and its step begins
    anew."""
    if not _climbing(view) or view.step is None or view.desired == Split() or _kept(view):
        return None
    weight = min(view.desired.canary, lowest(view))
    if view.step.started_at is None and view.desired == Split(weight):
        return None
    carried = view.desired == view.asked
    step = but(
        view.step,
        started_at=None,
        entered_at=view.at if carried else view.step.entered_at,
        losses=view.step.losses + carried,
    )
    split = Split(weight)
    said = note(CANARY_LOST, revision=view.canary, step=view.progress, split=describe(split))
    return view.change(said, weight=view.weighed(split), step=step)


def _kept(view: View) -> bool:
    """Whether the canary still has the pods that the split was written for, or fewer if it needs fewer by
    now. A few may be missing."""
    listed = view.listed("canary") if view.selected("canary") == view.canary else 0
    if steps.splits_by_pods(view.spec) and 0 < view.desired.canary < 100:
        return listed > 0  # the share shrinks with the pods by itself
    needs = view.pods_for(view.desired)
    if view.step is not None and view.step.carried_by:
        needs = min(needs, view.step.carried_by)
    return enough(listed, needs)


def enter(view: View) -> Change | None:
    """Ask for the step's split once its pods can carry it: capacity comes before traffic."""
    if not _climbing(view) or view.step is None or view.paused or view.desired == view.asked or not fit(view):
        return None
    if unreachable(view.spec, view.asked.canary) is not None:
        return None
    if view.observed.asked is not None:
        return None  # first the route that the spec names now is to be taken
    if view.asked.canary < view.desired.canary and not _carries_the_rest(view):
        return None
    said = note(STEP_ENTERED, step=view.progress, revision=view.canary, split=describe(view.asked))
    step = but(view.step, started_at=None, carried_by=view.pods_for(view.asked))
    return view.change(said, weight=view.weighed(view.asked), step=step)


def _carries_the_rest(view: View) -> bool:
    return holds(view.listed("stable"), 100 - view.asked.canary, view.replicas)


def start_clock(view: View) -> Change | None:
    """Start the step's clock when the route is read to carry the split and the pods of both revisions carry
    the same. It is rounded up, so that no time before counts."""
    if not _climbing(view) or view.step is None or view.final or view.step.started_at:
        return None
    if view.desired != view.asked or not view.settled or not fit(view) or not balanced(view):
        return None
    step = but(view.step, started_at=stamp(math.ceil(view.now)))
    return view.change(step=step, analysis=COLLECTING if needs_verdict(view) else view.status.analysis)


def promote_by_hand(view: View) -> Change | None:
    """A person passes the step in progress, or all of them; capacity still comes before traffic."""
    if not _climbing(view) or view.final or view.paused:
        return None
    record = pending(view.status.commands, "promote", view.canary)
    if record is None or record.step not in (None, view.index):
        return None
    to = len(view.status.plan) if record.step is None else view.index + 1
    said = note(STEP_PROMOTED, step=view.progress, annotation=PREFIX + "promote", value=record.value)
    return view.change(said, step=_at(view, to), commands=done(view.status.commands, record))


def advance(view: View) -> Change | None:
    """On to the next step: the route is as asked, the time is over, and the verdict is Pass.

    The evidence for it stays in status until the next step begins to collect its own.
    """
    if not _climbing(view) or view.step is None or view.final or view.paused:
        return None
    if view.desired != view.asked or not view.settled or view.observed.split_mismatch:
        return None
    if passed(view):
        verdict, opened = evidence(view) if needs_verdict(view) else None, answer(view)
        why = verdict.message if verdict is not None else opened.sentence if opened is not None else ""
        text = f": {why}" if why else ""
        said = note(STEP_PASSED, step=view.progress, verdict=text)
    elif quietly_passed(view) and view.spec.analysis is not None:
        said = note(QUIETLY_PASSED, step=view.progress, limit=view.spec.analysis.max_step_duration)
    else:
        return None
    shown = view.analysis(view.step.started_at) if needs_verdict(view) else view.status.analysis
    to = len(view.status.plan) if contest.promotes(view) else view.index + 1
    return view.change(said, step=_at(view, to), analysis=shown)


def _at(view: View, index: int) -> StepStatus:
    carried_by = view.step.carried_by if view.step is not None else 0
    progress = steps.progress(view.status.plan, index)
    return StepStatus(index=index, progress=progress, entered_at=view.at, carried_by=carried_by)


def describe(split: Split) -> str:
    """`25 % of requests`, `a copy of 20 %`, `requests with x-beta: yes`, `20 % of those with …`."""
    parts = []
    if split.canary or not (split.mirror or split.matches):
        parts.append(f"{split.canary} % of requests")
    if split.mirror:
        parts.append(f"a copy of {split.mirror} %")
    if split.matches:
        some = f"{split.share} % of those" if split.share < 100 else "requests"
        parts.append(f"{some} with " + " or ".join(map(str, split.matches)))
    return " and ".join(parts)
