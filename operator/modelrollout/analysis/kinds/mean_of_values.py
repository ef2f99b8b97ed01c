"""The mean of a histogram's values, judged where its buckets are too coarse: a t mixture over looks.

It has to prove what the step asks for: the tolerance, or the wider margin of a step before the last one. It
counts against the canary beyond twice the tolerance alone, because only its own looks show its noise. Looks
that hang together count as fewer: as the looks of this rollout show, or as the control's past did.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from modelrollout.analysis.betting.mixture import log_sum
from modelrollout.analysis.inputs.observation import Histogram
from modelrollout.analysis.kinds.scalar import Series

_PLAINLY = 2.0
"""Times the tolerance beyond which a mean counts against the canary."""
_NO_LOOKS = Series()


@dataclass(frozen=True, slots=True)
class MeanTest:
    ratio: float
    """What is tolerated: the canary's mean is at most so many times the control's."""
    correlation: float
    """Of neighbouring looks, as the control's past showed it."""
    sums: tuple[float, float] = (0.0, 0.0)
    """Of the means of (canary, control), over the looks since the pods carry the load that they carry now."""
    excess: Series = _NO_LOOKS
    """By how much the canary is beyond what is tolerated, in these looks."""
    easier: Series = _NO_LOOKS
    """The same at the margin of this step, where that is wider."""
    harm: Series = _NO_LOOKS
    """The same beyond `_PLAINLY` times what is tolerated, in looks that may count against the canary."""
    harm_before: float = 0.0
    """Log of the e-value against the canary at the loads before this one."""

    def fold(self, slow: Histogram, base: Histogram, margin: float, blames: bool) -> MeanTest:
        """One more look; `margin`: how many tolerances the step has to prove."""
        n1, n0 = sum(slow.counts), sum(base.counts)
        if slow.sum is None or base.sum is None or not (n1 and n0):
            return self
        y1, y0 = slow.sum / n1, base.sum / n0

        def beyond(tolerances: float) -> float:
            return y1 - (1 + tolerances * (self.ratio - 1)) * y0

        return replace(
            self,
            sums=(self.sums[0] + y1, self.sums[1] + y0),
            excess=self.excess.add(beyond(1.0)),
            easier=self.easier.add(beyond(margin)) if margin > 1 else self.easier,
            harm=self.harm.add(beyond(_PLAINLY)) if blames else self.harm,
        )

    def begin_step(self, *, carry: bool) -> MeanTest:
        """Where the pods carry another load, what was seen of the arms' difference holds for the load before,
        and half of the evidence against the canary waits for the next load."""
        if carry:
            return replace(self, easier=_NO_LOOKS)
        before = log_sum([0.0, self.log_harm]) - math.log(2)
        return MeanTest(self.ratio, self.correlation, harm_before=before)

    @property
    def looks(self) -> int:
        return self.excess.looks

    @property
    def log_harm(self) -> float:
        """Evidence against the canary, over all loads."""
        return self.harm_before + self.harm.log_e(1.0, self.correlation)

    @property
    def log_promote(self) -> float:
        return max(series.log_e(-1.0, self.correlation) for series in (self.excess, self.easier))

    def sentence(self, unit: str) -> str:
        """Empty before the first look."""
        if not self.looks:
            return ""
        y1, y0 = (total / self.looks for total in self.sums)
        return (
            "the buckets are too coarse to show what is tolerated, so the mean is judged: "
            f"{y1:.4g} beside {y0:.4g} {unit}".rstrip()
            + f" in {self.looks} looks, tolerated up to {self.ratio * y0:.4g}"
        )

    def dump(self) -> list[float]:
        series = (self.excess, self.easier, self.harm)
        return [*self.sums, *(x for each in series for x in each.dump()), self.harm_before]

    @classmethod
    def load(cls, ratio: float, correlation: float, numbers: Iterator[float]) -> MeanTest:
        sums = (next(numbers), next(numbers))
        excess, easier, harm = (Series.load(numbers) for _ in range(3))
        return cls(ratio, correlation, sums, excess, easier, harm, next(numbers))
