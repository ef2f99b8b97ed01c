"""The noise that a breakdown is divided by: of the past and of the control, never of the judged canary.

A canary that breaks down jumps, and its jump would be the noise that excuses it. The control's looks say as
well how much a healthy service differs from look to look.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from modelrollout.analysis.betting.block import Block
from modelrollout.analysis.noise.dispersion import PRIOR_LOOKS

MOST_UNITS = 200.0
"""A look counts for at most so many units in each arm. Noise that a whole look shares does not shrink with
the number of requests: without this, one noisy look of a busy service would prove anything."""
UNKNOWN = 2.0
"""The noise that is assumed until the control's looks show it; independent requests have 1."""
_LEAST_VARIANCE = 1e-6


class ControlNoise(NamedTuple):
    """How much the control's bad share differs from look to look."""

    looks: float = 0.0
    units: float = 0.0
    bad: float = 0.0
    squares: float = 0.0
    """Sum of bad ** 2 / units over the looks."""

    def fold(self, thin: Block) -> ControlNoise:
        """One more look, from a `thinned` block."""
        if not thin.n0 > 0:
            return self
        return ControlNoise(
            self.looks + 1,
            self.units + thin.n0,
            self.bad + thin.x0,
            self.squares + thin.x0 * thin.x0 / thin.n0,
        )

    def phi(self, learned: float | None) -> float:
        """At least 1, and at least what was `learned` before; for units of a thinned block."""
        least = for_few_looks(learned) if learned is not None else 1.0
        before = least if learned is not None else UNKNOWN
        freedom = max(self.looks - 1, 0.0)
        share = (self.bad + 0.5) / (self.units + 1)
        seen = 0.0
        if freedom > 0:
            scattered = self.squares - self.bad * self.bad / self.units
            seen = scattered / max(share * (1 - share), _LEAST_VARIANCE)
        return max(least, (seen + PRIOR_LOOKS * before) / (freedom + PRIOR_LOOKS))

    @classmethod
    def load(cls, numbers: Iterator[float]) -> ControlNoise:
        return cls(*(next(numbers) for _ in cls._fields))


def thinned(block: Block) -> tuple[Block, float]:
    """The block with at most MOST_UNITS units in each arm and the same shares, and the part of the canary's
    units that is left: noise that a look shares weighs that much less."""
    part1, part0 = (min(1.0, MOST_UNITS / n) if n > 0 else 1.0 for n in (block.n1, block.n0))
    if part1 == part0 == 1.0:
        return block, 1.0
    return block.part(part1, part0), part1


def for_few_looks(phi: float) -> float:
    """Half of what the past shows is noise that goes on for many looks; a breakdown is over within a few."""
    return min(phi, max(2.0, phi / 2))
