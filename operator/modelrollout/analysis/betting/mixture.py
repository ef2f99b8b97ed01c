"""An e-process: evidence against one null, collected look by look over several alternatives and starts.

E_t = sum over g of pi_g A_t(g) + (mass not yet started), A_t(g) = S_t(g) (A_{t-1}(g) + w_t), in logarithms.
E_0 = 1, and under the null P(E ever reaches 1/alpha) <= alpha, however often one looks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import add
from typing import NamedTuple

_GREATEST = 690.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """When evidence starts counting. A single start bets everything on "from the first look"; a restarting
    one keeps half of it back for regressions that begin later. Half of that is spread evenly over the
    `planned` looks, the rest thins out and never ends: a rollout may wait, and a guard goes on. Without
    `planned` all of it thins out."""

    restart: bool
    planned: int | None = None

    def start(self, look: int) -> float:
        """The mass that starts at a look, counted from 1; sums to at most 1 over all looks."""
        if not self.restart:
            return 1.0 if look == 1 else 0.0
        later = 0.5 / (look * (look + 1))
        if self.planned:
            later = 0.5 * later + (0.25 / self.planned if look <= self.planned else 0.0)
        return 0.5 + later if look == 1 else later


SINGLE = Schedule(restart=False)


class Mixture(NamedTuple):
    """The state of one e-process; restoring these numbers continues it bit for bit."""

    log_a: tuple[float, ...]
    rest: float
    """The mass that has not started."""
    looks: int

    @classmethod
    def fresh(cls, alternatives: int) -> Mixture:
        return cls((-math.inf,) * alternatives, 1.0, 0)

    def fold(self, log_factors: Iterable[float], schedule: Schedule) -> Mixture:
        """The state after one more look with these log factors, one per alternative."""
        look = self.looks + 1
        start = min(schedule.start(look), self.rest)
        before: Iterable[float] = self.log_a
        if start > 0:
            new, exp, log1p = math.log(start), math.exp, math.log1p
            before = [new + log1p(exp(a - new)) if a < new else a + log1p(exp(new - a)) for a in self.log_a]
        log_a = tuple(map(add, log_factors, before))
        return Mixture(log_a, max(self.rest - start, 0.0), look)

    def log_e(self, log_stakes: Sequence[float]) -> float:
        """Log of the e-value; `log_stakes` are the logs of the alternatives' shares pi."""
        started = log_sum(list(map(add, log_stakes, self.log_a)))
        return _log_add(started, math.log(self.rest)) if self.rest > 0 else started


def log_mean_e(mixtures: Sequence[Mixture], log_stakes: Sequence[float]) -> float:
    """Log of the average e-value of e-processes that have started the same masses."""
    stake, rest = -math.log(len(mixtures)), mixtures[0].rest
    started = stake + log_sum([pi + a for m in mixtures for pi, a in zip(log_stakes, m.log_a, strict=True)])
    return _log_add(started, math.log(rest)) if rest > 0 else started


def log_sum(logs: Iterable[float]) -> float:
    """log of the sum of exp."""
    terms = logs if isinstance(logs, list) else list(logs)
    top = max(terms)
    if top == -math.inf:
        return top
    exp = math.exp
    return top + math.log(sum([exp(term - top) for term in terms]))


def e_value(log_e: float) -> float:
    """The e-value as a number for people; held just below what a float can carry."""
    return math.exp(min(log_e, _GREATEST))


def _log_add(a: float, b: float) -> float:
    if a < b:
        a, b = b, a
    if b == -math.inf:
        return a
    return a + math.log1p(math.exp(b - a))
