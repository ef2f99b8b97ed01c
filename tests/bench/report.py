"""Rows and tables of what methods did to rollouts."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Row:
    """What one method did in one scenario."""

    method: str
    hits: npt.NDArray[np.int64]
    """Look of the decision per rollout, from 0; the number of looks where nothing was decided."""
    looks: int
    per_look: int
    since: int = 0
    """The look at which the regression began."""
    bound: float | None = None
    """The fewest canary requests that any valid test needs, in nats: ln(1/alpha) / KL."""

    def cells(self) -> list[str]:
        share = float((self.hits < self.looks).mean())
        error = 1.96 * math.sqrt(max(share * (1 - share), 0.25 / len(self.hits)) / len(self.hits))
        early = float((self.hits < self.since).mean())
        decided = f"{100 * share:.2f} (±{100 * error:.2f})"
        if early:
            decided += f", {100 * early:.1f} before it began"
        median, ninety = self._requests(0.5), self._requests(0.9)
        ratio = f"{median / self.bound:.2f}" if self.bound and math.isfinite(median) else "–"
        return [self.method, decided, _number(median), _number(ninety), ratio]

    def _requests(self, quantile: float) -> float:
        """Canary requests since the regression began, over the rollouts that had not decided by then."""
        return requests(
            self.hits[self.hits >= self.since] - self.since, self.looks - self.since, self.per_look, quantile
        )


def requests(hits: npt.NDArray[np.int64], looks: int, per_look: int, quantile: float = 0.5) -> float:
    """Canary requests until the decision, for looks from 0; `looks` where nothing was decided."""
    if len(hits) == 0:
        return math.inf
    delay = np.where(hits < looks, (hits + 1) * per_look, np.inf)
    return float(np.quantile(delay, quantile, method="higher"))


HEAD = ["method", "decided, % of rollouts", "canary requests: median", "90 %", "median / bound"]


def _number(value: float) -> str:
    return f"{value:,.0f}" if math.isfinite(value) else "–"


def table(title: str, rows: list[Row]) -> None:
    print(f"\n### {title}\n")
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    for row in rows:
        print(f"| {' | '.join(row.cells())} |")
    sys.stdout.flush()
