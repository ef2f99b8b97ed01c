"""What an evaluation can find, before it starts: how many cases a pass takes, and which harm shows."""

from __future__ import annotations

import math
from dataclasses import dataclass

from modelrollout.evaluate.betting import Distribution, cases_above, cases_below
from modelrollout.evaluate.claims import GREATEST, Claim, Kind
from modelrollout.evaluate.readings import tolerated
from modelrollout.evaluate.trial import Trial

DIFFERING = 0.05
"""The share of cases assumed to be right in one arm only although neither is better."""
_MARK = 0.15
"""How far two marks of a judge are assumed to lie apart, as a part of the scale, in half of the cases."""
_SPREAD = 0.15
"""How far a measure of one case is assumed to lie beside the baseline's, relative, up or down."""
_LIKELY = 1.3
"""Cases beyond the average, so that most runs are decided."""


@dataclass(frozen=True, slots=True)
class Forecast:
    score: str
    demands: str
    to_pass: float
    """Cases until an equal candidate passes; infinite when it never does."""
    detectable: float | None
    """The smallest harm that the whole set would show, in points of the scale or relative for a measure."""
    text: str


def forecasts(trial: Trial) -> list[Forecast]:
    return [_forecast(trial, line.claim, line.log_stake) for line in trial.main_lines]


def _forecast(trial: Trial, claim: Claim, log_stake: float) -> Forecast:
    to_pass = _LIKELY * cases_below(_equal(claim), claim.bounds, -math.log(trial.policy.risk.miss))
    needed = -math.log(trial.policy.risk.false_fail) - log_stake
    detectable = _detectable(claim, trial.total, needed)
    return Forecast(
        claim.score, tolerated(claim), to_pass, detectable, _text(claim, trial.total, to_pass, detectable)
    )


def _equal(claim: Claim) -> Distribution:
    """Values of a candidate that is as good as the baseline, or, beside an absolute limit, perfect."""
    if claim.kind is Kind.LIMIT:
        return ((1.0, 0.5 / GREATEST if claim.scale.high is None else 0.0),)
    if claim.kind is Kind.RATIO:
        return _measured(claim, 1.0)
    if claim.judged:
        return ((0.25, _MARK), (0.5, 0.0), (0.25, -_MARK))
    return ((DIFFERING / 2, 1.0), (1 - DIFFERING, 0.0), (DIFFERING / 2, -1.0))


def _measured(claim: Claim, times: float) -> Distribution:
    pairs = []
    for spread in (1 - _SPREAD, 1 + _SPREAD):
        value = claim.value(times * spread, 1.0)
        pairs.append((0.5, value if value is not None else 0.0))
    return tuple(pairs)


def _harmed(claim: Claim, harm: float) -> Distribution:
    """Values of a candidate that is worse by `harm` beyond equal."""
    if claim.kind is Kind.RATIO:
        return _measured(claim, max(1 - harm, 1e-6) if claim.falls else 1 + harm)
    if claim.kind is Kind.LIMIT and claim.scale.high is None:
        return ((1.0, min((1 + harm) / GREATEST, 1.0)),)
    if claim.kind is Kind.LIMIT:
        return ((harm, 1.0), (1 - harm, 0.0))
    if claim.judged and harm + _MARK <= 1:
        return tuple((p, harm + x) for p, x in _equal(claim))
    noise = min(DIFFERING / 2, (1 - harm) / 2)
    return ((harm + noise, 1.0), (1 - harm - 2 * noise, 0.0), (noise, -1.0))


def _detectable(claim: Claim, cases: int, needed: float) -> float | None:
    def found(harm: float) -> bool:
        return _LIKELY * cases_above(_harmed(claim, harm), claim.bounds, needed) <= cases

    most = 9.0 if claim.scale.high is None and not claim.falls else 1.0
    if not found(most):
        return None
    low, high = 0.0, most
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return high


def _text(claim: Claim, cases: int, to_pass: float, detectable: float | None) -> str:
    what = (
        "a candidate without a single bad answer"
        if claim.kind is Kind.LIMIT
        else "a candidate that is as good"
    )
    if claim.kind is Kind.LIMIT and claim.scale.high is None:
        what = "a candidate at half of the limit"
    text = f"{claim.score}, {tolerated(claim)}: "
    if to_pass <= cases:
        text += f"{what} passes after about {math.ceil(to_pass)} cases"
    elif math.isinf(to_pass):
        text += f"{what} never passes"
    else:
        text += f"{what} needs about {math.ceil(to_pass):,} cases to pass, there are {cases:,}"
        if claim.must_prove:
            text += " (add cases, tolerate more, or write mustProve: false)"
    if detectable is None:
        return f"{text}; no harm would be found with {cases:,} cases."
    unit = "%" if claim.scale.high is None else "points"
    kind = "a share" if claim.kind is Kind.LIMIT and claim.scale.high is not None else "a harm"
    return f"{text}; {kind} of {100 * detectable:.2g} {unit} is found."
