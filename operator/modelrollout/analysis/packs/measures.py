"""What an experiment or a bandit compares the arms by: from a step of the plan to counters and terms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from modelrollout.analysis.contest import sequential, shares
from modelrollout.analysis.contest.tally import Terms
from modelrollout.analysis.counters.recipe import Resolved
from modelrollout.analysis.inputs.metric import Direction, Kind
from modelrollout.analysis.packs.catalogue import resolve
from modelrollout.analysis.packs.limits import Unresolvable
from modelrollout.api import analysis as spec
from modelrollout.api.contest import Measure
from modelrollout.api.problem import Problem
from modelrollout.api.quantities import fraction
from modelrollout.api.stages import Bandit, Contest, Experiment, Stage

COUNTED_AS = "(contest)"
"""What the counters of a contest are called in a look. No metric of the spec can have this name."""


@dataclass(frozen=True)
class Measured:
    """What is counted, and whether more of it is better."""

    resolved: Resolved
    higher: bool


def measured(stage: Contest) -> Measured:
    """Raises Unresolvable where it cannot be counted; the message says what to write."""
    name = stage.written.name
    measure = stage.written.metric if isinstance(stage, Experiment) else stage.written.reward
    (found,) = resolve([_metric(measure)])
    if found.metric.kind is not Kind.RATIO:
        raise Unresolvable(
            f"{name}: {measure.use} is no share of users. Write one that is, such as feedback/handover, or "
            "successes and users."
        )
    counts_bad = measure.use is not None and found.metric.direction is Direction.INCREASE_IS_BAD
    higher = not counts_bad if measure.better is None else measure.better == "higher"
    return Measured(Resolved(replace(found.metric, name=COUNTED_AS), found.recipe), higher)


def _metric(measure: Measure) -> spec.Metric:
    if measure.use is not None:
        return spec.Metric(use=measure.use)
    counters = spec.RatioQuery(bad=measure.successes or "", total=measure.users or "")
    return spec.Metric(name="contest", ratio=counters, tolerate=spec.Tolerance(absolute="0.1"))


def terms_of(stage: Contest) -> Terms:
    """What ends it. Raises Unresolvable."""
    higher = measured(stage).higher
    if isinstance(stage, Bandit):
        sure = fraction(stage.written.sure)
        return Terms("sure", higher, sure=sure, looks=stage.written.looks)
    written = stage.written
    before, effect = fraction(written.baseline), fraction(written.smallest_effect)
    after = before + effect if higher else before - effect
    if not 0 < after < 1:
        raise Unresolvable(
            f"{written.name}: a baseline of {before:g} and a change of {effect:g} would end at a share of "
            f"{after:g}. Write a smaller smallestEffect."
        )
    risk, power = fraction(written.risk), fraction(written.power)
    size = shares.users_needed if written.until == "fixed" else sequential.most_users
    return Terms(
        written.until,
        higher,
        split=written.split,
        users=size(before, after, risk, power, written.split),
        baseline=before,
        effect=effect,
        risk=risk,
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
