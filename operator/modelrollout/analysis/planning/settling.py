"""When a step has settled: from then on, what is counted belongs to the split that the step asks for.

What is counted when a request ends shows, after a change of the split, only the quick requests at first: the
others have not ended. And the pods fill up until as many requests end as begin; what grows with load is
too good until then. So the looks of the first seconds of a step are not used, in neither arm.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from modelrollout.analysis.counters.recipe import Moment, Resolved
from modelrollout.analysis.inputs.observation import Histogram

NEARLY_ALL = 0.999
"""The share of requests that must have ended. At 99 % the long ones are still missed: in a simulated fleet
the mean time to the end is 2 % too short then."""
LONGEST = 600.0
"""Seconds after which a step is judged at the latest."""


def settling(metrics: Iterable[Resolved], lasting: Mapping[Moment, float]) -> dict[str, float]:
    """By metric, how many seconds of a step are not judged. `lasting` has by moment the seconds within which
    nearly all requests reach it."""
    return {each.name: max((lasting.get(m, 0.0) for m in _awaited(each)), default=0.0) for each in metrics}


def unknown(metrics: Iterable[Resolved], lasting: Mapping[Moment, float]) -> dict[str, str]:
    """By metric, what should be known where nobody knows how long its requests take."""
    text = (
        "No histogram of the control says how long requests take, so the first looks of a step are judged as "
        "well, in which only its quick requests have ended."
    )
    return {each.name: text for each in metrics if Moment.END in _awaited(each) and Moment.END not in lasting}


def _awaited(resolved: Resolved) -> set[Moment]:
    return {resolved.recipe.counts_at} | ({Moment.END} if resolved.metric.feels_load else set())


def settled_after(lasting: Histogram | None, most: float = LONGEST) -> float:
    """Seconds from a request's begin until nearly all have reached a moment. `lasting` is how long requests
    of the control take. Within a bucket, what lies beyond a value is taken to fall by the same factor
    whenever the value grows by the same factor. At most `most`."""
    total = sum(lasting.counts) if lasting is not None else 0.0
    if lasting is None or total <= 0:
        return 0.0
    left, low = total, 0.0
    for edge, count in zip(lasting.edges, lasting.counts, strict=False):
        beyond = left - count
        if beyond <= (1 - NEARLY_ALL) * total:
            return min(_within(low, edge, left, max(beyond, 0.5), (1 - NEARLY_ALL) * total), most)
        left, low = beyond, edge
    return most


def _within(low: float, high: float, left: float, beyond: float, wanted: float) -> float:
    """Where `wanted` values are left, between an edge with `left` of them beyond it and one with `beyond`."""
    if low <= 0 or not beyond < wanted < left:
        return high
    part = math.log(left / wanted) / math.log(left / beyond)
    return low * math.exp(part * math.log(high / low))
