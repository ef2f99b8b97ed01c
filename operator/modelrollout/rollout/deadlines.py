"""The next moment at which time alone would change the decision."""

from __future__ import annotations

from collections.abc import Iterator

from modelrollout.api.quantities import seconds
from modelrollout.api.times import unix
from modelrollout.rollout import carry, connections, contest, drift, judge, named, orders, revert, standing
from modelrollout.rollout.drain import ROUTE_LAG, drained
from modelrollout.rollout.gate import answer
from modelrollout.rollout.rotation import balanced
from modelrollout.rollout.view import SLOW, View


def requeue(view: View) -> float | None:
    """Seconds from now; None when only an event can change anything."""
    ahead = [moment - view.now for moment in _moments(view) if moment > view.now]
    return min(ahead, default=None)


def orders_due(view: View) -> float | None:
    """Seconds until an order that is over may be taken off."""
    moment = orders.next_off(view)
    return moment - view.now if moment is not None else None


def _moments(view: View) -> Iterator[float]:
    yield from _step(view)
    yield from standing.moments(view)
    if view.canary is not None and view.status.analysis is not None and view.status.analysis.eta is not None:
        yield unix(view.status.analysis.eta)
    if (off := orders.next_off(view)) is not None:
        yield off
    if (deadline := revert.deadline(view)) is not None:
        yield deadline
    if view.installing and view.status.phase_since is not None:
        yield unix(view.status.phase_since) + seconds(view.spec.runtime.startup_deadline)
    if view.watching and view.status.keep_warm_until is not None:
        yield unix(view.status.keep_warm_until)
    if (due := connections.closing_at(view)) is not None:
        yield due
    if (since := revert.lost_since(view)) is not None:
        yield since + revert.GRACE
    if drift.drifting(view) and view.status.weight.drift_at is not None:
        yield unix(view.status.weight.drift_at) + drift.BACKOFF
    if (lost := carry.lost_at(view)) is not None and not carry.carrying(view):
        yield lost
    if (correction := named.correction_due(view)) is not None:
        yield correction
    if view.asked_since is not None and not view.confirmed and not (view.settled and balanced(view)):
        yield unix(view.asked_since) + seconds(SLOW)
    if view.stuck:
        yield view.now + seconds(SLOW)  # a Gateway is watched by nobody of ours
    yield from _draining(view)


def _step(view: View) -> Iterator[float]:
    stage, analysis = view.stage, view.spec.analysis
    if stage is None or view.step is None or view.step.started_at is None:
        return
    started = unix(view.step.started_at)
    if stage.stay is not None:
        yield started + stage.stay
    if (gate := answer(view)) is not None and gate.again_at is not None:
        yield gate.again_at
    if (awaited := judge.awaited(view)) is not None:
        yield awaited
    if (move := contest.move_due(view)) is not None:
        yield move
    if analysis is not None and judge.needs_verdict(view) and (since := judge.asked_since(view)) is not None:
        yield unix(since) + seconds(analysis.max_step_duration)


def _draining(view: View) -> Iterator[float]:
    since = view.status.draining_since
    if since is None or all(drained(view, revision) for revision in view.status.draining):
        return
    yield unix(since) + ROUTE_LAG
