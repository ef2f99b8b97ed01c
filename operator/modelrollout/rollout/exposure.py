"""What a step of the plan exposes: which users the next one sends to the canary, and what each pod carries.

From it come the terms of the step's proof (`analysis.betting.ladder`). The figures are those of the plan,
not of the moment: a pod that is being replaced must not change what a step has to prove.
"""

from __future__ import annotations

from dataclasses import dataclass

from modelrollout.analysis.betting.ladder import StepTerms, terms_of
from modelrollout.api.spec import Spec
from modelrollout.rollout import steps
from modelrollout.rollout.equal_load import serving_at
from modelrollout.traffic.ratio import nearest
from modelrollout.traffic.router import Split


@dataclass(frozen=True)
class Exposure:
    next_weight: float = 1.0
    """Share of the users whom the next step with more of them sends to the canary; 1 if nobody knows."""
    load: float = 1.0
    """Requests per canary pod over those of a stable pod; 1, as if alike, if nobody knows."""
    per_pod: float | None = None
    """Share of all requests that each canary pod carries; None if nobody knows."""

    def terms(self, before: float | None) -> StepTerms:
        """`before` is `per_pod` of the step before this one; None: evidence begins anew."""
        changed = before / self.per_pod if before is not None and self.per_pod else None
        return terms_of(self.next_weight, self.load, changed)


UNKNOWN = Exposure()
"""The whole tolerance is asked for, anew."""


def exposure(plan: steps.Steps, index: int, spec: Spec) -> Exposure:
    """Of the step at `index`."""
    if index >= len(plan):
        return UNKNOWN
    split = steps.split_at(plan, index)
    risked = _risked(plan, index, split)
    canary, control = (split.canary + split.mirror) / 100, 1 - split.canary / 100
    if split.matches or canary <= 0 or control <= 0:
        return Exposure(risked)
    if steps.splits_by_pods(spec) and not split.mirror:
        pods = nearest(spec.replicas, split.canary).pods
        return Exposure(risked, 1.0, 1 / (spec.replicas + pods))
    each = canary / steps.pods(plan, index, spec)
    return Exposure(risked, each / (control / serving_at(plan, index, spec)), each)


def _risked(plan: steps.Steps, index: int, split: Split) -> float:
    """A step that only copies requests, or sends fewer users, risks nothing more: the one after it counts."""
    for later in range(index + 1, len(plan)):
        after = steps.split_at(plan, later)
        more = (after.matches, after.share) != (split.matches, split.share) or after.canary > split.canary
        if after.matches and more:
            return 1.0  # nobody knows how many users match
        if after.canary > split.canary:
            return after.canary / 100
    return 1.0
