"""What an experiment or a bandit compares the arms by: from a step of the plan to counters and terms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from modelrollout.analysis.contest import anytime, sequential, shares, sums
from modelrollout.analysis.contest.shares import Count
from modelrollout.analysis.contest.sums import Sums
from modelrollout.analysis.contest.tally import Terms, Users
from modelrollout.analysis.counters.recipe import Resolved
from modelrollout.analysis.inputs.metric import Direction, Kind
from modelrollout.analysis.inputs.observation import Ratio
from modelrollout.analysis.packs.catalogue import resolve
from modelrollout.analysis.packs.limits import Unresolvable
from modelrollout.api import analysis as spec
from modelrollout.api.contest import Experiment as WrittenExperiment
from modelrollout.api.contest import Measure
from modelrollout.api.problem import Problem
from modelrollout.api.quantities import fraction
from modelrollout.api.stages import Bandit, Contest, Experiment, Stage

COUNTED_AS = "(contest)"
"""What the counters of a contest are called in a look. No metric of the spec can have this name."""


@dataclass(frozen=True)
class Measured:
    """What is counted, and whether more of it is better."""

    resolved: tuple[Resolved, ...]
    """A share has one; a mean and a ratio have one for each sum, over the number of users."""
    higher: bool
    kind: Literal["share", "mean", "ratio"] = "share"


COUNTERS = {"sum": "x", "squares": "xx", "per": "y", "per_squares": "yy", "products": "xy"}
"""Field of a measure -> what it sums over the users, as in `Sums`."""


def users_of(found: Sequence[Ratio]) -> Users:
    """What one arm's counters say, in the order of `Measured.resolved`."""
    first = found[0]
    if len(found) == 1:
        return Count(first.bad, first.total)
    return Sums(first.total, **dict(zip(COUNTERS.values(), (each.bad for each in found), strict=False)))


def measured(stage: Contest) -> Measured:
    """Raises Unresolvable where it cannot be counted; the message says what to write."""
    name = stage.written.name
    measure = stage.written.metric if isinstance(stage, Experiment) else stage.written.reward
    if measure.sum is not None:
        return _summed(measure)
    (found,) = resolve([_metric(measure)])
    if found.metric.kind is not Kind.RATIO:
        raise Unresolvable(
            f"{name}: {measure.use} is no share of users. Write one that is, such as feedback/handover, or "
            "successes and users, or for a mean sum, squares and users."
        )
    counts_bad = measure.use is not None and found.metric.direction is Direction.INCREASE_IS_BAD
    higher = not counts_bad if measure.better is None else measure.better == "higher"
    return Measured((_counted(found, COUNTED_AS),), higher)


def _summed(measure: Measure) -> Measured:
    """One counter for each sum. All are read over the same users."""
    written = {field: text for field in COUNTERS if (text := getattr(measure, field)) is not None}
    resolved = tuple(
        _counted(resolve([_own(text, measure.users or "")])[0], f"{COUNTED_AS} {field}")
        for field, text in written.items()
    )
    return Measured(resolved, measure.better != "lower", "ratio" if measure.per is not None else "mean")


def _counted(found: Resolved, name: str) -> Resolved:
    return Resolved(replace(found.metric, name=name), found.recipe)


def _metric(measure: Measure) -> spec.Metric:
    if measure.use is not None:
        return spec.Metric(use=measure.use)
    return _own(measure.successes or "", measure.users or "")


def _own(counter: str, users: str) -> spec.Metric:
    counters = spec.RatioQuery(bad=counter, total=users)
    return spec.Metric(name="contest", ratio=counters, tolerate=spec.Tolerance(absolute="0.1"))


def terms_of(stage: Contest) -> Terms:
    """What ends it. Raises Unresolvable."""
    found = measured(stage)
    if isinstance(stage, Bandit):
        sure = fraction(stage.written.sure)
        return Terms("sure", higher=found.higher, sure=sure, looks=stage.written.looks)
    written = stage.written
    before, effect = fraction(written.baseline), fraction(written.smallest_effect)
    risk, power = fraction(written.risk), fraction(written.power)
    if found.kind != "share":
        deviation = fraction(written.deviation or "0")
        canary = sums.canary_users(deviation, effect, risk, power, written.split)
        canary *= anytime.longer(risk, power) if written.until == "sequential" else 1.0
        users = sums.users_needed(canary, risk, written.split)
        return _terms(written, found, users)
    after = before + effect if found.higher else before - effect
    if not 0 < after < 1:
        raise Unresolvable(
            f"{written.name}: a baseline of {before:g} and a change of {effect:g} would end at a share of "
            f"{after:g}. Write a smaller smallestEffect."
        )
    size = shares.users_needed if written.until == "fixed" else sequential.most_users
    return _terms(written, found, size(before, after, risk, power, written.split))


def _terms(written: WrittenExperiment, found: Measured, users: tuple[int, int]) -> Terms:
    return Terms(
        written.until,
        found.kind,
        found.higher,
        split=written.split,
        users=users,
        baseline=fraction(written.baseline),
        effect=fraction(written.smallest_effect),
        risk=fraction(written.risk),
    )


def unusable(stages: Iterable[Stage]) -> tuple[Problem, ...]:
    """All that stands against the experiments and bandits among these, so that it is mended at once."""
    found = []
    for stage in stages:
        if isinstance(stage, Experiment | Bandit):
            try:
                terms_of(stage)
            except Unresolvable as error:
                found.append(Problem("UnusableMetric", str(error)))
    return tuple(found)
