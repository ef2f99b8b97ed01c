"""What was not counted though there was traffic: requests that end too early, pods that do not answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from modelrollout.analysis.counters.matchers import Arms
from modelrollout.analysis.counters.series import Place
from modelrollout.analysis.counters.targets import Target
from modelrollout.analysis.inputs.observation import Look, Observation, Problem, ProblemKind, Ratio
from modelrollout.analysis.kinds.checks import is_idle


def explained(observations: Mapping[str, Observation]) -> dict[str, Observation]:
    """The same, where a canary's silence in one metric is set beside what another one counted of it."""
    counted = [
        (seen.canary.total, name, seen.canary.bad)
        for name, seen in observations.items()
        if seen.problem is None and isinstance(seen.canary, Ratio) and seen.canary.total > 0
    ]
    if not counted:
        return dict(observations)
    total, other, bad = max(counted)
    problem = Problem(
        ProblemKind.NO_DATA,
        f"It counted nothing of the canary in this look, while {other} counted {total:,.0f} requests, "
        f"{bad:,.0f} of them bad: they end before this metric counts them. See what becomes of them.",
    )
    return {
        name: replace(seen, problem=problem)
        if seen.problem is None and seen.canary is not None and is_idle(seen.canary)
        else seen
        for name, seen in observations.items()
    }


def silent_pods(targets: Mapping[Place, Target], arms: Arms, look: Look) -> int:
    """How many pods of the canary answered before the look and were asked in it in vain, as pods that hang. A
    pod that ended is not asked any more."""
    pods = {
        place.pod
        for place, target in targets.items()
        if target.labels.get("namespace") == arms.namespace
        and target.labels.get("rollout") == arms.rollout
        and target.labels.get("revision") == arms.canary
        and target.last_answer(look.start) is not None
        and 0 < target.expected(look.start, look.end) == target.failed(look.start, look.end)
    }
    return len(pods)
