"""What a gate claims, as limits on means of bounded quantities: one claim for each side that can be broken.

Shares and marks are put on a scale from 0 (best) to 1 (worst), so that a difference lies between -1 and 1.
A measure without an upper end (seconds, tokens, cost) is compared by the logarithm of c / (r b), where r is
what is tolerated. A case counts as at most four times that (1) and as at least a quarter of it (-1): the mean
speaks of the typical case, and one very long answer cannot decide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from modelrollout.evaluate.amounts import Amount
from modelrollout.evaluate.betting import Bounds
from modelrollout.evaluate.policy import Gate, Policy
from modelrollout.evaluate.scorer_specs import ScorerSpec

GREATEST = 10.0
"""A measure counts as at most this many times its limit."""

Scores = Mapping[str, tuple[float | None, float | None]]
"""Of one case: from the score's name to the candidate's and the baseline's value; None where the case has no
such value. A score about both answers has one value and no second one."""


class Kind(Enum):
    LIMIT = "limit"
    DIFFERENCE = "difference"
    RATIO = "ratio"


@dataclass(frozen=True, slots=True)
class Scale:
    """How a score is read: its two ends, and whether more is better; no upper end for a measure."""

    low: float
    high: float | None
    good: bool
    paired: bool = False
    """The candidate's share of a win."""
    joint: bool = False
    """One value about both answers."""

    @property
    def width(self) -> float:
        return 1.0 if self.high is None else self.high - self.low

    def points(self, limit: Amount) -> float:
        """A tolerated difference as a part of the scale."""
        return float(limit) if limit.percent else float(limit) / self.width

    def place(self, limit: Amount) -> float:
        """A limit in the score's own unit."""
        return self.low + float(limit) * self.width if limit.percent else float(limit)


@dataclass(frozen=True, slots=True)
class Claim:
    """One side of one gate. Its value for a case is bad when high; its mean must not exceed the limit."""

    score: str
    limit_name: str
    kind: Kind
    scale: Scale
    bounds: Bounds
    ratio: float = 1.0
    falls: bool = False
    """A ratio or difference that is bad when the score falls."""
    own_limit: float = 0.0
    """The limit in the score's own unit."""
    must_prove: bool = True

    def value(self, candidate: float | None, baseline: float | None) -> float | None:
        """The case's value, or None when it says nothing about this claim."""
        if candidate is None or (self.compares and baseline is None and not self.scale.paired):
            return None
        if self.kind is Kind.LIMIT:
            return self._beyond(candidate)
        if self.scale.paired:
            return self._clip(1 - 2 * candidate)
        base = baseline or 0.0
        if self.kind is Kind.RATIO:
            part = relative(candidate, self.ratio * base)
            return -part if self.falls else part
        gap = (candidate - base) / self.scale.width
        return self._clip(-gap if self.falls else gap)

    @property
    def judged(self) -> bool:
        """Whether values lie between the ends of the scale, as marks do."""
        return self.scale.paired or self.scale.width != 1.0

    @property
    def compares(self) -> bool:
        return self.kind is not Kind.LIMIT

    def _beyond(self, candidate: float) -> float:
        if self.scale.high is None:
            return min(candidate / (GREATEST * self.own_limit), 1.0)
        part = (candidate - self.scale.low) / self.scale.width
        return self._clip(1 - part if self.falls else part)

    def _clip(self, value: float) -> float:
        return min(max(value, self.bounds.low), self.bounds.high)


def relative(candidate: float, baseline: float) -> float:
    """Log of c / b to the base 4, between -1 (a quarter or less) and 1 (four times or more); 0 when both are
    0."""
    if baseline <= 0 or candidate <= 0:
        return float(candidate > 0) - float(baseline > 0)
    return min(max((math.log2(candidate) - math.log2(baseline)) / 2, -1.0), 1.0)


def scale_of(policy: Policy, score: str) -> Scale:
    spec = policy.scorer(score)
    if spec is None or spec.kind == "perplexity":
        return Scale(0.0, 1.0 if score == "truncated" else None, good=False)
    return _scale(spec)


def _scale(spec: ScorerSpec) -> Scale:
    low, high = spec.bounds
    return Scale(low, high, spec.good, spec.paired, spec.joint)


def claims_of(policy: Policy, single: bool = False) -> tuple[Claim, ...]:
    """All claims of a policy; `single`: without a baseline only the absolute limits are left."""
    made = [claim for gate in policy.gates for claim in _of_gate(gate, scale_of(policy, gate.score))]
    return tuple(claim for claim in made if not (single and (claim.compares or claim.scale.joint)))


def _of_gate(gate: Gate, scale: Scale) -> list[Claim]:
    claims = []
    if gate.at_least is not None:
        claims.append(_limit(gate, scale, "atLeast", gate.at_least, falls=True))
    if gate.at_most is not None:
        claims.append(_limit(gate, scale, "atMost", gate.at_most, falls=False))
    if gate.at_most_worse is not None:
        claims.append(_compared(gate, scale, "atMostWorse", gate.at_most_worse, falls=scale.good))
    if gate.at_most_change is not None:
        for falls in (False, True):
            claims.append(_compared(gate, scale, "atMostChange", gate.at_most_change, falls=falls))
    return claims


def _limit(gate: Gate, scale: Scale, name: str, limit: Amount, falls: bool) -> Claim:
    own = scale.place(limit)
    if scale.high is None:
        bounds = Bounds(0.0, 1.0, 1 / GREATEST)
    else:
        part = (own - scale.low) / scale.width
        bounds = Bounds(0.0, 1.0, 1 - part if falls else part)
    return Claim(
        gate.score, name, Kind.LIMIT, scale, bounds, falls=falls, own_limit=own, must_prove=gate.must_prove
    )


def _compared(gate: Gate, scale: Scale, name: str, limit: Amount, falls: bool) -> Claim:
    if scale.high is None:
        ratio = max(1 - float(limit), 1e-6) if falls else 1 + float(limit)
        kind, bounds, own = Kind.RATIO, Bounds(-1.0, 1.0, 0.0), float(limit)
    else:
        part = scale.points(limit)
        kind, ratio, bounds, own = Kind.DIFFERENCE, 1.0, Bounds(-1.0, 1.0, part), part * scale.width
    return Claim(gate.score, name, kind, scale, bounds, ratio, falls, own, gate.must_prove)
