"""Putting a new revision on trial, and what a changed plan means to a trial in progress."""

from __future__ import annotations

from modelrollout.api.reasons.coming import RETRIED, ROLLOUT_STARTED
from modelrollout.api.reasons.step import PLAN_CHANGED
from modelrollout.api.status import Phase, RevisionStatus, StepStatus
from modelrollout.rollout import steps
from modelrollout.rollout.changes import but
from modelrollout.rollout.commands import done, pending
from modelrollout.rollout.drain import leaving, staying
from modelrollout.rollout.notes import note
from modelrollout.rollout.orders import stale
from modelrollout.rollout.standing import holding
from modelrollout.rollout.view import Change, View
from modelrollout.traffic.router import Split


def _resting(view: View) -> bool:
    return view.stable is not None and not (view.installing or view.rolling or view.reverting)


def retry(view: View) -> Change | None:
    """A refused revision is tried again when a person says so."""
    refused = view.status.refused_revision
    record = pending(view.status.commands, "retry", refused)
    if refused is None or record is None or view.killed is not None:
        return None
    return view.change(
        note(RETRIED, revision=refused),
        refused_revision=None,
        commands=done(view.status.commands, record),
    )


def forgive(view: View) -> Change | None:
    """The spec asks for what serves: nothing is refused any more."""
    if not _resting(view) or view.target != view.stable:
        return None
    phase: Phase = "Killed" if view.killed is not None else "Watching" if view.watching else "Stable"
    if view.status.phase == phase and view.status.refused_revision is None:
        return None
    return view.change(phase=phase, phase_since=view.at, refused_revision=None)


def begin(view: View) -> Change | None:
    """The spec asks for another revision than the one that serves, and not for the one that was refused.

    A warm previous revision gives up its place: there is one canary Service, and seldom GPUs for three.
    """
    if not _resting(view) or view.target in (view.stable, view.status.refused_revision):
        return None
    if view.killed is not None or holding(view) is not None:
        return None
    after = view.after(view.change(**staying(view, view.target)))
    away = leaving(after, view.previous) if view.previous is not None else {}
    plan = steps.expand(view.spec)
    started = note(
        ROLLOUT_STARTED,
        revision=view.target,
        model=view.observed.revision_model,
        stable=view.stable,
        steps=len(plan),
        changed=f". {view.observed.changed}" if view.observed.changed else "",
    )
    return after.change(
        started,
        *stale(view, view.target),
        canary=RevisionStatus(
            revision=view.target,
            model=view.observed.revision_model,
            changed=view.observed.changed,
            registered=view.observed.registered,
        ),
        previous=None,
        keep_warm_until=None,
        refused_revision=None,
        revert_reason=None,
        revert_message=None,
        plan=plan,
        step=first(view, plan),
        weight=view.weighed(Split()) if view.desired != Split() else view.status.weight,
        started_at=view.at,
        phase="Starting",
        phase_since=view.at,
        analysis=None,
        evidence=None,
        **away,
    )


def first(view: View, plan: steps.Steps) -> StepStatus:
    return StepStatus(index=0, progress=steps.progress(plan, 0), entered_at=view.at)


def replan(view: View) -> Change | None:
    """Later steps may be edited freely; an edit of what was passed or is in progress starts the plan anew."""
    if not view.rolling or view.names_moved or view.step is None:
        return None
    before, plan = view.status.plan, steps.expand(view.spec)
    if before == plan:
        return None
    reached = view.index + 1
    if reached <= min(len(before), len(plan)) and before[:reached] == plan[:reached]:
        return view.change(plan=plan, step=but(view.step, progress=steps.progress(plan, view.index)))
    restart = but(first(view, plan), carried_by=view.step.carried_by)
    return view.change(note(PLAN_CHANGED, step=restart.progress), plan=plan, step=restart)
