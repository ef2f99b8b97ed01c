"""Revisions that leave: they lose their traffic first; then their pods are deleted, and each ends by itself.

A pod's preStop hook waits for its streams to end, at most `runtime.drain.timeout` (see `serving/scripts`).
"""

from __future__ import annotations

from modelrollout.api.times import unix
from modelrollout.rollout.actions import DeleteRevision
from modelrollout.rollout.changes import DrainChanges
from modelrollout.rollout.view import Change, View

ROUTE_LAG = 5.0
"""Seconds for which requests may still arrive by an old route (Envoy takes up a change within one)."""
MOST = 8


def leaving(view: View, *revisions: str | None) -> DrainChanges:
    """The status changes that send these revisions away."""
    others = [revision for revision in view.status.draining if revision not in revisions]
    named = [revision for revision in revisions if revision is not None]
    return {"draining": (others + named)[-MOST:], "draining_since": view.at}


def staying(view: View, revision: str) -> DrainChanges:
    """The status changes that call a leaving revision back."""
    left = [each for each in view.status.draining if each != revision]
    return {"draining": left, "draining_since": view.status.draining_since if left else None}


def strays(view: View) -> Change | None:
    """Pods that nothing in status accounts for (a status restored from a backup) leave like others."""
    known = {view.stable, view.canary, view.previous, *view.status.draining}
    found = [revision for revision in sorted(view.observed.fleets) if revision not in known]
    room = MOST - len(view.status.draining)
    if view.stable is None or not found or room <= 0:
        return None
    return view.change(**leaving(view, *found[:room]))


def gone(view: View) -> Change | None:
    left = [revision for revision in view.status.draining if revision in view.observed.fleets]
    if left == view.status.draining:
        return None
    return view.change(draining=left, draining_since=view.status.draining_since if left else None)


def drained(view: View, revision: str) -> bool:
    """No route brings it anything new any more."""
    fleet, since = view.fleet(revision), view.status.draining_since
    if fleet is None or fleet.pods == 0:
        return True
    return since is not None and view.now >= unix(since) + ROUTE_LAG


def removals(view: View) -> list[DeleteRevision]:
    """Fleets that may go: the route is as we know it, no Service selects them, nothing new is under way.

    Before the route was touched for the first time, none of ours can have users.
    """
    untouched = view.installing and view.status.original_traffic is None
    if not (view.as_desired or untouched):
        return []
    selected = set(view.observed.services.values())
    if view.observed.named is not None:
        selected.add(view.observed.named.revision)
    return [
        DeleteRevision(revision)
        for revision in view.status.draining
        if revision in view.observed.fleets and revision not in selected and drained(view, revision)
    ]
