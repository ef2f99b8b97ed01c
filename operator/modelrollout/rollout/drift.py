"""Names another writer that changed the route, and undoes the change, but not in a race."""

from __future__ import annotations

from modelrollout.api.conditions import TRAFFIC_SPLIT
from modelrollout.api.reasons.others import DRIFTED
from modelrollout.api.reasons.step import NOT_WRITTEN
from modelrollout.api.times import unix
from modelrollout.rollout.advance import describe
from modelrollout.rollout.changes import but
from modelrollout.rollout.notes import note
from modelrollout.rollout.view import Change, View

BACKOFF = 10.0
"""Seconds between two corrections, so that a controller that always writes back does not flood the API
server."""
AT_ONCE = 2.0
"""Seconds after a correction was decided in which it is sent, also when the first sending failed."""


def drifting(view: View) -> bool:
    """Whether the route held what we asked for, does not now, and somebody else wrote it."""
    return (
        view.confirmed
        and not view.as_desired
        and not unwritten(view)
        and view.observed.route.writer is not None
    )


def unwritten(view: View) -> bool:
    """The route has taken the place of another one, and has not been seen with our split yet."""
    if view.status.taken is None or view.status.original_traffic is None:
        return view.status.taken is not None
    split = next((each for each in view.status.conditions if each.type == TRAFFIC_SPLIT), None)
    return split is not None and split.reason == NOT_WRITTEN.name and not view.as_desired


def see_drift(view: View) -> Change | None:
    if not drifting(view):
        return None
    last = view.status.weight.drift_at
    if last is not None and view.now < unix(last) + BACKOFF:
        return None
    found = describe(view.read) if view.read is not None else "something else"
    writer, split = view.observed.route.writer, describe(view.desired)
    said = note(DRIFTED, writer=writer, found=found, split=split)
    return view.change(said, weight=but(view.status.weight, drift_at=view.at))


def waits(view: View) -> bool:
    """The last correction was undone so soon that the next one waits."""
    last = view.status.weight.drift_at
    if not drifting(view) or last is None:
        return False
    return unix(last) + AT_ONCE <= view.now < unix(last) + BACKOFF
