"""What is known of a metric's noise before the first look, and what that makes of the noise seen since."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from modelrollout.analysis.inputs.metric import Metric

UNKNOWN = 3.0
"""Times the noise of independent requests that a proof reckons with where the past could not tell."""
SLOW = 1.5
"""From this ratio of phi to its fast part on, a service has slow noise."""


@dataclass(frozen=True, slots=True)
class Noise:
    """The design effect as learned before the rollout; frozen with the evidence."""

    phi: float | None
    short: float | None
    exposure: float | None
    watch: bool

    @classmethod
    def of(cls, metric: Metric) -> Noise:
        return cls(metric.phi, metric.phi_short, metric.phi_exposure, metric.watch_noise)

    @property
    def known(self) -> bool:
        return self.phi is not None

    def for_proofs(self, phi: float) -> float:
        """phi of the evidence for the canary: unknown noise is not taken for none."""
        return phi if self.known or not self.watch else max(phi, UNKNOWN)

    @property
    def slow(self) -> float:
        """How many times larger the whole noise is than the part that the jumps between looks show."""
        return max(self.phi / (self.short or self.phi), 1.0) if self.phi is not None else 1.0

    @property
    def correlation(self) -> float:
        """Of neighbouring looks, if each look's noise is a part of the one before and a new one. Then the
        whole noise is (1 + c) / (1 - c)^2 times what the jumps show."""
        return (2 * self.slow + 1 - math.sqrt(8 * self.slow + 1)) / (2 * self.slow)

    @property
    def follows_long_run(self) -> bool:
        return self.watch and (not self.known or self.slow >= SLOW)

    def at(self, information: float, jumps: float, long_run: float) -> float:
        """phi for a look with n1 n0 / (n1 + n0) = information, given what this rollout's looks show.

        Never below what was learned: fewer units come from fewer pods, whose own noise makes up for it.
        """
        learned = self.phi or 1.0
        if self.exposure:
            learned = 1 + (learned - 1) * max(1.0, information / self.exposure)
        return max(learned, jumps * self.slow, long_run) if self.watch else learned

    def dump(self) -> list[float]:
        return [math.nan if x is None else x for x in (self.phi, self.short, self.exposure)]

    @classmethod
    def load(cls, metric: Metric, numbers: Iterator[float]) -> Noise:
        phi, short, exposure = (None if math.isnan(x) else x for x in (next(numbers) for _ in range(3)))
        return cls(phi, short, exposure, metric.watch_noise)
