"""Evidence on one margin, both ways: that the canary is worse than allowed, and that it is not."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from modelrollout.analysis.betting import stratified
from modelrollout.analysis.betting.block import (
    BETTER,
    LOG_STAKES_BETTER,
    LOG_STAKES_WORSE,
    WORSE,
    Block,
    Margin,
    log_factors,
)
from modelrollout.analysis.betting.ladder import StepTerms
from modelrollout.analysis.betting.mixture import SINGLE, Mixture, Schedule
from modelrollout.analysis.betting.stratified import Stratum

FORGET = 0.97
"""How much of the control's past counts one look later: bets follow a drifting baseline."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How evidence of one metric is collected; the same for all its looks."""

    schedule: Schedule
    cap: float | None
    """Log of the greatest factor of one look against the canary; None: no cap."""


class Control(NamedTuple):
    """What is known of the control's bad share before a look: discounted past counts."""

    bad: float
    total: float

    @property
    def share(self) -> float:
        return min(max(self.bad / self.total, 1e-6), 1 - 1e-6)

    def fold(self, block: Block) -> Control:
        if block.n1 == 0 and block.n0 == 0:
            return self
        return Control(FORGET * self.bad + block.x0, FORGET * self.total + block.n0)

    def aged(self) -> Control:
        return Control(FORGET * self.bad, FORGET * self.total)


class TwoSided(NamedTuple):
    """Both e-processes on one margin, betting from the same past; and a third where a step need not prove
    that margin yet."""

    control: Control
    revert: Mixture
    promote: Mixture
    wide: Mixture
    """Against "worse than the wider margin of this step"."""

    @classmethod
    def fresh(cls, prior: float, weight: float) -> TwoSided:
        """`prior`: the control's bad share before the rollout, worth `weight` units."""
        fresh = Mixture.fresh
        proof = fresh(1 + len(BETTER))
        return cls(Control(prior * weight, weight), fresh(len(WORSE)), proof, proof)

    def fold(
        self,
        block: Block,
        margin: Margin,
        phi: float,
        terms: Terms,
        *,
        blames: bool = True,
        proves: bool = True,
        wide: Margin | None = None,
        proof_phi: float | None = None,
        strata: Sequence[Stratum] = (),
    ) -> TwoSided:
        """One more look; `phi` >= 1 must come from earlier looks only. It may count against the canary when
        it `blames`, and for it when it `proves`: at the margin, and at the `wide` one when given, tempered by
        `proof_phi` when given. `strata` are those of the block; the arms are compared within them."""
        share = self.control.share

        def factors(margin: Margin) -> tuple[list[float], list[float]]:
            if strata:
                return stratified.log_factors(strata, margin, phi, proves=proves, proof_phi=proof_phi)
            return log_factors(block, share, margin, phi, proves=proves, proof_phi=proof_phi)

        worse, better = factors(margin)
        if not blames:
            worse = [0.0] * len(WORSE)
        elif (cap := terms.cap) is not None:
            worse = [factor if factor < cap else cap for factor in worse]
        widely = self.wide
        if wide is not None and proves:
            _, easier = factors(wide)
            widely = widely.fold(easier, SINGLE)
        return TwoSided(
            self.control.fold(block),
            self.revert.fold(worse, terms.schedule),
            self.promote.fold(better, SINGLE),
            widely,
        )

    def begin_step(self, step: StepTerms) -> TwoSided:
        fresh = Mixture.fresh(1 + len(BETTER))
        return self._replace(promote=self.promote if step.carry else fresh, wide=fresh)

    @property
    def log_revert(self) -> float:
        return self.revert.log_e(LOG_STAKES_WORSE)

    @property
    def log_promote(self) -> float:
        """The stronger evidence for the canary: at the margin, or at the wider one of the step. A canary that
        keeps the margin keeps the wider one, too."""
        proven = self.promote.log_e(LOG_STAKES_BETTER)
        return max(proven, self.wide.log_e(LOG_STAKES_BETTER)) if self.wide.looks else proven

    def dump(self) -> list[float]:
        return [*self.dump_shared(), *self.dump_own()]

    @classmethod
    def load(cls, numbers: Iterator[float]) -> TwoSided:
        return cls.load_own(numbers, cls.load_shared(numbers))

    def dump_shared(self) -> list[float]:
        """What tests that have seen the same looks with the same numbers of units have in common."""
        shared = [self.control.total]
        for mixture in (self.revert, self.promote, self.wide):
            shared += [mixture.rest, float(mixture.looks)]
        return shared

    @classmethod
    def load_shared(cls, numbers: Iterator[float]) -> TwoSided:
        total = next(numbers)
        revert, promote, wide = (Mixture((), next(numbers), int(next(numbers))) for _ in range(3))
        return cls(Control(0.0, total), revert, promote, wide)

    def dump_own(self) -> list[float]:
        return [self.control.bad, *self.revert.log_a, *self.promote.log_a, *self.wide.log_a]

    @classmethod
    def load_own(cls, numbers: Iterator[float], shared: TwoSided) -> TwoSided:
        return shared.with_own(tuple(itertools.islice(numbers, OWN)))

    def with_own(self, own: tuple[float, ...]) -> TwoSided:
        """With these numbers, as `dump_own` gave them, and what is shared from here."""
        ends = (1, 1 + len(WORSE), 2 + len(WORSE) + len(BETTER), OWN)
        logs = [own[a:b] for a, b in itertools.pairwise(ends)]
        shared = (self.revert, self.promote, self.wide)
        revert, promote, wide = (m._replace(log_a=a) for m, a in zip(shared, logs, strict=True))
        return TwoSided(Control(own[0], self.control.total), revert, promote, wide)


OWN = 1 + len(WORSE) + 2 * (1 + len(BETTER))
"""How many numbers `dump_own` gives."""


def dump_mixture(mixture: Mixture) -> list[float]:
    return [*mixture.log_a, mixture.rest, float(mixture.looks)]


def load_mixture(numbers: Iterator[float], alternatives: int) -> Mixture:
    log_a = tuple(next(numbers) for _ in range(alternatives))
    return Mixture(log_a, next(numbers), int(next(numbers)))
