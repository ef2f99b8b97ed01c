"""Whether the revision that serves is asked, and answers, as in its own past. It moves no user."""

from __future__ import annotations

from modelrollout.api.conditions import STEADY, Finding
from modelrollout.api.reasons.serving import NO_PAST, REQUESTS_DRIFTED, REQUESTS_STEADY
from modelrollout.rollout.view import View

OTHERS = 900
"""Characters of numbers that the condition's message has room for."""


def steady(view: View) -> Finding | None:
    """None where nobody asked for it, or nothing serves."""
    analysis = view.spec.analysis
    if analysis is None or analysis.own_past is None or view.stable is None:
        return None
    found = view.observed.own_past
    if not found:
        return _before(view) or Finding("Unknown", NO_PAST.name, NO_PAST.say())
    drifted = [each for each in found if each.drifted]
    said = "; ".join(each.text for each in drifted or found)[:OTHERS]
    reason = REQUESTS_DRIFTED if drifted else REQUESTS_STEADY
    return Finding("False" if drifted else "True", reason.name, reason.say(revision=view.stable, said=said))


def drifted_since(view: View) -> str | None:
    """Since when its requests have drifted; None while they have not."""
    finding = steady(view)
    if finding is None or finding.status != "False":
        return None
    for each in view.status.conditions:
        if (each.type, each.status) == (STEADY, "False"):
            return each.last_transition_time
    return view.at


def _before(view: View) -> Finding | None:
    """What was found last: a restart of the operator, or a Prometheus that is away, takes nothing back."""
    for each in view.status.conditions:
        if each.type == STEADY and each.status != "Unknown" and str(view.stable) in each.message:
            return Finding(each.status, each.reason, each.message)
    return None
