"""Whether the pods that the step in progress needs are where its split will find them."""

from __future__ import annotations

from modelrollout.rollout import steps
from modelrollout.rollout.view import View


def fit(view: View) -> bool:
    """The canary's Service lists every pod that the step's split needs, and nothing else is in the mix."""
    if view.selected("canary") != view.canary or blockers(view):
        return False
    return view.listed("canary") >= view.pods_for(view.asked)


def blockers(view: View) -> list[str]:
    """Revisions that must be gone first: a Service that selects both arms by one label selects them too."""
    if not steps.splits_by_pods(view.spec) or view.asked.canary in (0, 100):
        return []
    return view.others(view.stable, view.canary)
