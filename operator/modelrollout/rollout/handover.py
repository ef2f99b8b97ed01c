"""Bringing all users to one revision, whichever Services select it now: promotion, revert and rollback.

Nothing is remembered of how far it got; the next move follows from what the Services select and what
the route holds. In full, for a winner that only the canary's Service selects: all to the canary's
Service, the stable Service to the winner, all to the stable Service. Between any two of these every
user is answered by ready pods, so a death in between costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from modelrollout.rollout.actions import PointService
from modelrollout.rollout.capacity import carries, holds, most
from modelrollout.rollout.view import View


@dataclass(frozen=True)
class Course:
    """The next move: the weight to ask of the route, or the Service to point, or nothing more to do."""

    weight: int
    point: PointService | None = None
    done: bool = False


def course(view: View, winner: str, *, urgent: bool) -> Course:
    """The next move towards `winner` serving every user through the stable Service.

    `urgent` is the way back: enough pods suffice, users come back by degrees as pods can take them, and
    the share of the revision that they leave never rises.
    """
    if view.selected("stable") is None or view.selected("canary") is None:
        return Course(view.desired.canary)  # it is made again first
    if view.selected("stable") == winner:
        return _to_stable_service(view, winner)
    if view.selected("canary") == winner:
        return _to_canary_service(view, winner, urgent)
    return _to_the_idle_service(view, winner)


def _to_stable_service(view: View, winner: str) -> Course:
    desired = view.desired.canary
    if view.selected("canary") == winner:
        arrived = holds(view.listed("stable"), 100, view.replicas) and not _strangers(view, winner)
        weight = 0 if arrived else desired
    else:
        weight = _retreat(view)
    return Course(weight, done=weight == 0 and view.settled and view.desired.canary == 0)


def _strangers(view: View, winner: str) -> bool:
    """The stable Service still lists pods of the revision that it selected before."""
    listed = view.observed.endpoints.get("stable", {})
    return any(count for revision, count in listed.items() if revision != winner)


def _retreat(view: View) -> int:
    """As little on the canary's Service as the stable one's pods allow, and never more than now."""
    return min(_weight_now(view), lowest(view))


def lowest(view: View) -> int:
    """The smallest weight that leaves the stable Service no more than its ready endpoints carry."""
    ready = view.listed("stable")
    if holds(ready, 100, view.replicas) or not view.listed("canary"):
        return 0
    return 100 - most(ready, view.replicas)


def _to_canary_service(view: View, winner: str, urgent: bool) -> Course:
    ready = view.listed("canary", winner)
    enough = holds if urgent else carries
    if enough(ready, 100, view.replicas):
        weight = 100
    elif urgent:
        weight = max(_weight_now(view), most(ready, view.replicas) if view.listed("stable") else 100)
    else:
        weight = view.desired.canary
    if weight == 100 and view.settled and view.desired.canary == 100:
        return Course(weight, point=PointService("stable", winner))
    return Course(weight)


def _to_the_idle_service(view: View, winner: str) -> Course:
    """Neither Service selects the winner: the one without traffic is pointed at it, once it has pods."""
    weight = view.desired.canary
    if weight not in (0, 100):
        return Course(min(weight, lowest(view)))
    if not view.settled or not view.ready(winner):
        return Course(weight)
    return Course(weight, point=PointService("stable" if weight == 100 else "canary", winner))


def _weight_now(view: View) -> int:
    """What the route holds, whoever wrote it; what we asked for, when it holds none of our splits."""
    return view.read.canary if view.read is not None else view.desired.canary
