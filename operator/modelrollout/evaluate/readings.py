"""What is known of a score after some cases, in the score's own unit, and as a sentence."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field

from modelrollout.evaluate.betting import counted, interval
from modelrollout.evaluate.claims import Claim, Kind, Scale, relative

RISK = 0.05
"""Of the intervals that are shown."""


@dataclass(slots=True)
class Tally:
    """Values of one score over the cases that count for it."""

    scale: Scale
    cases: int = 0
    weight: float = 0.0
    candidate: float = 0.0
    baseline: float = 0.0
    differences: array[float] = field(default_factory=lambda: array("d"))
    """In points of the scale, or relative for a measure; the value itself when there is no baseline."""
    weights: array[float] = field(default_factory=lambda: array("d"))

    def add(self, candidate: float, baseline: float | None, weight: float) -> None:
        self.cases += 1
        self.weight += weight
        self.candidate += weight * candidate
        self.baseline += weight * (baseline or 0.0)
        self.differences.append(self._difference(candidate, baseline))
        self.weights.append(weight)

    def _difference(self, candidate: float, baseline: float | None) -> float:
        if self.scale.paired:
            return 2 * candidate - 1
        if baseline is None:
            return candidate
        if self.scale.high is None:
            return relative(candidate, baseline)
        return (candidate - baseline) / self.scale.width


@dataclass(frozen=True, slots=True)
class Reading:
    """One score for people: means of both sides, their difference, and where it lies in 95 of 100 runs."""

    score: str
    cases: int
    candidate: float | None
    baseline: float | None
    difference: float | None
    """In the score's unit, or as a part of the baseline for a measure: 0.1 is 10 % more."""
    low: float | None
    high: float | None
    relative: bool
    scale: Scale

    @property
    def text(self) -> str:
        """The numbers as a sentence without its full stop."""
        if self.candidate is None:
            return f"{self.score}: no case says anything about it"
        text = f"{self.score}: candidate {self.shown(self.candidate)}"
        if self.scale.paired:
            text = f"{self.score}: the candidate wins {self.shown(self.candidate)} of the comparisons"
        elif self.scale.joint:
            text = f"{self.score}: the two answers are alike by {self.shown(self.candidate)}"
        elif self.baseline is not None:
            text += f", baseline {self.shown(self.baseline)}"
        if self.difference is not None:
            text += f"; difference {self.gap(self.difference)}"
            if self.low is not None and self.high is not None:
                text += f", 95 % between {self.gap(self.low)} and {self.gap(self.high)}"
        return text

    def shown(self, value: float) -> str:
        if self.scale.high == 1.0 and self.scale.low == 0.0:
            return f"{100 * value:.1f} %"
        return f"{value:.3g}"

    def gap(self, value: float) -> str:
        if self.relative:
            ends = {_as_part(1.0): "four times as much or more", _as_part(-1.0): "a quarter or less"}
            return ends.get(value, f"{100 * value:+.1f} %")
        if self.scale.high == 1.0 and self.scale.low == 0.0:
            return f"{100 * value:+.1f} points"
        return f"{value:+.3g}"


def read(score: str, tally: Tally, single: bool) -> Reading:
    scale, measure = tally.scale, tally.scale.high is None
    if tally.cases == 0:
        return Reading(score, 0, None, None, None, None, None, measure, scale)
    candidate = tally.candidate / tally.weight
    if (single or scale.joint) and not scale.paired:
        return Reading(score, tally.cases, candidate, None, None, None, None, measure, scale)
    baseline = None if scale.paired else tally.baseline / tally.weight
    pairs = zip(tally.differences, tally.weights, strict=True)
    mean = sum(d * w for d, w in zip(tally.differences, tally.weights, strict=True)) / tally.weight
    low, high = interval(counted(pairs, -1.0, 1.0), -1.0, 1.0, RISK)
    own = _as_part if measure else (lambda part: part * scale.width)
    return Reading(score, tally.cases, candidate, baseline, own(mean), own(low), own(high), measure, scale)


def _as_part(value: float) -> float:
    """From the log of c / b to c / b - 1."""
    return math.pow(4.0, value) - 1


def tolerated(claim: Claim) -> str:
    """The limit as a person wrote it: "at most 5 points worse"."""
    if claim.kind is Kind.LIMIT:
        word = "at least" if claim.limit_name == "atLeast" else "at most"
        share = claim.scale.low == 0.0 and claim.scale.high == 1.0
        return f"{word} {100 * claim.own_limit:g} %" if share else f"{word} {claim.own_limit:g}"
    word = "change" if claim.limit_name == "atMostChange" else "worse"
    if claim.kind is Kind.RATIO:
        return f"at most {100 * claim.own_limit:g} % {word}"
    if claim.scale.width == 1.0:
        return f"at most {100 * claim.own_limit:g} points {word}"
    return f"at most {claim.own_limit:g} {word}"
