"""What must hold of every pass, whatever happened before it."""

from __future__ import annotations

from modelrollout.api.status import Status
from modelrollout.rollout import steps
from modelrollout.rollout.actions import (
    DeleteRevision,
    EnsureRevision,
    Narrow,
    Plan,
    PointNamed,
    PointService,
    Rest,
    RestoreRevision,
    Scale,
    SetTraffic,
    Widen,
)
from modelrollout.rollout.capacity import holds, needed
from modelrollout.rollout.commands import given
from modelrollout.rollout.decide import decide
from modelrollout.traffic.router import Split
from tests.unit.rollout.world import World, fresh_copy


def check_plan(world: World, plan: Plan) -> None:
    """Before any action of the plan is carried out."""
    moves = [action for action in plan.actions if isinstance(action, SetTraffic)]
    assert len(moves) <= 1, "at most one traffic change per pass"
    if given(world.annotations).get("kill") is not None:
        _nobody_is_sent_to_a_canary(plan)
    _rotated_safely(world, plan)
    for move in moves:
        _intended(plan, move)
        assert world.says(move.split), "what the router refuses is not asked for"
        _carried(world, plan, move)
        _within_the_plan(world, plan, move)
        _bad_never_rises(world, plan, move)
    shares = world.shares()
    for action in plan.actions:
        if isinstance(action, DeleteRevision):
            assert not shares.get(action.revision), f"{action.revision} is deleted while users are on it"
            assert action.revision not in (*world.services.values(), world.named)
        if isinstance(action, Scale) and action.replicas < world.pods[action.revision].wanted:
            assert action.replicas > 0
            needed = shares.get(action.revision, 0) if world.gateway else 0
            assert 100 * action.replicas >= needed * min(world.spec.replicas, action.replicas)
        if isinstance(action, EnsureRevision):
            assert action.revision not in world.pods, "what is there is not made again"
            assert action.revision == world.revision, "only what spec describes can be made"
        if isinstance(action, RestoreRevision):
            assert action.revision not in world.pods, "what is there is not made again"
            assert action.revision in world.created, "only what was made before can be made again"
        if isinstance(action, PointNamed):
            _named_stays_alive(world, plan, action)
        if isinstance(action, PointService):
            _repointed_safely(world, action)
    _same_again(world, plan)


def _nobody_is_sent_to_a_canary(plan: Plan) -> None:
    """While the kill switch is on. `_bad_never_rises` holds what is left to be taken back."""
    status = plan.status
    assert status.canary is None or status.phase == "Reverting", "none is on trial"
    assert status.previous is None or status.phase == "Reverting", "none was promoted that can be left"
    assert status.phase == "Reverting" or not (status.weight.desired or status.weight.matches)
    assert not status.weight.mirror


def _intended(plan: Plan, move: SetTraffic) -> None:
    weight = plan.status.weight
    assert (move.split.canary, move.split.mirror) == (weight.desired, weight.mirror), "intent before act"
    assert plan.status.original_traffic is not None, "the route as found is remembered before it is touched"


def _rotated_safely(world: World, plan: Plan) -> None:
    """At no moment do fewer stable pods serve than the users of stable need, as far as there are any."""
    after, route = fresh_copy(world), world.reading()
    for action in plan.actions:
        if isinstance(action, Rest) and action.count:
            assert world.services.get("stable") == action.revision, "only pods of the stable Service rest"
        if isinstance(action, Rest | Narrow | Widen | PointService | SetTraffic):
            after.apply(action)
        stable = after.services.get("stable")
        if not after.narrowed or stable is None:
            continue
        seen = [each.canary for each in (route, after.reading(), plan.status.weight) if each is not None]
        wanted = min(needed(100 - min(seen), world.spec.replicas), after.ready(stable))
        if isinstance(action, Rest | Narrow | SetTraffic):
            assert after.in_rotation(stable) >= wanted, f"{action}: {after.in_rotation(stable)} of {wanted}"


def check_rotation(world: World, status: Status) -> None:
    """After a pass the stable pods in rotation carry the users that the route gives them, or none rests; and
    without a canary in a step none does."""
    stable, route = world.services.get("stable"), world.reading()
    trial = status.canary is not None and status.phase != "Reverting"
    if world.narrowed and stable is not None and route is not None:
        wanted = needed(100 - route.canary, world.spec.replicas)
        assert world.in_rotation(stable) >= min(wanted, world.ready(stable))
    if not trial:
        assert not world.narrowed, "nothing is judged, and stable pods rest"


def _carried(world: World, plan: Plan, move: SetTraffic) -> None:
    """No side is given more than its ready endpoints carry, unless the other has none."""
    read, split = world.reading(), move.split
    stable, canary = world.listed("stable"), world.listed("canary")
    before = plan.actions[: plan.actions.index(move)]
    if not world.narrowed or any(isinstance(action, Widen) for action in before):
        stable = min(stable + world.unlisted, world.ready(world.services.get("stable")))
    if read is None:
        return
    if not world.gateway and 0 < split.canary < 100:
        assert canary > 0 or not stable
        return
    if split.canary > read.canary:
        assert holds(canary, split.canary, world.spec.replicas) or not stable, f"{canary} pods for {split}"
    if split.canary < read.canary:
        assert holds(stable, 100 - split.canary, world.spec.replicas) or not canary, f"{stable} for {split}"
    if split.mirror > read.mirror or split.matches != read.matches:
        assert canary or not split.matches


def _within_the_plan(world: World, plan: Plan, move: SetTraffic) -> None:
    """The canary gets no more than its step says, until every step has passed; all users come to it where
    stable has too few pods for its own share."""
    status = plan.status
    if status.canary is None or status.phase == "Reverting" or status.step is None:
        return
    planned = steps.split_at(status.plan, status.step.index).canary
    if move.split == Split(100) and not holds(world.listed("stable"), 100 - planned, world.spec.replicas):
        return
    assert move.split.canary <= planned


def _bad_never_rises(world: World, plan: Plan, move: SetTraffic) -> None:
    """On the way back nobody is sent to the revision that is left."""
    status = plan.status
    if status.phase != "Reverting" or world.reading() is None or status.stable is None:
        return
    bad = status.canary.revision if status.canary else status.stable.revision
    selected = (world.services["stable"], world.services["canary"])
    read = world.reading()
    assert read is not None
    before = 100 - read.canary if selected[0] == bad else 0
    before += read.canary if selected[1] == bad else 0
    after = 100 - move.split.canary if selected[0] == bad else 0
    after += move.split.canary if selected[1] == bad else 0
    assert after <= before, f"{bad} goes from {before} to {after} percent"


def _repointed_safely(world: World, action: PointService) -> None:
    """A Service that users reach is pointed only at living pods, unless those it has are dead too."""
    old = world.services.get(action.role)
    if old is None or not world.gateway or world.route is None:
        return
    share = world.route.canary if action.role == "canary" else 100 - world.route.canary
    if share and world.listed(action.role):
        assert world.ready(action.revision), f"{share} % of the users would meet no pod"


def _named_stays_alive(world: World, plan: Plan, action: PointNamed) -> None:
    """Callers of the Service that people named never meet a Service without pods for a move of ours."""
    assert plan.status.original_service is not None, "the Service as found is remembered before it is touched"
    ready, wanted = world.ready(action.revision), world.spec.replicas
    alive = world.ready(world.named) if world.named else bool(world.named_selector)
    assert holds(ready, 100, wanted) or (ready and not alive), f"{ready} of {wanted} pods"


def _same_again(world: World, plan: Plan) -> None:
    """The same observation after a death between the status write and the first act: the same acts."""
    if plan.status.taken not in (None, world.split_by):
        assert not plan.actions, "the route that was looked at is not the one that status names now"
        return
    again = decide(world.effective, plan.status, world.observe(), world.now)
    assert again.status == plan.status, "a second look at the same changes nothing"
    assert again.actions == plan.actions, f"{again.actions} after {plan.actions}"
    assert not again.notes, "and nothing is said twice"


def check_rest(world: World, status: Status) -> None:
    """When nothing is left to do and nothing is broken."""
    assert status.phase in ("Stable", "Watching", "Reverted"), status.message
    assert status.stable is not None
    stable = status.stable.revision
    assert world.shares() == {stable: 100}, f"{world.shares()} while {stable} is stable"
    assert world.services["stable"] == stable
    assert all(route is None for route in world.others.values()), "a route that was left is given back"
    assert not world.gateway or world.named == stable, "the Service that people named leads elsewhere"
    assert not world.narrowed, "stable pods rest, and nothing is judged"
    assert not world.out(stable), "labels of pods that rested are left"
    assert world.ready(stable) == world.spec.replicas == world.pods[stable].wanted
    kept = {stable} | ({status.previous.revision} if status.previous else set())
    assert set(world.pods) == kept, f"{set(world.pods)} are left, {kept} were to be kept"
    assert world.services["canary"] in kept
    if status.phase == "Reverted":
        assert status.refused_revision == world.revision
    else:
        assert stable == world.revision
