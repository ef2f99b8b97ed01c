"""The plan: the strategy's shorthand written out as steps, the split of each and the pods it takes."""

from __future__ import annotations

from collections.abc import Sequence

from modelrollout.api.quantities import seconds
from modelrollout.api.spec import Spec
from modelrollout.api.stages import stage_of
from modelrollout.api.status import Status
from modelrollout.api.strategy import Curve, Pause, Step
from modelrollout.rollout.capacity import needed
from modelrollout.traffic.ratio import nearest
from modelrollout.traffic.registry import capabilities_of
from modelrollout.traffic.requirements import as_matches
from modelrollout.traffic.router import Split

Steps = Sequence[Step]


def expand(spec: Spec) -> list[Step]:
    """The steps of a rollout in full. Evaluations before any traffic come first; the last traffic step is
    always weight 100."""
    strategy = spec.strategy
    if strategy.blue_green is not None:
        steps = list(strategy.blue_green.steps)
        if seconds(strategy.blue_green.warm_for):
            move = next((i for i, step in enumerate(steps) if _is_move(step)), len(steps))
            steps.insert(move, Step(pause=Pause(duration=strategy.blue_green.warm_for)))
    elif strategy.canary is not None and strategy.canary.steps:
        steps = list(strategy.canary.steps)
    elif strategy.canary is not None and strategy.canary.curve is not None:
        steps = [
            Step(weight=weight, for_=strategy.canary.curve.for_) for weight in _weights(strategy.canary.curve)
        ]
    else:
        steps = []
    if not any(_is_move(step) for step in steps):
        steps.append(Step(weight=100))
    placed = {step.evaluate for step in steps}
    first = [each.name for each in spec.evaluations if each.when == "beforeTraffic"]
    return [*(Step(evaluate=name) for name in first if name not in placed), *steps]


def _is_move(step: Step) -> bool:
    """Whether the step sends everybody to the canary."""
    shift = stage_of(step).shift
    return shift is not None and shift.weight == 100


def _weights(curve: Curve) -> list[int]:
    """Rising weights below 100; with the final 100 they are `curve.steps` many."""
    last = curve.steps - 1
    weights: list[int] = []
    for i in range(last):
        if curve.shape == "linear":
            exact = curve.start + (100 - curve.start) * i / last
        else:
            exact = curve.start * (100 / curve.start) ** (i / last)
        weights.append(max(round(exact), weights[-1] + 1 if weights else 1))
    return weights


def is_final(plan: Steps, index: int) -> bool:
    """Whether nothing is left to be judged at this index, so that only the promotion remains."""
    if index < len(plan) - 1:
        return False
    return index >= len(plan) or (_is_move(plan[index]) and not stage_of(plan[index]).stay)


def begins_at(plan: Steps, index: int, floor: int) -> int:
    """The weight with which a bandit at this index begins: what the canary has by then, at least the
    floor."""
    before = split_at(plan, index - 1).canary if index else 0
    return min(max(before, floor), 100 - floor)


def in_progress(status: Status) -> Steps:
    """The plan of a rollout, with the weight that the bandit in progress has come to in its place."""
    plan, step = status.plan, status.step
    if step is None or step.index >= len(plan) or (bandit := plan[step.index].bandit) is None:
        return plan
    weight = step.contest.weight if step.contest is not None else None
    now = Step(weight=begins_at(plan, step.index, bandit.floor) if weight is None else weight)
    return [*plan[: step.index], now, *plan[step.index + 1 :]]


def progress(plan: Steps, index: int) -> str:
    """`3/5`: the third of five is in progress."""
    return f"{min(index + 1, len(plan))}/{len(plan)}"


def split_at(plan: Steps, index: int) -> Split:
    """The split while this step is in progress.

    A weight and matches stay until a later step changes them (a user who saw the canary goes on seeing it).
    A weight that outgrows the share of those who match is theirs too. A mirror ends with the next step that
    moves traffic; a pause and an evaluation change nothing.
    """
    until_then = splits(plan[: index + 1])
    return until_then[-1] if until_then else Split()


def splits(plan: Steps) -> list[Split]:
    """The split of each step."""
    found: list[Split] = []
    split, given = Split(), 100
    for step in plan:
        if (shift := stage_of(step).shift) is not None:
            canary = split.canary if shift.weight is None else shift.weight
            given = shift.share if shift.matches else given
            matches = as_matches(shift.matches) or split.matches
            split = Split(canary, shift.mirror, matches, max(given, canary) if matches else 100)
        found.append(Split(100) if split.canary == 100 else split)
    return found


def pods(plan: Steps, index: int, spec: Spec) -> int:
    """The canary pods that this step needs. Those of earlier steps are kept, because a model loads slowly."""
    return max(pods_for(split, plan, spec) for split in dict.fromkeys(splits(plan[: index + 1])))


def pods_for(split: Split, plan: Steps, spec: Spec) -> int:
    """The canary pods that must be ready before the route may hold this split of the plan."""
    if spec.strategy.blue_green is not None:
        return spec.replicas
    if split.canary and split.canary < 100 and splits_by_pods(spec):
        return nearest(spec.replicas, split.canary).pods
    shared = needed(min(100, split.canary + split.mirror), spec.replicas)
    return max(1, min(spec.replicas, _for_matches(split, plan) + shared))


def _for_matches(split: Split, plan: Steps) -> int:
    """Pods that the plan gives to those who match in this split."""
    if not split.matches:
        return 0
    shifts = (shift for step in plan if (shift := stage_of(step).shift) is not None)
    return max((each.pods or 0 for each in shifts if as_matches(each.matches) == split.matches), default=0)


def splits_by_pods(spec: Spec) -> bool:
    """Whether the Service itself is the router, so that a weight is a share of the pods it selects."""
    return capabilities_of(spec.traffic).splits_by_pods
