"""A metric that counted nothing beside one that counted requests: that is no lack of traffic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from modelrollout.analysis.inputs.observation import Observation, Problem, ProblemKind, Ratio
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
