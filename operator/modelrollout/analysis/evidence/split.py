"""Does the data plane split as the route says? A sequential test of the share of arrivals against the weight.

A canary that gets another share than configured is not compared with like: requests are lost before it,
retried onto the other arm, or routed by something else. A mismatch holds a rollout.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from modelrollout.analysis.betting.mixture import Mixture, Schedule, e_value
from modelrollout.analysis.noise.dispersion import Jumps, Pair
from modelrollout.analysis.packing import pack, unpack

ODDS = (0.5, 0.8, 1.25, 2.0)
"""Odds ratios of the true share over the configured one that the test bets on."""
RISK = 0.001
"""At most this share of correctly split rollouts is ever called mismatched."""
_CAP = -math.log(RISK) / 3
"""Log of the greatest factor of one look: a few looks must first show how sticky sessions are."""
_STAKES = (-math.log(len(ODDS)),) * len(ODDS)
_SCHEDULE = Schedule(restart=True)


@dataclass(frozen=True, slots=True)
class SplitProof:
    """Evidence that arrivals do not follow the weights, over all looks and weights of a rollout."""

    evidence: Mixture = field(default_factory=lambda: Mixture.fresh(len(ODDS)))
    canary: float = 0.0
    expected: float = 0.0
    """Arrivals that the weights would have given the canary."""
    total: float = 0.0
    jumps: Jumps = field(default_factory=Jumps)
    """Of the share, in standard deviations of one request around the weight: sticky sessions bring many
    requests with one choice, so that the share wanders more than single requests would make it."""
    cursor: float | None = None

    def fold(self, end: float, arrivals: tuple[float, float], weight: float) -> SplitProof:
        """One look up to `end` (unix seconds): `arrivals` at (canary, control) under `weight` in 0..1.

        Weights of 0 and 1 test nothing.
        ValueError when the look is part of the proof already.
        """
        if self.cursor is not None and end <= self.cursor:
            raise ValueError(
                f"The look up to {end:.3f} is folded already; the proof is at {self.cursor:.3f}."
            )
        n1, n0 = arrivals
        if not 0 < weight < 1 or n1 + n0 <= 0:
            return replace(self, cursor=end)
        factors = [min(log_share_factor(n1, n0, weight, odds) / self.phi, _CAP) for odds in ODDS]
        surplus = (n1 - weight * (n1 + n0)) / math.sqrt(weight * (1 - weight))
        jumps = self.jumps.fold(Pair(n1 + n0, surplus, 0.0, 0.0, alone=True))
        return SplitProof(
            self.evidence.fold(factors, _SCHEDULE),
            self.canary + n1,
            self.expected + weight * (n1 + n0),
            self.total + n1 + n0,
            jumps,
            end,
        )

    @property
    def phi(self) -> float:
        """Design effect of the arrivals, from the looks so far."""
        return self.jumps.phi(1.0, 0.0)

    @property
    def e(self) -> float:
        return e_value(self.evidence.log_e(_STAKES))

    @property
    def mismatch(self) -> str | None:
        """What is wrong with the split, as a sentence; None while nothing is shown to be."""
        if self.e < 1 / RISK:
            return None
        got, meant = 100 * self.canary / self.total, 100 * self.expected / self.total
        return (
            f"The canary received {got:.3g} % of {self.total:,.0f} requests where the weights meant "
            f"{meant:.3g} %: the arms cannot be compared. Look for retries, sticky sessions or another route "
            "to the same Service."
        )

    @property
    def measured(self) -> str | None:
        """The share counted so far beside the share meant; None before the first arrival."""
        if self.total <= 0:
            return None
        got, meant = 100 * self.canary / self.total, 100 * self.expected / self.total
        return f"{got:.3g} % of {self.total:,.0f} requests, {meant:.3g} % meant"

    def to_state(self) -> dict[str, Any]:
        numbers = [*self.evidence.log_a, self.evidence.rest, self.canary, self.expected, self.total]
        numbers += self.jumps.dump()
        return {"looks": self.evidence.looks, "cursor": self.cursor, "d": pack(numbers, "d")}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> SplitProof:
        """The proof as stored; KeyError, StopIteration or ValueError when it was not."""
        numbers = iter(unpack(state["d"], "d"))
        log_a, rest = tuple(itertools.islice(numbers, len(ODDS))), next(numbers)
        totals = (next(numbers), next(numbers), next(numbers))
        jumps, cursor = Jumps.load(numbers), state["cursor"]
        evidence = Mixture(log_a, rest, int(state["looks"]))
        return cls(evidence, *totals, jumps, None if cursor is None else float(cursor))


def log_share_factor(n1: float, n0: float, weight: float, odds: float) -> float:
    """Log likelihood ratio of a share whose odds are `odds` times those of the weight."""
    share = odds * weight / (odds * weight + 1 - weight)
    return n1 * math.log(share / weight) + n0 * math.log((1 - share) / (1 - weight))
