"""How a rollout is judged as a whole: its metrics, and how often a verdict may be wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from modelrollout.analysis.inputs.metric import Metric

CATASTROPHIC_SHARE = 0.1
"""The part of falseRevertRisk that the catastrophic rule spends when a metric has such a limit."""


@dataclass(frozen=True)
class Plan:
    """Fixed before the first look; the same plan must be given to restore stored evidence."""

    metrics: tuple[Metric, ...]
    false_revert_risk: float = 0.01
    """At most this share of harmless rollouts is reverted: all metrics, steps and looks together."""
    miss_risk: float = 0.05
    """At most this share of harmful rollouts passes every step."""
    planned_looks: int | None = None
    """Looks the rollout is expected to take, guard included; None: not known."""
    minimum_looks: int = 3
    """No step passes on fewer."""
    looks_without_history: int = 30
    """A metric whose design effect is unknown (phi None) speaks for a revert only after so many looks."""

    def __post_init__(self) -> None:
        names = [m.name for m in self.metrics]
        if not names:
            raise ValueError("A plan needs at least one metric.")
        if len(set(names)) != len(names):
            raise ValueError(f"Metric names must differ; given were {', '.join(names)}.")
        for what, risk in (("falseRevertRisk", self.false_revert_risk), ("missRisk", self.miss_risk)):
            if not (math.isfinite(risk) and 0 < risk < 0.5):
                raise ValueError(f"Its {what} is {risk:g}; it must lie between 0 and 0.5.")
        if self.planned_looks is not None and self.planned_looks < 1:
            raise ValueError(f"Its plannedLooks is {self.planned_looks}; it must be at least 1.")

    @cached_property
    def critical(self) -> tuple[str, ...]:
        """The metrics that must be proven before a step passes. When none is named all are: a step never
        passes because nothing was looked at."""
        named = tuple(metric.name for metric in self.metrics if metric.is_critical)
        return named or tuple(metric.name for metric in self.metrics)

    @cached_property
    def catastrophic_risk(self) -> float:
        """What the catastrophic rule may spend of falseRevertRisk."""
        watched = any(m.catastrophic is not None and m.reverts for m in self.metrics)
        return CATASTROPHIC_SHARE * self.false_revert_risk if watched else 0.0

    @property
    def revert_risk(self) -> float:
        """What the weighted average of evidence may spend of falseRevertRisk."""
        return self.false_revert_risk - self.catastrophic_risk

    @property
    def cap(self) -> float:
        """Log of the greatest factor of one look against the canary: no revert from fewer than three."""
        return -math.log(self.revert_risk) / 3
