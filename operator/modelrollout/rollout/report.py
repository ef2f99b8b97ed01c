"""Status as people and machines read it: counts, conditions, message; and when a write is worth it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelrollout.analysis.planning.planner import hours
from modelrollout.api.conditions import (
    ACCEPTED,
    ANALYSED,
    AVAILABLE,
    DECIDABLE,
    EVALUATED,
    FINISHED,
    KILL_SWITCH,
    PAUSED,
    PROGRESSING,
    PROMOTED,
    REGISTRY,
    REVERTED,
    STALLED,
    STEADY,
    TRAFFIC_SPLIT,
    Finding,
    Truth,
    conclude,
)
from modelrollout.api.names import REVISION_LABEL, Role
from modelrollout.api.printable import printable
from modelrollout.api.problem import Problem
from modelrollout.api.reasons.coming import STABLE
from modelrollout.api.reasons.leaving import WAITING_FOR_GATEWAY
from modelrollout.api.reasons.order import HELD_BY_KILL, INSTALL_HELD_BY_KILL
from modelrollout.api.reasons.others import ACCEPTED_SPEC, DRIFTED, MODEL_NOT_RESOLVED
from modelrollout.api.reasons.reason import Reason
from modelrollout.api.reasons.serving import ENOUGH_READY, TOO_FEW_READY
from modelrollout.api.reasons.step import (
    AS_DESIRED,
    ENOUGH_TRAFFIC,
    LOW_TRAFFIC,
    NO_LOOKS,
    NOT_COMPARABLE,
    NOT_PAUSED,
    NOT_WRITTEN,
    NOTHING_ON_TRIAL,
)
from modelrollout.api.status import AnalysisStatus, OriginalService, RevisionStatus, Status, WeightStatus
from modelrollout.api.times import unix
from modelrollout.rollout import kill, unequal
from modelrollout.rollout.capacity import holds
from modelrollout.rollout.changes import but
from modelrollout.rollout.connections import changed_much, requests_left
from modelrollout.rollout.drift import drifting, unwritten
from modelrollout.rollout.phase import PhaseReport
from modelrollout.rollout.standing import evaluated
from modelrollout.rollout.steady import steady
from modelrollout.rollout.view import View

_MOVING = frozenset({"Installing", "Starting", "Progressing", "Promoting", "Reverting"})
_SUSPICIONS = ("NoiseUnknown", "HeldByMetric")
_VERDICTS = {"Pass": "Passed", "Fail": "Failed"}


def report(view: View, what: PhaseReport, problem: Problem | None) -> Status:
    """The status with everything that people read brought up to date."""
    status, observed = view.status, view.observed
    hindrance, analysis = problem or observed.setback, _analysis(view)
    fresh = but(
        status,
        observed_generation=observed.generation,
        message=printable(hindrance.message if hindrance is not None else what.message)[:1024],
        stable=_counted(view, status.stable),
        canary=_counted(view, status.canary),
        previous=_warm(view, status.previous),
        weight=_weight(view),
        ready=_ready(view),
        replicas=view.replicas if problem is None else view.wanted(view.stable),
        selector=f"{observed.selector},{REVISION_LABEL}={view.stable}" if view.stable else "",
        analysis=analysis,
        verdict=analysis.verdict if analysis is not None and view.canary is not None else None,
    )
    after = View(view.spec, fresh, observed, view.now)
    findings = _findings(after, what, problem)
    return but(fresh, conditions=conclude(status.conditions, findings, observed.generation, view.at))


def _counted(view: View, revision: RevisionStatus | None) -> RevisionStatus | None:
    if revision is None:
        return None
    fleet = view.fleet(revision.revision)
    wanted, ready = (fleet.wanted, fleet.ready) if fleet is not None else (0, 0)
    return but(revision, replicas=wanted, ready=ready, requests_left=None, restarted_at=None)


def _warm(view: View, revision: RevisionStatus | None) -> RevisionStatus | None:
    """Only the previous revision shows how many requests still reach it."""
    counted = _counted(view, revision)
    if revision is None or counted is None:
        return None
    return but(counted, requests_left=requests_left(view, revision), restarted_at=revision.restarted_at)


def _ready(view: View) -> str:
    return f"{view.ready(view.stable)}/{view.replicas}" if view.stable is not None else ""


def _weight(view: View) -> WeightStatus:
    """Once the names have moved, the stable Service is the new revision's and weight 0 sends it everybody."""
    weight, on_trial = view.status.weight, view.canary is not None
    share = 100 if view.names_moved and not view.reverting else weight.desired
    return but(
        weight,
        canary=share if on_trial else None,
        observed=view.read.canary if view.read is not None else None,
        measured=view.observed.measured if on_trial else None,
    )


def _analysis(view: View) -> AnalysisStatus | None:
    since = view.step.started_at if view.rolling and view.step is not None else None
    if view.watching:
        since = view.status.started_at
    analysis = view.analysis(since)
    if analysis is None or analysis.eta is None:
        return analysis
    ahead = view.canary is not None and unix(analysis.eta) > view.now
    return analysis if ahead else but(analysis, eta=None)


# ── conditions ──────────────────────────────────────────────────────────────────────────────────


def _findings(view: View, what: PhaseReport, problem: Problem | None) -> dict[str, Finding]:
    moving = what.phase in _MOVING
    paused = what.phase == "Paused"
    findings = {
        ACCEPTED: Finding("False", problem.reason, problem.message)
        if problem is not None
        else _said("True", ACCEPTED_SPEC),
        PROGRESSING: Finding("True" if moving else "False", what.reason, what.message),
        PAUSED: Finding("True", what.reason, what.message) if paused else _said("False", NOT_PAUSED),
        TRAFFIC_SPLIT: _traffic_split(view),
    }
    if view.stable is not None:
        findings |= {
            AVAILABLE: _available(view),
            PROMOTED: _promoted(view, what),
            REVERTED: _reverted(view, what),
        }
    if view.killed is not None:
        findings[KILL_SWITCH] = _killed(view, what)
    if (evaluations := evaluated(view)) is not None:
        findings[EVALUATED] = evaluations
    if (registry := _registry(view)) is not None:
        findings[REGISTRY] = registry
    if (compared := steady(view)) is not None:
        findings[STEADY] = compared
    findings[FINISHED] = _finished(view, what, findings)
    if view.spec.analysis is not None:
        findings[ANALYSED] = _analysed(view)
        if view.canary is not None and (decidable := _decidable(view)) is not None:
            findings[DECIDABLE] = decidable
    if view.observed.setback is not None:
        findings[STALLED] = Finding("True", view.observed.setback.reason, view.observed.setback.message)
    return findings


def _said(status: Truth, reason: Reason, **facts: object) -> Finding:
    return Finding(status, reason.name, reason.say(**facts))


def _available(view: View) -> Finding:
    """Both sides reach the pods that their share of the users needs.

    By what each Service lists itself: one that was just pointed at another revision lists its pods a moment
    later, and nobody is sent there before.
    """
    weight = view.desired.canary
    stable = holds(_reached(view, "stable"), 100 - weight, view.replicas)
    if stable and (not weight or _reached(view, "canary")):
        return _said("True", ENOUGH_READY, revision=view.stable)
    ready = view.ready(view.stable)
    return _said("False", TOO_FEW_READY, revision=view.stable, ready=ready, wanted=view.replicas)


def _reached(view: View, role: Role) -> int:
    fleet = view.fleet(view.selected(role))
    resting = fleet.resting if fleet is not None and role == "stable" else 0
    return view.observed.endpoints.get(role, {}).get(view.selected(role) or "", 0) + resting


def _promoted(view: View, what: PhaseReport) -> Finding:
    settled = not (view.installing or view.rolling or view.reverting)
    if settled and view.stable == view.target:
        return Finding("True", "Promoted", STABLE.say(revision=view.stable))
    return Finding("False", what.phase, what.message)


def _reverted(view: View, what: PhaseReport) -> Finding:
    if what.phase == "Reverted" or (what.phase == "Killed" and kill.refused(view)):
        return Finding("True", view.status.revert_reason or "Reverted", what.message)
    return Finding("False", what.phase)


def _killed(view: View, what: PhaseReport) -> Finding:
    """True once nobody is left to take back, so that a person can wait for it."""
    if view.reverting:
        return Finding("False", what.reason, what.message)
    held = INSTALL_HELD_BY_KILL if kill.withheld(view) else HELD_BY_KILL
    return _said("True", held, **kill.facts(view))


def _finished(view: View, what: PhaseReport, findings: Mapping[str, Finding]) -> Finding:
    """The end that a pipeline waits for. A spec that cannot be carried out ends nothing that is under way."""
    for kind in (PROMOTED, REVERTED):
        found = findings.get(kind)
        if found is not None and found.status == "True" and findings[ACCEPTED].status == "True":
            return Finding("True", kind, found.message)
    if what.phase == "Killed":
        return Finding("True", what.phase, what.message)
    accepted = findings[ACCEPTED]
    refused = accepted.status == "False" and accepted.reason != MODEL_NOT_RESOLVED.name
    if refused and view.canary is None and not (view.reverting or view.installing):
        return Finding("True", "Invalid", findings[ACCEPTED].message)
    if view.installing and view.observed.unmade == view.stable and view.observed.setback is not None:
        return Finding("True", "Invalid", view.observed.setback.message)
    return Finding("False", what.phase, what.message)


def _traffic_split(view: View) -> Finding:
    route = view.observed.route
    if route.problem is not None:
        return Finding("False", route.problem.reason, route.problem.message)
    if view.stuck:
        waiting = route.waiting_for or Problem(
            WAITING_FOR_GATEWAY.name, "The gateway has not taken the route yet"
        )
        return Finding("False", waiting.reason, waiting.message)
    if view.installing or unwritten(view):
        return _said("Unknown", NOT_WRITTEN)
    if drifting(view):
        return Finding("False", DRIFTED.name, f"{route.writer} changed the route")
    if view.observed.split_mismatch:
        return _said("False", NOT_COMPARABLE, mismatch=view.observed.split_mismatch)
    if said := (*route.warnings, *unequal.warnings(view)):
        told = " ".join([AS_DESIRED.say() + ".", *(warning.message for warning in said)])
        return Finding("True", said[0].reason, told)
    return _said("True", AS_DESIRED)


def _decidable(view: View) -> Finding | None:
    """What was said before stays until it is known anew."""
    outlook = view.observed.outlook
    if outlook is None:
        before = next((each for each in view.status.conditions if each.type == DECIDABLE), None)
        return Finding(before.status, before.reason, before.message) if before is not None else None
    remarks = "".join(f" {remark}" for remark in outlook.remarks)
    if outlook.late is not None:
        return _said("False", LOW_TRAFFIC, late=outlook.late, remarks=remarks)
    time, more = f"about {hours(outlook.seconds)}", f".{remarks}" if remarks else ""
    return _said("True", ENOUGH_TRAFFIC, time=time, remarks=more)


def _registry(view: View) -> Finding | None:
    """What was said before stays until it is known anew, or no registry is asked any more."""
    if view.observed.registry is not None or view.observed.pin is None:
        return view.observed.registry
    before = next((each for each in view.status.conditions if each.type == REGISTRY), None)
    return Finding(before.status, before.reason, before.message) if before is not None else None


def _analysed(view: View) -> Finding:
    analysis = view.status.analysis
    if view.canary is None:
        return _said("Unknown", NOTHING_ON_TRIAL)
    if analysis is None or analysis.verdict is None:
        return _said("Unknown", NO_LOOKS)
    truth: dict[str, Truth] = {"Pass": "True", "Fail": "False"}
    reason = _VERDICTS.get(analysis.verdict, analysis.verdict)
    return Finding(truth.get(analysis.verdict, "Unknown"), reason, analysis.message or analysis.reason)


# ── a write when a person or a restart needs it ─────────────────────────────────────────────────


FRESH = 30.0
"""Seconds. While a step is judged, people see no numbers that are older than this and one look."""


def worth_writing(before: Status, after: Status, now: float = 0.0) -> bool:
    """Whether more than counts and wording has changed. Each quarter of the pods is a change while they load,
    and so are the numbers of a step that is judged when they were last written a while ago.

    A drained revision that has disappeared is no reason to write: the next write removes it from `draining`.
    """
    if _outdated(before, after, now) or changed_much(_left(before), _left(after)):
        return True
    if set(after.draining) <= set(before.draining):
        before = but(before, draining=after.draining, draining_since=after.draining_since)
    return _essence(before) != _essence(after)


def _left(status: Status) -> str | None:
    return status.previous.requests_left if status.previous is not None else None


def _essence(status: Status) -> dict[str, Any]:
    """All of status without wording and counts. Plain values, because this runs in each pass."""
    return {
        **status.__dict__,
        "message": "",
        "verdict": status.verdict is None,
        "ready": status.ready == "",
        "stable": _rough(status.stable, waited_for=True, complete=True),
        "canary": _rough(status.canary, status.phase == "Starting"),
        "previous": _rough(status.previous),
        "weight": {**status.weight.__dict__, "observed": None, "measured": None},
        "original_service": _remembered(status.original_service),
        "analysis": _pressing(status.analysis),
        "conditions": [
            {**condition.__dict__, "message": ""}
            for condition in status.conditions
            if condition.type != ANALYSED
        ],
    }


def _rough(
    revision: RevisionStatus | None, waited_for: bool = False, complete: bool = False
) -> tuple[object, ...]:
    """The revision, how many quarters of its pods are ready while it is waited for, and for the READY column
    how many it should have, once it has them all."""
    if revision is None:
        return ()
    wanted = max(1, revision.replicas)
    quarters = 4 * min(revision.ready, wanted - 1) // wanted if waited_for else 0
    enough = (revision.ready > wanted, revision.replicas) if revision.ready >= wanted else ()
    told = (revision.revision, revision.model, revision.restarted_at)
    return *told, quarters, enough if complete else ()


def _outdated(before: Status, after: Status, now: float) -> bool:
    """What people watch while a step is judged has changed, and was written a while ago; or it promises a
    verdict for a moment that has gone by."""
    shown, fresh = before.analysis, after.analysis
    if shown is not None and shown.eta is not None and unix(shown.eta) <= now:
        return True
    judged = after.canary is not None and after.step is not None and after.step.started_at is not None
    if not judged or fresh is None or fresh.last_look is None or after.step is None:
        return False
    last = (shown.last_look if shown is not None else None) or after.step.started_at
    old = last is not None and unix(fresh.last_look) - unix(last) >= FRESH
    return old and _watched(before) != _watched(after)


def _watched(status: Status) -> tuple[object, ...]:
    """The numbers. A verdict in the way is written at once, a Pass with the step that it passes."""
    analysis = status.analysis
    same = dict.fromkeys(("verdict", "reason", "last_look"))
    numbers = {**analysis.__dict__, **same} if analysis is not None else None
    step = status.step
    counted = status.message if step is not None and step.contest is not None else ""
    return numbers, status.weight.measured, counted


def _remembered(original: OriginalService | None) -> dict[str, Any] | None:
    """Leave out that the Service was seen where it was pointed: the next write brings it along."""
    return {**original.__dict__, "pointed": False} if original is not None else None


def _pressing(analysis: AnalysisStatus | None) -> str | None:
    """What of the analysis is worth a write of its own: a verdict that stands in the way, or the suspicion
    that the canary is worse. A Pass is written with the step that it passes."""
    if analysis is None:
        return None
    if analysis.verdict in ("Fail", "ProviderError"):
        return analysis.verdict
    return analysis.reason if analysis.reason in _SUSPICIONS else None
