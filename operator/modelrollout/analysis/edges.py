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
from statistics import NormalDist

from modelrollout.analysis.metric import EdgeMargin
from modelrollout.analysis.observation import Histogram

FLOOR = 0.002
"""Every edge tolerates at least this absolute excess: a ratio alone says nothing about a share near 0."""
RARE = 0.01
"""A share beyond an edge up to which the edge is one of the tail."""
_MOST_EDGES = 4
_NORMAL = NormalDist()


def exceedances(histogram: Histogram) -> tuple[float, ...]:
    """The share of values beyond each edge."""
    total = sum(histogram.counts)
    beyond, above = [], 0.0
    for count in reversed(histogram.counts[1:]):
        above += count
        beyond.append(above / total)
    return tuple(reversed(beyond))


def decision_edges(beyond: Sequence[float]) -> list[int]:
    """Which edges decide: the last four beyond which 1 % to 75 % of the control lie, and the next above."""
    middle = [i for i, share in enumerate(beyond) if RARE < share < 0.75][-_MOST_EDGES:]
    following = next(
        (i for i, share in enumerate(beyond) if share <= RARE and (not middle or i > middle[-1])), None
    )
    chosen = middle if following is None else [*middle, following]
    return chosen or [len(beyond) - 1]


def edge_margins(baseline: Histogram, scale: float, floor: float = 0.0) -> tuple[EdgeMargin, ...]:
    """The margins that "slower by the factor `scale`" means at the decision edges of this baseline."""
    beyond = exceedances(baseline)
    floor = max(floor, FLOOR)
    return tuple(
        EdgeMargin(baseline.edges[i], _tolerated(baseline.edges, beyond, i, scale), floor, beyond[i])
        for i in decision_edges(beyond)
    )


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
