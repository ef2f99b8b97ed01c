"""What the control did in the looks of its rollout, kept small: the guard's control after promotion.

Shares are kept in blocks of ten looks, so that the worst of them is known; latency as one histogram of all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from modelrollout.analysis.inputs.metric import Kind, Metric
from modelrollout.analysis.inputs.observation import Arm, Histogram, Observation, Ratio
from modelrollout.analysis.packing import pack, unpack

BLOCK = 10
"""Looks."""
MOST_BLOCKS = 48
"""The newest ones: four hours of looks of 30 s."""
MOST_EDGES = 64
"""Of a histogram; what has more buckets is not kept."""

_NOTHING = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Past:
    """Of one metric. As a value it is stored with the status, at most 1 kB of text."""

    looks: int = 0
    """Looks in which the control had traffic."""
    blocks: tuple[tuple[float, float], ...] = ()
    """ratio: (bad, all) of ten looks each, oldest first; with `decrease-is-bad` the good ones."""
    open: tuple[float, float] = _NOTHING
    """The same of the looks since."""
    latency: Histogram | None = None
    """histogram: all looks together; begun anew where the buckets changed."""

    @classmethod
    def of(cls, arms: Sequence[Arm]) -> Past:
        """Of looks of the control, oldest first."""
        past = cls()
        for arm in arms:
            past = past.fold(arm)
        return past

    def fold(self, arm: Arm) -> Past:
        """One more look; one without traffic says nothing."""
        if arm.fault() is not None:
            return self
        if isinstance(arm, Ratio) and arm.total > 0:
            return self._with_share(arm)
        if isinstance(arm, Histogram) and sum(arm.counts) > 0 and len(arm.edges) <= MOST_EDGES:
            before = self.latency
            if before is None or before.edges != arm.edges:
                return Past(1, latency=Histogram(arm.edges, arm.counts))
            counts = tuple(a + b for a, b in zip(before.counts, arm.counts, strict=True))
            return replace(self, looks=self.looks + 1, latency=Histogram(arm.edges, counts))
        return self

    def _with_share(self, arm: Ratio) -> Past:
        here = (self.open[0] + arm.bad, self.open[1] + arm.total)
        looks = self.looks + 1
        if looks % BLOCK:
            return replace(self, looks=looks, open=here)
        return replace(self, looks=looks, blocks=(*self.blocks, here)[-MOST_BLOCKS:], open=_NOTHING)

    @property
    def counted(self) -> tuple[tuple[float, float], ...]:
        """The blocks, with the one that is not yet full."""
        return (*self.blocks, self.open) if self.open[1] > 0 else self.blocks

    def to_state(self) -> dict[str, Any]:
        if self.latency is not None:
            doubles: tuple[float, ...] = (*self.latency.edges, *self.latency.counts)
        else:
            doubles = tuple(number for block in (*self.blocks, self.open) for number in block)
        return {"looks": self.looks, "edges": self.latency is not None, "d": pack(doubles, "d")}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Past:
        """Raises ValueError, KeyError, TypeError: it was not stored by `to_state`."""
        looks, numbers = int(state["looks"]), unpack(state["d"], "d")
        if state["edges"]:
            half = len(numbers) // 2
            return cls(looks, latency=Histogram(numbers[:half], numbers[half:]))
        *blocks, here = zip(numbers[::2], numbers[1::2], strict=True)
        return cls(looks, tuple(blocks), here)


Pasts = Mapping[str, Past]


def with_look(
    pasts: Pasts, metrics: Sequence[Metric], observations: Mapping[str, Observation]
) -> dict[str, Past]:
    """By metric, with what the control did in one more look."""
    after = dict(pasts)
    for metric in metrics:
        seen = observations.get(metric.name)
        if metric.kind not in (Kind.RATIO, Kind.HISTOGRAM) or seen is None or seen.problem is not None:
            continue
        if seen.control is not None:
            after[metric.name] = after.get(metric.name, Past()).fold(seen.control)
    return after
