"""From a tolerance in scale ("10 % slower") to margins on "slower than this bucket edge".

Buckets cannot show a quantile's ratio, but they count exactly how many requests lie beyond an edge. A
tolerance of +m moves the control's own distribution by the factor 1 + m; what then lies beyond an edge is
what the canary may show there. Interpolation between edges moves the margin a little, never the validity of
the test against the margin that was stated.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from modelrollout.analysis.betting.block import Margin
from modelrollout.analysis.betting.information import rate
from modelrollout.analysis.inputs.metric import EdgeMargin
from modelrollout.analysis.inputs.observation import Histogram

FLOOR = 0.002
"""Every edge tolerates at least this absolute excess: a ratio alone says nothing about a share near 0."""
RARE = 0.01
"""A share beyond an edge up to which the edge is one of the tail."""
_MOST = 0.98
MOST_TOLERATED = 0.995
"""Where more than this share may lie beyond an edge, no canary can be worse there."""
_MOST_EDGES = 4
_WORST = 3.0
"""An edge decides when its evidence per request is at least the best edge's divided by this."""
_TELLING = 1.5e-4
"""Nats per canary request below which a pass takes 20,000 of them: such an edge shows nothing."""
_NORMAL = NormalDist()


def exceedances(histogram: Histogram) -> tuple[float, ...]:
    """The share of values beyond each edge."""
    total = sum(histogram.counts)
    beyond, above = [], 0.0
    for count in reversed(histogram.counts[1:]):
        above += count
        beyond.append(above / total)
    return tuple(reversed(beyond))


@dataclass(frozen=True, slots=True)
class Coarse:
    """Why buckets cannot show a tolerance in scale."""

    low: float
    high: float
    """The bucket that the control's median lies in."""

    def sentence(self, scale: float, unit: str) -> str:
        return (
            f"{100 * (scale - 1):.3g} % of most values lies inside one bucket, from {self.low:g} to "
            f"{self.high:g} {unit}".rstrip()
            + ", so the buckets cannot show it; the mean is judged instead. It takes 20 looks, and it "
            f"reverts only a canary that is more than {200 * (scale - 1):.3g} % slower. Finer buckets on the "
            "server, or a wider tolerance, let the buckets judge."
        )


def edge_margins(
    baseline: Histogram, scale: float, floor: float = 0.0, given: Sequence[float] = ()
) -> tuple[EdgeMargin, ...]:
    """The margins that "slower by the factor `scale`" means at the edges that decide.

    Up to four edges decide: those that give the most evidence per request about an equal canary, and at least
    a third of what the best one gives. The next edge of the tail above them can only object. `floor` is the
    absolute part that is tolerated; `given` are edges that the user chose.
    """
    beyond, floor = exceedances(baseline), max(floor, FLOOR)
    margins = [
        EdgeMargin(baseline.edges[i], _tolerated(baseline.edges, beyond, i, scale), floor, beyond[i])
        for i in range(len(beyond))
    ]
    if given:
        known = {margin.edge: margin for margin in margins}
        return tuple(known.get(edge, EdgeMargin(edge, 1.0, floor)) for edge in sorted(given))
    often = [margin for margin in margins if RARE < margin.exceedance <= _MOST]
    best = sorted(often, key=lambda margin: -tells(margin))[:_MOST_EDGES]
    deciding = [m for m in best if tells(m) >= tells(best[0]) / _WORST]
    last = max((m.edge for m in deciding), default=-math.inf)
    tail = [margin for margin in margins if margin.exceedance <= RARE and margin.edge > last][:1]
    return tuple(sorted([*deciding, *tail], key=lambda m: m.edge)) or (margins[-1],)


def coarseness(baseline: Histogram, scale: float, floor: float = 0.0) -> Coarse | None:
    """None where the buckets can show the tolerance: an equal canary can be proven at one of the edges, or
    the user tolerates a share beyond them."""
    if floor > FLOOR:
        return None
    margins = edge_margins(baseline, scale)
    if max((tells(m) for m in margins if m.exceedance > RARE), default=0.0) >= _TELLING:
        return None
    middle = next((i for i, share in enumerate(exceedances(baseline)) if share <= 0.5), len(baseline.edges))
    edges = (0.0, *baseline.edges, math.inf)
    return Coarse(edges[middle], edges[middle + 1])


def tells(margin: EdgeMargin) -> float:
    """Nats per canary request that an equal canary shows at this edge. Only the scale counts, because the
    absolute part says nothing about it."""
    share = margin.exceedance
    if not 0 < share < margin.ratio * share < MOST_TOLERATED:
        return 0.0
    return rate(share, share, 0.5, Margin(margin.ratio, 0.0))


def _tolerated(edges: Sequence[float], beyond: Sequence[float], index: int, scale: float) -> float:
    """How many times more may lie beyond the edge when everything is slower by `scale`."""
    if beyond[index] <= 0.0005:
        return 1.0
    moved = _beyond(edges, beyond, edges[index] / scale)
    return max(moved / beyond[index], 1.0)


def _beyond(edges: Sequence[float], beyond: Sequence[float], value: float) -> float:
    """The share beyond a value: normal in its logarithm between two edges, straight where one of them has
    (almost) everything or nothing beyond it, straight down to 0 below the first edge."""
    j = bisect_left(edges, value)
    if j == 0 or edges[j - 1] <= 0:
        first = max(edges[j], 1e-300)
        share = 1.0 if j == 0 else beyond[j - 1]
        return share - (share - beyond[j]) * min(max(value / first, 0.0), 1.0)
    if j == len(edges):
        return beyond[-1]
    part = math.log(value / edges[j - 1]) / math.log(edges[j] / edges[j - 1])
    left, right = beyond[j - 1], beyond[j]
    if left < 0.9995 and right > 0.0005:
        zs = [_NORMAL.inv_cdf(1 - min(max(share, 1e-6), 1 - 1e-6)) for share in (left, right)]
        return 1 - _NORMAL.cdf(zs[0] + part * (zs[1] - zs[0]))
    return left + part * (right - left)
