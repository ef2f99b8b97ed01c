"""The first revision: it loads, and only then is traffic touched for the first time."""

from __future__ import annotations

from modelrollout.api.reasons.coming import FOUND_SERVING, INSTALLED
from modelrollout.rollout.capacity import holds
from modelrollout.rollout.drain import leaving
from modelrollout.rollout.history import recorded
from modelrollout.rollout.notes import note
from modelrollout.rollout.view import Change, View


def find_stable(view: View) -> Change | None:
    """When status is empty, take the revision that is found serving, or else the one that spec asks for."""
    if view.stable is not None:
        return None
    serving = next((each for each in _found(view) if view.ready(each)), None)
    if serving is not None:
        return view.change(
            note(FOUND_SERVING, revision=serving),
            stable=view.named(serving),
            phase="Stable",
            phase_since=view.at,
        )
    return view.change(
        stable=view.named(view.target), phase="Installing", phase_since=view.at, started_at=view.at
    )


def _found(view: View) -> list[str | None]:
    """What the Services of a rollout before this one select, or of this one before its status was lost.

    Where a Service is all that splits, it knows best: the two others follow it.
    """
    named = view.observed.named
    return [view.observed.serves, view.selected("stable"), named.revision if named is not None else None]


def install_another(view: View) -> Change | None:
    """The spec changed before anybody was sent to the first revision: nothing is lost by replacing it."""
    if not view.installing or view.stable in (None, view.target) or may_have_users(view):
        return None
    return view.change(
        stable=view.named(view.target),
        phase_since=view.at,
        started_at=view.at,
        **leaving(view, view.stable),
    )


def installed(view: View) -> Change | None:
    """The first revision is installed once it has its pods and the route. When the spec asks for the next one
    already, it is enough that users may be on it."""
    if not view.installing or view.stable is None:
        return None
    complete = holds(view.listed("stable", view.stable), 100, view.replicas)
    superseded = view.target != view.stable and may_have_users(view)
    if not (complete and view.settled) and not superseded:
        return None
    said = note(INSTALLED, revision=view.stable)
    return view.change(
        said,
        phase="Stable",
        phase_since=view.at,
        **recorded(view, view.stable, "Promoted", said.reason, said.message),
    )


def may_have_users(view: View) -> bool:
    """Whether users may be on the first revision: the route was written for it, or leads to it already."""
    return view.status.original_traffic is not None or (view.as_desired and view.ready(view.stable) > 0)
