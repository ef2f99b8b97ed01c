"""The present and the past of the revision that serves, as Prometheus adds them up itself: the samples of a
week are more than the operator reads."""

from __future__ import annotations

import math
from itertools import pairwise

from modelrollout.analysis.counters.expression import Selector
from modelrollout.analysis.counters.matchers import Arms, By, matchers
from modelrollout.analysis.counters.recipe import Known, Resolved
from modelrollout.analysis.inputs.observation import Histogram
from modelrollout.analysis.kinds.own_past import Drifted, own_past
from modelrollout.sources.counters import Counters
from modelrollout.sources.question import Question

PACK = "drift/"


async def compared(
    counters: Counters, question: Question, window: float, past: float, until: float
) -> tuple[Drifted, ...]:
    """Each metric of the pack `drift` in the `window` seconds up to `until`, beside as many windows of that
    length before it as `past` has. Raises ProviderError."""
    found, arms = [], question.arms
    for each in question.metrics:
        ends = [until - i * window for i in range(1 + max(int(past // window), 1))]
        present, *before = [await _distribution(counters, arms, each, window, end) for end in ends]
        if present is None:
            continue
        metric = each.metric
        name, tolerated = metric.name.removeprefix(PACK), metric.tolerance.absolute
        made = own_past(name, metric.unit, present, [one for one in before if one is not None], tolerated)
        if made is not None:
            found.append(made)
    return tuple(found)


async def _distribution(
    counters: Counters, arms: Arms, resolved: Resolved, window: float, end: float
) -> Histogram | None:
    """What the revision's pods counted in the window; None where it has no such buckets."""
    part = resolved.recipe.parts["buckets"]
    assert not isinstance(part, Known)
    ((term,), *_) = part
    selector = Selector(
        term.selector.family, (*term.selector.matchers, *matchers(By.REVISION, arms, "control"))
    )
    grown = await counters.grown_by_edge(selector, window, end)
    edges = tuple(sorted(edge for edge in grown if math.isfinite(edge)))
    if not edges or math.inf not in grown:
        return None
    below = [0.0, *(grown[edge] for edge in edges), grown[math.inf]]
    return Histogram(edges, tuple(max(high - low, 0.0) for low, high in pairwise(below)))
