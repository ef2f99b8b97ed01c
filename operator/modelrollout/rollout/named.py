"""The Service that people named leads to the pods that serve users, where a route splits between two others.

Callers inside the cluster, a tool that writes the Service back into the route, and rules that nobody splits
all come by it. It follows the stable revision: no split, no trial, no move to pods that are not ready.
"""

from __future__ import annotations

from modelrollout.api.reasons.others import SERVICE_DRIFTED
from modelrollout.api.times import unix
from modelrollout.rollout.actions import PointNamed
from modelrollout.rollout.capacity import holds
from modelrollout.rollout.carry import carrying
from modelrollout.rollout.changes import but
from modelrollout.rollout.drift import AT_ONCE, BACKOFF
from modelrollout.rollout.kill import withheld
from modelrollout.rollout.notes import note
from modelrollout.rollout.view import Change, View


def named(view: View) -> list[PointNamed]:
    """The move that the Service needs now, if it is safe now."""
    found, wanted = view.observed.named, serving(view)
    if found is None or wanted is None or found.revision == wanted or not _better(view, wanted):
        return []
    if withheld(view):
        return []
    return [] if correction_due(view) is not None else [PointNamed(wanted)]


def serving(view: View) -> str | None:
    """The revision that users should reach who come by no route."""
    if view.reverting:
        return view.good
    return view.canary if view.names_moved or carrying(view) else view.stable


def see_named(view: View) -> Change | None:
    """Note that the Service has arrived, or that somebody else pointed it at other pods: name the writer and
    point it back."""
    known, found = view.status.original_service, view.observed.named
    if known is None or found is None:
        return None
    if found.revision is not None:
        return None if known.pointed else view.change(original_service=but(known, pointed=True))
    if not known.pointed or _lately(view, known.drift_at):
        return None
    selects = ", ".join(f"{key}={value}" for key, value in sorted(found.selector.items())) or "nothing"
    said = note(
        SERVICE_DRIFTED,
        service=view.spec.traffic.service,
        writer=found.writer or "Somebody",
        found=selects,
        revision=serving(view),
    )
    return view.change(said, original_service=but(known, drift_at=view.at))


def _better(view: View, wanted: str) -> bool:
    """Whether the revision has the pods for everybody, or at least one where the Service leads nowhere
    now."""
    found = view.observed.named
    assert found is not None  # or there is nothing to point
    complete = holds(view.ready(wanted), 100, view.replicas)
    if complete or view.installing:
        return complete
    alive = view.ready(found.revision) > 0 if found.revision is not None else bool(found.selector)
    return view.ready(wanted) > 0 and not alive


def correction_due(view: View) -> float | None:
    """When the next correction may be sent, if the last one was undone at once."""
    known, found = view.status.original_service, view.observed.named
    if known is None or known.drift_at is None or found is None or found.revision is not None:
        return None
    last = unix(known.drift_at)
    return last + BACKOFF if last + AT_ONCE <= view.now < last + BACKOFF else None


def _lately(view: View, moment: str | None) -> bool:
    return moment is not None and view.now < unix(moment) + BACKOFF
