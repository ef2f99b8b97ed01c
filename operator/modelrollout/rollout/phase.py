"""Finds the phase of a rollout, and says in a reason and a sentence what the rollout waits for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from modelrollout.api.names import PREFIX
from modelrollout.api.quantities import seconds
from modelrollout.api.reasons.coming import INSTALLING, POD_TROUBLE, STABLE, STARTING
from modelrollout.api.reasons.leaving import (
    REVERTED_NOW,
    REVERTING,
    STARTUP_DEADLINE,
    WAITING_FOR_GATEWAY,
    WAITING_FOR_STABLE,
)
from modelrollout.api.reasons.order import HELD_BY_KILL, INSTALL_HELD_BY_KILL
from modelrollout.api.reasons.proof import CONTEST_HOLDS, CONTEST_RUNS, EVALUATING, EVALUATION_HOLDS
from modelrollout.api.reasons.reason import Reason
from modelrollout.api.reasons.serving import (
    EVALUATION_STALE,
    PROMOTING,
    WATCHING,
    WATCHING_BESIDE,
    WATCHING_BY_SERVICE,
)
from modelrollout.api.reasons.step import (
    DWELLING,
    JUDGING,
    NOT_COMPARABLE,
    PAUSED_BY_COMMAND,
    PAUSED_BY_PLAN,
    PAUSED_WITHOUT_VERDICT,
    STABLE_GONE,
    TIMED_PAUSE,
    UNDECIDED,
    WAITING_FOR_OTHERS,
    WAITING_FOR_PODS,
    WAITING_FOR_ROTATION,
    WAITING_FOR_ROUTE,
)
from modelrollout.api.stages import Bandit, Evaluate, Experiment, Shift, Wait
from modelrollout.api.status import Phase
from modelrollout.api.times import stamp, unix
from modelrollout.api.transitions import Transition
from modelrollout.rollout import alarms, contest, judge, kill
from modelrollout.rollout.advance import describe
from modelrollout.rollout.capacity import holds
from modelrollout.rollout.carry import carrying
from modelrollout.rollout.connections import who_is_left
from modelrollout.rollout.fit import blockers, fit
from modelrollout.rollout.gate import answer
from modelrollout.rollout.handover import course
from modelrollout.rollout.rotation import balanced, resting
from modelrollout.rollout.standing import holding, staleness
from modelrollout.rollout.steps import splits_by_pods
from modelrollout.rollout.view import SLOW, View
from modelrollout.traffic.registry import unreachable
from modelrollout.traffic.router import Split


@dataclass(frozen=True)
class PhaseReport:
    phase: Phase
    reason: str
    message: str
    warning: bool = False
    """Worth a note of its own when it begins."""
    transition: Transition = "troubled"
    """What kind of change that note is about."""


def _do(phase: Phase, reason: Reason, **facts: object) -> PhaseReport:
    return PhaseReport(phase, reason.name, reason.say(**facts), reason.warning, reason.transition)


def current_phase(view: View) -> PhaseReport:
    """Say in which phase the rollout is and what it waits for."""
    if view.installing:
        return _installing(view)
    if view.reverting:
        return _reverting(view)
    if view.rolling:
        return _promoting(view) if view.final else _stepping(view)
    if view.killed is not None:
        return _do("Killed", HELD_BY_KILL, **kill.facts(view))
    held = holding(view) if view.target not in (view.stable, view.status.refused_revision) else None
    if held is not None and view.status.phase is not None:
        phase: Phase = "Stable" if view.status.phase == "Killed" else view.status.phase
        return PhaseReport(phase, EVALUATION_STALE.name, staleness(*held))
    if view.watching:
        until = view.status.keep_warm_until
        facts = {"revision": view.stable, "previous": view.previous, "until": until}
        if splits_by_pods(view.spec):
            return _do("Watching", WATCHING_BY_SERVICE, left=who_is_left(view), **facts)
        if share := view.desired.canary:
            return _do("Watching", WATCHING_BESIDE, share=share, **facts)
        return _do("Watching", WATCHING, **facts)
    if kill.refused(view):
        why = view.status.revert_message or ""
        return PhaseReport("Reverted", REVERTED_NOW.name, REVERTED_NOW.say(stable=view.stable, why=why))
    return _do("Stable", STABLE, revision=view.stable)


def _installing(view: View) -> PhaseReport:
    if kill.withheld(view):
        return _do("Installing", INSTALL_HELD_BY_KILL, **kill.facts(view))
    trouble = _trouble(view, view.stable)
    ready, limit = view.ready(view.stable), view.spec.runtime.startup_deadline
    if view.past(view.status.phase_since, limit):
        facts = {"revision": view.stable, "limit": limit, "ready": ready, "wanted": view.replicas}
        cause = f": {trouble[1]}" if trouble is not None else ""
        what = _do("Installing", STARTUP_DEADLINE, trouble=cause, **facts)
        return replace(what, transition="troubled")  # nothing else serves, so nobody is sent back
    if trouble is not None and not _early(view, view.stable):
        return PhaseReport("Installing", *trouble, warning=True)
    waiting = view.observed.route.waiting_for
    if view.stuck and waiting is not None and holds(ready, 100, view.replicas):
        return PhaseReport("Installing", waiting.reason, waiting.message, warning=True)
    return _do("Installing", INSTALLING, revision=view.stable, ready=ready, wanted=view.replicas)


def _trouble(view: View, revision: str | None) -> tuple[str, str] | None:
    fleet = view.fleet(revision)
    if fleet is None or fleet.trouble is None:
        return None
    return fleet.trouble.reason, POD_TROUBLE.say(revision=revision, trouble=fleet.trouble.message)


def _early(view: View, revision: str | None) -> bool:
    """Its pods are in a state that all pods are in while they load."""
    fleet = view.fleet(revision)
    return fleet is not None and fleet.trouble is not None and fleet.trouble.early


def _reverting(view: View) -> PhaseReport:
    good = view.good
    held, reason = "", REVERTING.name
    if good is not None and not holds(view.ready(good), 100, view.replicas):
        held = WAITING_FOR_STABLE.say(ready=view.ready(good), wanted=view.replicas, stable=good)
        reason = WAITING_FOR_STABLE.name
    elif view.stuck:
        held = WAITING_FOR_GATEWAY.say(cause=_gateway(view))
        reason = WAITING_FOR_GATEWAY.name
    why = view.status.revert_message or ""
    return PhaseReport("Reverting", reason, REVERTING.say(stable=good, why=why, held=held))


def _stepping(view: View) -> PhaseReport:
    if carrying(view):
        return _do("Progressing", STABLE_GONE, stable=view.stable, revision=view.canary, step=view.progress)
    if view.paused:
        return _do("Paused", PAUSED_BY_COMMAND, step=view.progress, annotation=PREFIX + "pause")
    if view.desired != view.asked or not fit(view):
        if view.step is None or view.step.started_at is None:
            return _waiting_for_pods(view)
    elif view.step is None or view.step.started_at is None:
        return _waiting_for_route(view)
    return _judging(view)


def _waiting_for_pods(view: View) -> PhaseReport:
    phase: Phase = "Starting" if view.desired == Split() else "Progressing"
    wanted, ready = view.pods, view.ready(view.canary)
    if view.desired != view.asked and (unmade := unreachable(view.spec, view.asked.canary)) is not None:
        return PhaseReport("Paused", unmade.reason, unmade.message, warning=True, transition="waiting")
    if ready >= wanted and (others := blockers(view)):
        return _do(phase, WAITING_FOR_OTHERS, step=view.progress, others=", ".join(others))
    trouble = _trouble(view, view.canary) if ready < wanted else None
    if trouble is not None and not _early(view, view.canary):
        return PhaseReport(phase, *trouble, warning=True)
    facts = {"revision": view.canary, "ready": ready, "wanted": wanted}
    if phase == "Starting":
        return _do(phase, STARTING, stable=view.stable, **facts)
    return _do(phase, WAITING_FOR_PODS, step=view.progress, **facts)


def _waiting_for_route(view: View) -> PhaseReport:
    late = view.past(view.asked_since, SLOW) and view.settled and fit(view)
    if late and (count := resting(view)) and not balanced(view):
        facts = {"step": view.progress, "count": count, "wanted": view.replicas, "stable": view.stable}
        return _do("Progressing", WAITING_FOR_ROTATION, **facts)
    split, cause = describe(view.asked), _gateway(view)
    what = _do("Progressing", WAITING_FOR_ROUTE, step=view.progress, split=split, cause=cause)
    waiting = view.observed.route.waiting_for
    return replace(what, reason=waiting.reason, warning=True) if view.stuck and waiting is not None else what


def _gateway(view: View) -> str:
    waiting = view.observed.route.waiting_for
    return f" ({waiting.message})" if waiting is not None else ""


def _judging(view: View) -> PhaseReport:
    stage, started = view.stage, view.step.started_at if view.step is not None else None
    if stage is None or started is None:
        return _waiting_for_route(view)
    if stage.stay is None:
        return _do("Paused", PAUSED_BY_PLAN, step=view.progress, annotation=PREFIX + "promote")
    if view.observed.split_mismatch:
        return _do("Progressing", NOT_COMPARABLE, mismatch=view.observed.split_mismatch)
    asked = view.observed.alarms is not None
    if (found := alarms.holding(view)) is not None and (asked or judge.stayed(view)):
        return PhaseReport("Progressing", found.reason, found.message, warning=asked)
    until = stamp(unix(started) + stage.stay)
    match stage:
        case Wait():
            return _do("Progressing", TIMED_PAUSE, step=view.progress, until=until)
        case Shift():
            return _compared(view, unix(started), until)
        case Evaluate(name=name):
            return _evaluated(view, name)
        case Experiment() | Bandit():
            return _contested(view, unix(started), until)
        case _:
            assert_never(stage)


def _evaluated(view: View, name: str) -> PhaseReport:
    """Only an answer that needs a person's eye is a warning; the step holds in every case."""
    gate = answer(view)
    facts = {"step": view.progress, "name": name, "revision": view.canary}
    if gate is None or gate.state in ("running", "passed", "failed"):
        said = f": {gate.sentence}" if gate is not None and gate.sentence else ""
        return _do("Progressing", EVALUATING, said=said, **facts)
    annotation, number = PREFIX + "promote", view.index + 1
    said = gate.sentence.rstrip(".")
    return _do("Progressing", EVALUATION_HOLDS, said=said, annotation=annotation, number=number, **facts)


def _contested(view: View, started: float, until: str) -> PhaseReport:
    """It goes on; it has ended and waits for the metrics; or it has ended and a person has to say what
    follows."""
    ended = view.step.contest if view.step is not None else None
    name = view.stage.title if view.stage is not None else ""
    if ended is None or ended.result is None:
        said = contest.progress(view)
        return _do("Progressing", CONTEST_RUNS, step=view.progress, name=name, said=said)
    if contest.opens(view):
        return _compared(view, started, until)
    annotation, number = PREFIX + "promote", view.index + 1
    facts = {"step": view.progress, "name": name, "said": ended.message}
    return _do("Paused", CONTEST_HOLDS, annotation=annotation, number=number, **facts)


def _compared(view: View, started: float, until: str) -> PhaseReport:
    """A step that moves traffic waits for its stay to end at `until`, and then for a verdict."""
    facts = {"step": view.progress, "revision": view.canary, "split": describe(view.asked)}
    awaited = judge.awaited(view)
    if not judge.stayed(view) or (awaited is not None and view.now < awaited and not judge.late(view)):
        return _do("Progressing", DWELLING, until=until, **facts)
    analysis, verdict = view.spec.analysis, judge.evidence(view)
    text = (verdict.message or verdict.reason) if verdict is not None else "no look has been taken yet"
    if analysis is not None and judge.late(view):
        annotation, limit = PREFIX + "promote", analysis.max_step_duration
        return _do(
            "Paused",
            PAUSED_WITHOUT_VERDICT,
            step=view.progress,
            limit=limit,
            verdict=text,
            annotation=annotation,
        )
    undecided = ""
    if analysis is not None:
        limit = stamp(unix(judge.asked_since(view) or stamp(started)) + seconds(analysis.max_step_duration))
        undecided = UNDECIDED[analysis.on_insufficient].format(until=limit)
    return _do("Progressing", JUDGING, verdict=text.rstrip("."), undecided=undecided, **facts)


def _promoting(view: View) -> PhaseReport:
    if view.paused and not view.names_moved and view.desired != view.asked:
        return _do("Paused", PAUSED_BY_COMMAND, step=view.progress, annotation=PREFIX + "pause")
    facts = {"revision": view.canary, "stable": view.stable}
    ready = view.ready(view.canary)
    if view.names_moved:
        what = "the names have moved, users are following"
    elif view.desired == view.asked:
        point = course(view, view.canary, urgent=False).point if view.canary is not None else None
        what = (
            "the stable Service is to select it" if point is not None else "the route is to send it everybody"
        )
    elif ready < view.pods:
        trouble = _trouble(view, view.canary)
        if trouble is not None and not _early(view, view.canary):
            return PhaseReport("Promoting", *trouble, warning=True)
        what = f"{ready} of {view.pods} pods ready"
    else:
        what = "its pods are about to be listed"
    return _do("Promoting", PROMOTING, doing=what, **facts)
