"""Leaving a revision: every reason to, and the way back to the one that served before."""

from __future__ import annotations

from modelrollout.analysis.evidence.decision import VerdictKind
from modelrollout.api.conditions import AVAILABLE
from modelrollout.api.names import PREFIX
from modelrollout.api.quantities import seconds
from modelrollout.api.reasons.leaving import (
    ABORTED,
    ALERT_FIRED,
    ANALYSIS_FAILED,
    CANARY_UNSTABLE,
    CONTEST_LOST,
    EVALUATION_FAILED,
    GONE_BACK,
    KILLED,
    NEVER_MADE,
    NO_VERDICT,
    REVERTED_NOW,
    ROLLED_BACK,
    SPEC_RETURNED,
    STABLE_LOST,
    STANDING_FAILED,
    STARTUP_DEADLINE,
    SUPERSEDED,
)
from modelrollout.api.reasons.reason import Reason
from modelrollout.api.status import Condition, Ending
from modelrollout.api.times import stamp, unix
from modelrollout.rollout import contest
from modelrollout.rollout.alarms import ripe
from modelrollout.rollout.capacity import holds
from modelrollout.rollout.changes import but
from modelrollout.rollout.commands import done, pending
from modelrollout.rollout.drain import leaving
from modelrollout.rollout.gate import answer, asked
from modelrollout.rollout.handover import course
from modelrollout.rollout.history import recorded
from modelrollout.rollout.judge import evidence, late
from modelrollout.rollout.notes import note
from modelrollout.rollout.standing import fallen
from modelrollout.rollout.view import Change, View
from modelrollout.traffic.router import Split

MOST_LOSSES = 3
"""A canary that loses its pods this often in one step will not carry the next."""
GRACE = 30.0
"""Seconds without any ready pod after which a promoted revision gives way to the warm one."""

_NOT_REFUSED = frozenset({SUPERSEDED.name, SPEC_RETURNED.name})
_BY_HAND = frozenset({KILLED.name, ABORTED.name, ROLLED_BACK.name})


def _leave(view: View, reason: Reason, **facts: object) -> Change:
    """Begin the way back. The revision is refused, unless it leaves only because the spec has moved on."""
    bad = view.canary or view.stable
    said = note(reason, revision=bad, **facts)
    return view.change(
        said,
        phase="Reverting",
        phase_since=view.at,
        revert_reason=said.reason,
        revert_message=said.message,
        refused_revision=None if said.reason in _NOT_REFUSED else bad,
        analysis=view.analysis(view.status.started_at),
    )


# ── reasons ─────────────────────────────────────────────────────────────────────────────────────


def killed(view: View) -> Change | None:
    """While the kill switch is on, no revision that users can be taken from keeps any."""
    if view.killed is None or not (view.rolling or view.watching):
        return None
    return _leave(view, KILLED, annotation=view.killed.annotation)


def commanded(view: View) -> Change | None:
    """Abort and rollback mean the same: back to the revision that served before."""
    subject = view.subject.rolling or view.subject.promoted
    for name, reason in (("abort", ABORTED), ("rollback", ROLLED_BACK)):
        record = pending(view.status.commands, name, subject)
        if subject is not None and record is not None:
            change = _leave(view, reason, annotation=PREFIX + name)
            return Change(but(change.status, commands=done(change.status.commands, record)), change.notes)
    return None


def superseded(view: View) -> Change | None:
    """The spec asks for something else. A promotion whose names have moved is finished first."""
    if view.rolling and view.target != view.canary:
        if view.target == view.stable:
            return _leave(view, SPEC_RETURNED, next=view.target)
        return None if view.names_moved else _leave(view, SUPERSEDED, next=view.target)
    if view.watching and view.target == view.previous:
        return _leave(view, SPEC_RETURNED, next=view.target)
    return None


def failed(view: View) -> Change | None:
    """Only a Fail reverts; it does so while paused, while promoting and in the rollback window too."""
    if not (view.rolling or view.watching):
        return None
    verdict = view.judgement(view.status.started_at)
    if verdict is None or verdict.kind is not VerdictKind.FAIL:
        return None
    return _leave(view, ANALYSIS_FAILED, verdict=verdict.message or verdict.reason)


def alert_fired(view: View) -> Change | None:
    """An alert has fired against the revision for as long as `analysis.alerts` tolerates."""
    found = ripe(view)
    if found is None:
        return None
    alert, alarm = found
    return _leave(view, ALERT_FIRED, name=alert.name, since=stamp(alarm.began), limit=alert.for_)


def evaluation_failed(view: View) -> Change | None:
    """The evaluation that the step in progress waits for has failed the revision; a pause changes nothing."""
    gate, wanted = answer(view), asked(view)
    if gate is None or wanted is None or gate.state != "failed":
        return None
    said = gate.sentence or "it gave no reason"
    return _leave(view, EVALUATION_FAILED, name=wanted.name, step=view.progress, said=said)


def standing_failed(view: View) -> Change | None:
    """The revision that was just promoted fails its evaluation, and the one before is still warm. When the
    promoted revision has no ready pod, the revert names that as its reason, and not the evaluation."""
    found = fallen(view) if view.watching and view.ready(view.stable) else None
    if found is None or found[0].on_fail != "revert":
        return None
    return _leave(view, STANDING_FAILED, name=found[0].name, said=found[1].message or "it gave no reason")


def never_ready(view: View) -> Change | None:
    """Loading is progress until the startup deadline. A Deployment that the API server has refused is not
    waited for."""
    if not view.rolling or view.step is None or view.step.started_at or view.names_moved:
        return None
    if view.observed.unmade == view.canary and view.fleet(view.canary) is None:
        why = view.observed.setback.message if view.observed.setback is not None else ""
        return _leave(view, NEVER_MADE, why=why)
    ready, wanted = view.ready(view.canary), view.pods
    deadline = view.spec.runtime.startup_deadline
    if ready >= wanted or not view.past(view.step.entered_at, deadline):
        return None
    fleet = view.fleet(view.canary)
    trouble = f": {fleet.trouble.message}" if fleet is not None and fleet.trouble is not None else ""
    return _leave(view, STARTUP_DEADLINE, limit=deadline, ready=ready, wanted=wanted, trouble=trouble)


def unstable(view: View) -> Change | None:
    if not view.rolling or view.step is None or view.step.losses < MOST_LOSSES:
        return None
    return _leave(view, CANARY_UNSTABLE, step=view.progress, times=view.step.losses)


def contest_lost(view: View) -> Change | None:
    """The experiment or the bandit found that the revision is worse, or nothing, where the user wants it sent
    back then. A pause changes nothing."""
    step = view.step
    if not view.rolling or step is None or step.started_at is None or step.contest is None:
        return None
    if step.losses >= MOST_LOSSES or not contest.sends_back(view):
        return None
    name = view.stage.title if view.stage is not None else ""
    return _leave(view, CONTEST_LOST, name=name, step=view.progress, said=step.contest.message)


def no_verdict(view: View) -> Change | None:
    """The user asked that an undecided step goes back. A provider that is down decides nothing: it holds."""
    analysis = view.spec.analysis
    if analysis is None or analysis.on_insufficient != "revert" or view.paused or not late(view):
        return None
    verdict = evidence(view)
    if verdict is not None and verdict.kind is not VerdictKind.INSUFFICIENT:
        return None
    what = (verdict.message or verdict.reason) if verdict is not None else "no look"
    return _leave(view, NO_VERDICT, step=view.progress, limit=analysis.max_step_duration, verdict=what)


def stable_lost(view: View) -> Change | None:
    """Go back when the revision that took over has no ready pod left and a warm one can carry all users."""
    _, warm = replaced(view)
    since = lost_since(view)
    if since is None or view.now < since + GRACE or not holds(view.ready(warm), 100, view.replicas):
        return None
    return _leave(view, STABLE_LOST, previous=warm, limit=f"{GRACE:.0f}s")


def replaced(view: View) -> tuple[str | None, str | None]:
    """The revision that took over, when it has no ready pod, and the one that it took over from."""
    serving, warm = (view.canary, view.stable) if view.names_moved else (view.stable, view.previous)
    if not (view.watching or (view.rolling and view.names_moved)) or view.ready(serving):
        return None, None
    return serving, warm


def lost_since(view: View) -> float | None:
    """When users lost the pods of the revision that took over, from the condition that says so."""
    if replaced(view)[0] is None:
        return None
    return next((unix(c.last_transition_time) for c in view.status.conditions if _unavailable(c)), None)


def _unavailable(condition: Condition) -> bool:
    return condition.type == AVAILABLE and condition.status == "False"


# ── the way back ────────────────────────────────────────────────────────────────────────────────


def give_way(view: View) -> Change | None:
    """Traffic first: copies and matches end at once, the weight as far as the good revision can carry."""
    if not view.reverting or view.good is None:
        return None
    split = Split(course(view, view.good, urgent=True).weight)
    return view.change(weight=view.weighed(split)) if split != view.desired else None


def gone_back(view: View) -> Change | None:
    """Everybody is back: the bad revision drains."""
    if not view.reverting or view.good is None or not course(view, view.good, urgent=True).done:
        return None
    bad, why = view.bad, view.status.revert_message or ""
    refused = view.status.refused_revision == view.target
    said = note(REVERTED_NOW if refused else GONE_BACK, stable=view.good, why=why)
    ended = recorded(view, bad, _outcome(view), view.status.revert_reason or "", why) if bad else {}
    return view.change(
        said,
        stable=view.named(view.good),
        canary=None,
        previous=None,
        keep_warm_until=None,
        step=None,
        plan=[],
        phase="Reverted" if refused else "Stable",
        phase_since=view.at,
        **(leaving(view, bad) if bad else {}),
        **ended,
    )


def _outcome(view: View) -> Ending:
    if view.canary is None:
        return "RolledBack"
    if view.status.revert_reason in _NOT_REFUSED:
        return "Superseded"
    return "Aborted" if view.status.revert_reason in _BY_HAND else "Reverted"


def deadline(view: View) -> float | None:
    """When the pods of the step in progress will have had their time."""
    if not view.rolling or view.step is None or view.step.started_at:
        return None
    return unix(view.step.entered_at) + seconds(view.spec.runtime.startup_deadline)
