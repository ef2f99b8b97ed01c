"""Derives the actions that make the cluster what status means, as far as they are safe now.

Everything here follows from status and from what was observed; nothing is remembered. So a death
between any two actions costs nothing: the next pass finds the rest of them again.
"""

from __future__ import annotations

from modelrollout.api.names import Role
from modelrollout.rollout import steps
from modelrollout.rollout.actions import (
    Action,
    Adopt,
    EnsureRevision,
    PointService,
    RestoreRevision,
    Scale,
    SetTraffic,
)
from modelrollout.rollout.capacity import holds
from modelrollout.rollout.carry import carrying
from modelrollout.rollout.connections import restarts
from modelrollout.rollout.drain import drained, removals
from modelrollout.rollout.drift import waits
from modelrollout.rollout.handover import course
from modelrollout.rollout.kill import withheld
from modelrollout.rollout.named import named
from modelrollout.rollout.promote import taking_over
from modelrollout.rollout.rotation import sent_to_rest
from modelrollout.rollout.view import View


def actions(view: View) -> tuple[Action, ...]:
    """Traffic away from a bad revision comes before all else; otherwise pods, names, traffic, removal."""
    traffic = _traffic(view)
    rest = [*_fleets(view), *_services(view)]
    ordered: list[Action] = [*traffic, *rest] if view.reverting else [*rest, *traffic]
    adopted = [Adopt()] if view.observed.ownerless and not view.installing else []
    return (*ordered, *named(view), *adopted, *sent_to_rest(view), *restarts(view), *removals(view))


# ── pods ────────────────────────────────────────────────────────────────────────────────────────


def _fleets(view: View) -> list[Action]:
    found: list[Action] = []
    if view.reverting:
        found += _at_least(view, view.good, view.replicas) if view.good != view.stable else _exactly(view)
    else:
        found += _exactly(view)
    if view.rolling and view.canary is not None:
        found += _canary(view, view.canary)
    return found


def _exactly(view: View) -> list[Action]:
    """The stable revision has what `spec.replicas` says, at every moment of a rollout."""
    fleet = view.fleet(view.stable)
    if fleet is not None and fleet.wanted > view.replicas:
        return [Scale(fleet.revision, view.replicas)]
    return _at_least(view, view.stable, view.replicas)


def _at_least(view: View, revision: str | None, replicas: int) -> list[Action]:
    fleet = view.fleet(revision)
    if revision is None or (fleet is not None and fleet.wanted >= replicas):
        return []
    if fleet is not None:
        return [Scale(revision, replicas)]
    if revision == view.target:
        return [EnsureRevision(revision, replicas)]
    return [RestoreRevision(revision, replicas)]


def _canary(view: View, canary: str) -> list[Action]:
    """Scale up at once; scale down, after `spec.replicas` was lowered, only when no traffic change is under
    way."""
    fleet = view.fleet(canary)
    calm = view.settled and view.desired == view.asked
    if fleet is not None and fleet.wanted > view.pods:
        return [Scale(canary, view.pods)] if calm else []
    return _at_least(view, canary, view.replicas if carrying(view) else view.pods)


# ── names ───────────────────────────────────────────────────────────────────────────────────────


def _services(view: View) -> list[Action]:
    if view.stable is None:
        return []
    resting = {"stable": view.stable, "canary": _canary_target(view, view.stable)}
    roles: tuple[Role, Role] = ("stable", "canary")
    missing = [role for role in roles if view.selected(role) is None]
    ready = [role for role in missing if _takes_over(view, role, resting[role])]
    found = [PointService(role, resting[role]) for role in ready]
    if withheld(view):
        return [move for move in found if move.role not in view.observed.services]
    if view.reverting or taking_over(view):
        winner = view.good if view.reverting else view.canary
        point = course(view, winner, urgent=view.reverting).point if winner is not None else None
        return [*found, point] if point is not None else [*found]
    moves = _named_as_in_status(view, view.stable, resting["canary"])
    return [*found, *(move for move in moves if move.role not in missing)]


def _takes_over(view: View, role: Role, revision: str) -> bool:
    """A Service that is not there is made at once; one that selects others' pods waits for ours."""
    if role not in view.observed.services:
        return True
    complete = holds(view.ready(revision), 100, view.replicas)
    return complete or (view.ready(revision) > 0 and not view.installing)


def _named_as_in_status(view: View, stable: str, canary: str) -> list[PointService]:
    found: list[PointService] = []
    may_move = view.installing or view.ready(stable) or not view.listed("stable")  # nobody loses living pods
    if view.selected("stable") != stable and may_move:
        found.append(PointService("stable", stable))
    if view.selected("canary") != canary and (view.quiet or not view.listed("canary")):
        found.append(PointService("canary", canary))
    return found


def _canary_target(view: View, stable: str) -> str:
    """Always a revision with living pods, so that no request that strays there is lost."""
    now = view.selected("canary")
    if view.reverting and view.canary is not None:
        return now or stable
    if view.rolling and view.canary is not None:
        if now == view.canary or view.ready(view.canary) >= view.pods_for(view.asked):
            return view.canary
    elif view.previous is not None:
        return view.previous
    streaming = now is not None and now in view.status.draining and not drained(view, now)
    return now if now is not None and streaming else stable


# ── traffic ─────────────────────────────────────────────────────────────────────────────────────


def _traffic(view: View) -> list[Action]:
    if view.as_desired or view.stable is None or withheld(view) or waits(view):
        return []
    if not (_known(view) and _carried(view)):
        return []
    return [SetTraffic(view.desired, urgent=view.reverting)]


def _known(view: View) -> bool:
    """Whether the pods that users are sent to are those that status means.

    The first users go to the revision that is being installed. A Service that splits by itself selects what
    the two others select, so it waits while one of them that it needs selects no revision of ours.
    """
    if view.installing and view.selected("stable") != view.stable:
        return False
    if not steps.splits_by_pods(view.spec):
        return True
    share, stable, canary = view.desired.canary, view.selected("stable"), view.selected("canary")
    return (stable is not None or share == 100) and (canary is not None or share == 0)


def _carried(view: View) -> bool:
    """No side is given more than its ready endpoints carry, unless the other side has none at all."""
    read, split = view.read, view.desired
    stable, canary = view.listed("stable"), view.listed("canary")
    if read is None:
        return not view.installing or holds(stable, 100, view.replicas)
    if split.mirror > read.mirror or set(split.matches) - set(read.matches) or split.share > read.share:
        return canary > 0
    if split.canary > read.canary:
        mixed = steps.splits_by_pods(view.spec) and split.canary < 100  # as many users as it has pods, always
        return canary > 0 and (mixed or stable == 0 or holds(canary, split.canary, view.replicas))
    return canary == 0 or split.canary == read.canary or holds(stable, 100 - split.canary, view.replicas)
