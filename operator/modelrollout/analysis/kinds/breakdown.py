"""Evidence that a share has broken down: it is bad far beyond the control's, whatever the looks' noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from modelrollout.analysis.betting import stratified
from modelrollout.analysis.betting.block import LOG_STAKES_WORSE, WORSE, Block, Margin, log_factors
from modelrollout.analysis.betting.mixture import Mixture, Schedule
from modelrollout.analysis.betting.stratified import Stratum
from modelrollout.analysis.betting.two_sided import dump_mixture, load_mixture
from modelrollout.analysis.noise.beside_breakdowns import ControlNoise, thinned


class Breakdown(NamedTuple):
    evidence: Mixture
    control: ControlNoise

    @classmethod
    def fresh(cls) -> Breakdown:
        return cls(Mixture.fresh(len(WORSE)), ControlNoise())

    def fold(
        self,
        block: Block,
        usual: float,
        margin: Margin,
        learned: float | None,
        schedule: Schedule,
        *,
        strata: Sequence[Stratum] = (),
    ) -> Breakdown:
        """Add a look; `usual` is the control's bad share before it, `learned` the noise of the past, `strata`
        those of the block."""
        thin, part = thinned(block)
        past = None if learned is None else 1 + (learned - 1) * part
        phi = self.control.phi(past)
        if strata:
            part0 = thin.n0 / block.n0 if block.n0 > 0 else 1.0
            thinner = [s._replace(block=s.block.part(part, part0)) for s in strata]
            worse, _ = stratified.log_factors(thinner, margin, phi, proves=False)
        else:
            worse, _ = log_factors(thin, usual, margin, phi, proves=False)
        return Breakdown(self.evidence.fold(worse, schedule), self.control.fold(thin))

    @property
    def log_e(self) -> float:
        return self.evidence.log_e(LOG_STAKES_WORSE)

    def dump(self) -> list[float]:
        return [*dump_mixture(self.evidence), *self.control]

    @classmethod
    def load(cls, numbers: Iterator[float]) -> Breakdown:
        return cls(load_mixture(numbers, len(WORSE)), ControlNoise.load(numbers))
