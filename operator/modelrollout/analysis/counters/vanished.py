"""A counter that the control has and the canary has not: is that health, or another name?

A client of Prometheus makes a labelled counter when it first counts, so a canary without errors has no error
counter. A version that renamed its error counter has none either. What tells them apart is how many errors
the control's share would have given the canary until now.
"""

from __future__ import annotations

from modelrollout.analysis.counters.counted import Counted
from modelrollout.analysis.counters.recipe import PARTS, Known, Resolved
from modelrollout.analysis.inputs.metric import Kind
from modelrollout.analysis.inputs.observation import Problem, ProblemKind

EXPECTED = 5.0
"""Events of which none is seen by chance in fewer than one of a hundred cases."""


def vanished(resolved: Resolved, canary: Counted, control: Counted) -> Problem | None:
    """Why "no such series" is not 0 events for the canary; None where it is."""
    recipe, kind = resolved.recipe, resolved.metric.kind
    if kind not in (Kind.RATIO, Kind.COUNTING) or not recipe.lazy:
        return None
    bad, total = (recipe.parts[part] for part in PARTS[kind])
    if isinstance(bad, Known) or canary.level(bad) is not None:
        return None
    if any(canary.could_show(term) for terms in bad for term in terms):
        return None
    events, units, served = control.level(bad), control.level(total), canary.level(total)
    if not events or not units or not served or events / units * served < EXPECTED:
        return None
    names = " or ".join(sorted({term.selector.family for terms in bad for term in terms}))
    return Problem(
        ProblemKind.NOT_COMPARABLE,
        f"The canary has no series of {names} with the labels that are asked for. At the control's share "
        f"{events / units * served:.0f} of what it served until now would be in it: its version names the "
        "counter otherwise. Judge a counter that both have, or let the canary's begin at 0.",
    )
