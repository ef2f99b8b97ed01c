"""How many requests a revert is expected to take, by the rate at which evidence grows."""

from __future__ import annotations

import math

from modelrollout.analysis.betting.block import Margin
from modelrollout.analysis.betting.information import SEARCH, rate


def units_to_revert(
    truth: tuple[float, float], share: float, margin: Margin, phi: float, risk: float
) -> float:
    """Canary units until a canary this bad is reverted, in the median, when the shares are `truth` (canary,
    control); inf when it is within the margin."""
    p1, p0 = truth
    if p1 <= margin.limit(p0):
        return math.inf
    return (math.log(1 / risk) + math.log(SEARCH)) * phi / rate(p1, p0, share, margin)
