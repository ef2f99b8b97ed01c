"""How much worse a metric may be, as its fields in the spec say: tolerance, limit, edges, breakdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelrollout.analysis.inputs.metric import Kind, Tolerance
from modelrollout.api import analysis as spec
from modelrollout.api.quantities import fraction

BREAKDOWN = 0.2
"""Bad share at which a canary has broken down, where an absolute limit is given ..."""
BEYOND_CONTROL = 0.1
"""... and beyond the control's, where there is one."""


class Unresolvable(ValueError):
    """A metric that cannot be judged as it is written; the message says what to write."""


def tolerated(metric: spec.Metric, kind: Kind) -> Tolerance | None:
    """What the user tolerates; None when that is left to the pack."""
    if metric.slo is not None:
        if kind not in (Kind.RATIO, Kind.SCALAR):
            raise Unresolvable(
                f"Metric {metric.effective_name}: slo limits a share of requests, which a {kind} does not "
                "count: write tolerate instead."
            )
        return Tolerance(0.0, fraction(metric.slo))
    if metric.tolerate is None:
        return None
    return tolerance_of(metric.tolerate.model_dump())


def edges_of(metric: spec.Metric, kind: Kind) -> tuple[float, ...]:
    if metric.edges and kind is not Kind.HISTOGRAM:
        raise Unresolvable(
            f"Metric {metric.effective_name}: edges are those of a histogram's buckets, and this is "
            f"a {kind}: leave them out."
        )
    return tuple(sorted({fraction(edge) for edge in metric.edges or ()}))


def tolerance_of(given: Mapping[str, Any]) -> Tolerance:
    """`{"ratio": "1.10"}` -> Tolerance(1.1, 0.0)."""
    return Tolerance(fraction(given.get("ratio") or "1"), fraction(given.get("absolute") or "0"))


def breakdown_of(kind: Kind, tolerance: Tolerance) -> float | None:
    """From where on a share is so bad that a look or two are enough to revert: so much beyond the control's,
    or twice the tolerance where that is more; in all, where a limit is given."""
    if kind is not Kind.RATIO:
        return None
    if tolerance.ratio == 0:
        return BREAKDOWN if tolerance.absolute < BREAKDOWN else None
    beyond = max(BEYOND_CONTROL, 2 * tolerance.absolute)
    return beyond if beyond < 1 else None
