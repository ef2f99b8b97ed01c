"""Promotion moves names, not models: the canary's pods become the stable pods, the old ones stay warm."""

from __future__ import annotations

from modelrollout.api.quantities import seconds
from modelrollout.api.reasons.serving import (
    CONNECTIONS_UNCOUNTED,
    PROMOTED_BY_SERVICE,
    PROMOTED_COLD,
    PROMOTED_NOW,
    WARM_LOST,
    WINDOW_CLOSED,
)
from modelrollout.api.times import stamp
from modelrollout.rollout import relocate
from modelrollout.rollout.capacity import holds
from modelrollout.rollout.drain import leaving
from modelrollout.rollout.handover import course
from modelrollout.rollout.history import recorded
from modelrollout.rollout.notes import note
from modelrollout.rollout.steps import splits_by_pods
from modelrollout.rollout.view import Change, View
from modelrollout.traffic.router import Split


def taking_over(view: View) -> bool:
    """Whether every step has passed and everybody was sent to the canary, so that only names move from here
    on."""
    return view.rolling and view.final and (view.names_moved or view.desired == Split(100))


def take_over(view: View) -> Change | None:
    if not taking_over(view) or view.canary is None:
        return None
    split = Split(course(view, view.canary, urgent=False).weight)
    return view.change(weight=view.weighed(split)) if split != view.desired else None


def promoted(view: View) -> Change | None:
    """The names are the new revision's; the old one stays warm for the rollback window."""
    if not (taking_over(view) and view.names_moved and view.canary and view.stable):
        return None
    if not course(view, view.canary, urgent=False).done:
        return None
    window = seconds(view.spec.rollback_window)
    until = stamp(view.now + window)
    warm = PROMOTED_BY_SERVICE if splits_by_pods(view.spec) else PROMOTED_NOW
    reason = warm if window else PROMOTED_COLD
    left = CONNECTIONS_UNCOUNTED
    said = note(reason, revision=view.canary, previous=view.stable, until=until, left=left)
    return view.change(
        said,
        stable=view.status.canary,
        canary=None,
        previous=view.status.stable if window else None,
        keep_warm_until=until if window else None,
        step=None,
        plan=[],
        phase="Watching" if window else "Stable",
        phase_since=view.at,
        **recorded(view, view.canary, "Promoted", said.reason, said.message),
        **({} if window else leaving(view, view.stable)),
    )


def hold_back(view: View) -> Change | None:
    """While the revision before is warm, some users stay with it: the new one is judged beside it."""
    if not view.watching or view.desired == (split := Split(held_back(view))):
        return None
    return view.change(weight=view.weighed(split))


def held_back(view: View) -> int:
    """Percent of users that the warm revision is to have now. None as soon as anything else is asked for: it
    keeps no new revision waiting, and no pods that are not there get users."""
    share = view.spec.holdback
    moving = relocate.leaving(view) or view.target != view.stable
    if not share or moving or splits_by_pods(view.spec) or view.past(view.status.keep_warm_until, "0s"):
        return 0
    warm = view.selected("canary") == view.previous and view.selected("stable") == view.stable
    return share if warm and holds(view.listed("canary"), share, view.replicas) else 0


def close_window(view: View) -> Change | None:
    """The revision before has been kept warm long enough, or somebody has deleted it."""
    if not view.watching:
        return None
    lost = view.fleet(view.previous) is None
    if not lost and not view.past(view.status.keep_warm_until, "0s"):
        return None
    reason = WARM_LOST if lost else WINDOW_CLOSED
    return view.change(
        note(reason, previous=view.previous, revision=view.stable),
        previous=None,
        keep_warm_until=None,
        phase="Stable",
        phase_since=view.at,
        weight=view.weighed(Split()) if view.desired != Split() else view.status.weight,
        **leaving(view, view.previous),
    )
