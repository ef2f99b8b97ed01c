"""Whether more or less of each score is better. The head of a run's results keeps it for later readers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelrollout.evaluate.claims import scale_of
from modelrollout.evaluate.phrases import SETS
from modelrollout.evaluate.policy import Policy
from modelrollout.evaluate.scorer_specs import LOWER_IS_BETTER


@dataclass(frozen=True, slots=True)
class Direction:
    low: float = 0.0
    high: float = 1.0
    good: bool = True
    """More is better."""

    def goodness(self, score: float) -> float:
        """From 0, the worst, to 1."""
        part = (score - self.low) / (self.high - self.low)
        return part if self.good else 1 - part


def written(policy: Policy) -> dict[str, dict[str, Any]]:
    """For the head of the results; measures such as seconds have no worst value, and are left out."""
    scales = {spec.name: scale_of(policy, spec.name) for spec in policy.scorers}
    return {
        name: {"low": scale.low, "high": scale.high, "better": "higher" if scale.good else "lower"}
        for name, scale in scales.items()
        if scale.high is not None
    }


def read(head: Mapping[str, Any]) -> dict[str, Direction] | None:
    """None: the run is older than what its head says of directions."""
    given = head.get("scores")
    if not isinstance(given, dict):
        return None
    return {
        name: Direction(float(one["low"]), float(one["high"]), one["better"] == "higher")
        for name, one in given.items()
    }


def assumed(name: str) -> Direction:
    """Of a score in such an older run, by its name."""
    return Direction(good=name not in LOWER_IS_BETTER and name not in SETS)
