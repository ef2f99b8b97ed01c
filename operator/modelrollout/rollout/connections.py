"""Clients who keep a connection open to the old revision after the Service has moved to the new one.

kube-proxy asks a Service's selector when a connection opens. An open connection ends only with its pod, so
`traffic.closeConnectionsAfter` restarts the pods.
"""

from __future__ import annotations

from modelrollout.api.quantities import seconds
from modelrollout.api.reasons.serving import (
    CLOSING_CONNECTIONS,
    CONNECTIONS_GONE,
    CONNECTIONS_LEFT,
    CONNECTIONS_UNCOUNTED,
)
from modelrollout.api.status import RevisionStatus
from modelrollout.api.times import stamp, unix
from modelrollout.rollout.actions import RestartPods
from modelrollout.rollout.changes import but
from modelrollout.rollout.notes import note
from modelrollout.rollout.steps import splits_by_pods
from modelrollout.rollout.view import Change, View

COUNTED_OVER = 180.0
"""Seconds of looks over which requests are counted, so that rare ones do not come and go in status."""
WORTH_A_WRITE = 2.0
"""How many times more or less than status says a count must be to be shown at once."""


def closing_at(view: View) -> float | None:
    """When the old pods are to be restarted; None: they are not, or it was begun already."""
    after = view.spec.traffic.close_connections_after
    old, since = view.status.previous, view.status.phase_since
    if after is None or not view.watching or old is None or old.restarted_at or since is None:
        return None
    return unix(since) + seconds(after) if splits_by_pods(view.spec) else None


def close_connections(view: View) -> Change | None:
    """The clients had their time to open new connections by themselves."""
    due, old = closing_at(view), view.status.previous
    if due is None or old is None or view.now < due or view.fleet(old.revision) is None:
        return None
    said = note(CLOSING_CONNECTIONS, previous=old.revision, revision=view.stable)
    return view.change(said, previous=but(old, restarted_at=view.at))


def restarts(view: View) -> list[RestartPods]:
    """The restart that status means, until the Deployment has it."""
    old, fleet = view.status.previous, view.fleet(view.previous)
    if not view.watching or old is None or old.restarted_at is None or fleet is None:
        return []
    return [RestartPods(old.revision, old.restarted_at)] if fleet.restarted_at != old.restarted_at else []


def requests_left(view: View, old: RevisionStatus) -> str | None:
    """What status says of those who did not move; it stays while no look has counted them anew."""
    if view.spec.analysis is None or not view.watching or not splits_by_pods(view.spec):
        return None
    rate = view.observed.left_behind
    if rate is None:
        return old.requests_left
    return "0" if rate == 0 else f"{max(rate, 0.01):.{0 if rate >= 10 else 1 if rate >= 1 else 2}f}"


def who_is_left(view: View) -> str:
    """The end of the sentence on a revision that serves all new connections."""
    old = view.status.previous
    left = requests_left(view, old) if old is not None else None
    if left is None:
        said = CONNECTIONS_UNCOUNTED
    elif float(left) == 0:
        said = CONNECTIONS_GONE.format(minutes=f"{COUNTED_OVER / 60:.0f}")
    else:
        said = CONNECTIONS_LEFT.format(rate=left)
    return said + _their_end(view)


def _their_end(view: View) -> str:
    old, due = view.status.previous, closing_at(view)
    if old is not None and old.restarted_at:
        return f". Its pods are restarted one by one since {old.restarted_at}, which ends these connections"
    return f". Its pods are restarted from {stamp(due)} on, which ends these connections" if due else ""


def changed_much(before: str | None, after: str | None) -> bool:
    """Whether people should be shown the new count before another write brings it along."""
    if before is None or after is None or 0 in (float(before), float(after)):
        return before != after
    times = float(after) / float(before)
    return not 1 / WORTH_A_WRITE < times < WORTH_A_WRITE
