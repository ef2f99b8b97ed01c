"""What a step has to prove: no more than the next step risks.

Harm is counted in users: the share of them that a step sends to the canary, times how much worse it is for
them. A step that leads to 25 % of the users risks a quarter of what full traffic does, so it has to show that
the canary is not worse than four times the tolerance. The last proof before promotion is of the tolerance
itself, and evidence against the canary always is at the tolerance itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from modelrollout.analysis.betting.block import Margin
from modelrollout.analysis.inputs.metric import EdgeMargin, Kind, Metric

ALIKE = 1.1
"""Ratio of the requests per pod up to which both arms carry the same load."""
MOST = 20.0
"""The widest margin that a step may have, in tolerances; and as a share of requests: half of them."""
_WIDEST_SHARE = 0.5
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class StepTerms:
    """What a step asks for before the next one may begin."""

    margin: float = 1.0
    """How many times the tolerance is to be proven; 1 for the last proof before promotion."""
    carry: bool = False
    """Evidence for the canary goes on from the step before: each pod carries the same load as then."""
    alike: bool = True
    """The pods of both arms carry the same load. Where they do not, what grows with load is not asked to be
    proven; it may still speak against the canary. A last proof is always asked for."""

    def exempts(self, metric: Metric) -> bool:
        return not self.alike and self.margin > 1 and metric.feels_load

    def asks_more_than(self, other: StepTerms) -> bool:
        exempts, exempted = (not terms.alike and terms.margin > 1 for terms in (self, other))
        return self.margin < other.margin or (exempted and not exempts)


WHOLE = StepTerms()
"""The tolerance itself, proven anew."""


def terms_of(next_weight: float, load: float, load_before: float | None) -> StepTerms:
    """The terms of a step that is followed by one with `next_weight` (a share of the users, 1 for promotion).
    `load` is the requests per canary pod over those of a control pod in this step, `load_before` the requests
    per canary pod in the step before over those in this one; None for the first step."""
    carry = load_before is not None and is_alike(load_before)
    return StepTerms(min(max(1 / next_weight, 1.0), MOST), carry, is_alike(load))


def is_alike(load: float) -> bool:
    return 1 / ALIKE <= load <= ALIKE


def widened(metric: Metric, factor: float) -> Margin | None:
    """The margin of `factor` tolerances; None where it stays what it is: an absolute limit is one for every
    user, and a tolerance that asks for an improvement has no harm in it."""
    ratio, absolute = metric.tolerance.ratio, metric.tolerance.absolute
    if factor <= 1 or ratio < 1 or absolute < 0:
        return None
    if metric.kind is Kind.COUNTING:
        return Margin(1 + (ratio - 1) * factor, 0.0)
    return Margin(1 + (ratio - 1) * factor, max(min(absolute * factor, _WIDEST_SHARE), absolute))


def widened_edge(edge: EdgeMargin, scale: float, factor: float) -> Margin:
    """The margin at a bucket edge when `factor` times the slowness (`scale` - 1) is tolerated: the control's
    distribution, taken as lognormal around this edge, is moved further."""
    share = edge.exceedance
    tolerated = min(edge.ratio * share, 0.999)
    ratio = edge.ratio
    if 1e-6 < share < tolerated and scale > 1:
        moved = _NORMAL.inv_cdf(1 - share) - _NORMAL.inv_cdf(1 - tolerated)
        moved *= math.log1p((scale - 1) * factor) / math.log(scale)
        ratio = (1 - _NORMAL.cdf(_NORMAL.inv_cdf(1 - share) - moved)) / share
    return Margin(max(ratio, edge.ratio), min(edge.absolute * factor, _WIDEST_SHARE))
