"""All that an experiment says, as one result.

Unless the experiment is sequential, nothing about the metrics is said before both arms have the planned
users: to look earlier and to stop at the first good figure finds false differences several times as often
as the risk allows. Then the planned users count and no later ones, so that a report of next week says the
same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from modelrollout.analysis.contest import anytime
from modelrollout.analysis.contest.shares import log_uneven
from modelrollout.experiment import comparison
from modelrollout.experiment.comparison import Arms, Compared
from modelrollout.experiment.outcomes import Outcomes, User
from modelrollout.experiment.plan import Experiment, Guardrail, Metric, Size

MISMATCH = 0.001
"""A sample ratio this unlikely is no chance (Fabijan and others, KDD 2019)."""
MOST_IN_BOTH = 0.01
"""Share of users in both arms above which the split is not by user."""
NOVELTY = 0.01
"""Risk of saying that early and late users differ."""
LEAST_IN_SEGMENT = 20
"""Users of an arm below which a segment is only counted."""


class Result(StrEnum):
    BETTER = "Better"
    WORSE = "Worse"
    NO_DIFFERENCE = "NoDifference"
    EARLY = "Early"
    """The planned users are not there yet."""
    INVALID = "Invalid"
    """The split was not what was asked for, so the arms cannot be compared."""


@dataclass(frozen=True, slots=True)
class Segment:
    field: str
    value: str
    compared: Compared | None
    """None: too few users."""
    adjusted: float
    """p-value, adjusted for the number of segments (Holm)."""
    users: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Guarded:
    guardrail: Guardrail
    compared: Compared
    limit: float
    """The most that it may be worse, in the metric's unit."""
    broken: bool
    """Whether even that end of the interval that is best for the canary is beyond the limit."""


@dataclass(frozen=True, slots=True)
class Report:
    experiment: Experiment
    planned: Size
    outcomes: Outcomes
    users: tuple[int, int]
    """Seen, stable and canary; those who count are in `primary.users`."""
    mismatch: float
    """p-value of the sample ratio."""
    result: Result
    sentence: str
    primary: Compared | None = None
    guarded: tuple[Guarded, ...] = ()
    segments: tuple[Segment, ...] = ()
    early_and_late: tuple[Compared, Compared] | None = None
    """The effect among the first and the second half of the users."""
    novelty: bool = False
    """Early and late users differ: the effect may wear off, or still be growing."""
    course: tuple[tuple[int, Compared], ...] = ()
    """The effect after so many users in all, for the picture."""


def made(experiment: Experiment, planned: Size, outcomes: Outcomes) -> Report:
    users = tuple(outcomes.users.values())
    counts = _of_each(users)
    mismatch = _mismatch(experiment, counts)
    result, sentence = _before(experiment, planned, outcomes, counts, mismatch)
    if result is not None:
        return Report(experiment, planned, outcomes, counts, mismatch, result, sentence)
    counted = _planned_users(users, planned)
    metric = experiment.metric
    part = len(counted) / planned.total
    primary = _at_once(experiment, compared(counted, metric, experiment.risk), part)
    guarded = tuple(_guarded(counted, guardrail, experiment, part) for guardrail in experiment.guardrails)
    half = len(counted) // 2
    halves = tuple(compared(each, metric, experiment.risk) for each in (counted[:half], counted[half:]))
    result, sentence = _judged(experiment, primary, guarded)
    if result is Result.NO_DIFFERENCE and (counts[0] < planned.stable or counts[1] < planned.canary):
        result, sentence = _undecided(experiment, primary, planned, counts)
    return Report(
        experiment,
        planned,
        outcomes,
        counts,
        mismatch,
        result,
        sentence,
        primary,
        guarded,
        _segments(counted, experiment),
        (halves[0], halves[1]),
        _differ(halves[0], halves[1], experiment.risk),
        _course(counted, experiment, planned),
    )


def _mismatch(experiment: Experiment, counts: tuple[int, int]) -> float:
    """p-value of the sample ratio; one that may be looked at at any time where the experiment may."""
    if experiment.until == "fixed":
        return comparison.share_mismatch(*counts, experiment.split)
    return math.exp(min(0.0, -log_uneven(*counts, experiment.split)))


def _at_once(experiment: Experiment, found: Compared, part: float) -> Compared:
    return found if experiment.until == "fixed" else comparison.at_any_time(found, part, experiment.risk)


def _undecided(
    experiment: Experiment, primary: Compared, planned: Size, counts: tuple[int, int]
) -> tuple[Result, str]:
    """A sequential experiment goes on, and what it shows so far may be said."""
    metric = experiment.metric
    return Result.EARLY, (
        f"No difference in {metric.name} is shown yet ({told(metric, primary)}). Stable has {counts[0]} of "
        f"at most {planned.stable} users, the canary {counts[1]} of {planned.canary}."
    )


def compared(users: tuple[User, ...], metric: Metric, risk: float) -> Compared:
    """One metric among `users`."""
    arms = _arms(users, metric.name, metric.per)
    if metric.kind == "share":
        return comparison.shares(arms, risk)
    if metric.kind == "ratio":
        return comparison.ratios(arms, risk)
    return comparison.ranks(arms, risk) if metric.test == "ranks" else comparison.means(arms, risk)


def _arms(users: tuple[User, ...], name: str, per: str | None = None) -> Arms:
    def values(arm: str, key: str) -> NDArray[np.float64]:
        return np.array([user.sums.get(key, 0.0) for user in users if user.arm == arm])

    if per is None:
        return Arms(values("stable", name), values("canary", name))
    return Arms(values("stable", name), values("canary", name), values("stable", per), values("canary", per))


def _planned_users(users: tuple[User, ...], planned: Size) -> tuple[User, ...]:
    """The first users, up to the one who completes the planned number in both arms."""
    left: dict[str, int] = {"stable": planned.stable, "canary": planned.canary}
    for number, user in enumerate(users, 1):
        left[user.arm] -= 1
        if max(left.values()) <= 0:
            return users[:number]
    return users


def _before(
    experiment: Experiment, planned: Size, outcomes: Outcomes, counts: tuple[int, int], mismatch: float
) -> tuple[Result | None, str]:
    """What forbids a comparison."""
    stable, canary = counts
    everybody = stable + canary + outcomes.both_arms
    if outcomes.both_arms > MOST_IN_BOTH * max(1, everybody):
        return Result.INVALID, (
            f"{outcomes.both_arms} of {everybody} users were seen in both arms, so the split is not by user. "
            "Check that each request carries the sticky header of its user."
        )
    if mismatch < MISMATCH:
        share = 100 * canary / (stable + canary)
        return Result.INVALID, (
            f"The canary has {share:.1f} % of the users and should have {experiment.split} %, which is no "
            f"chance (p = {mismatch:.1g}): users of one arm are lost or counted twice, and the arms cannot "
            "be compared."
        )
    if experiment.until == "sequential" and min(stable, canary) >= anytime.FEWEST:
        return None, ""
    if stable < planned.stable or canary < planned.canary:
        return Result.EARLY, (
            f"Stable has {stable} of its {planned.stable} users, the canary {canary} of {planned.canary}. "
            "What they did is shown once all are there."
        )
    return None, ""


def _judged(experiment: Experiment, primary: Compared, guarded: tuple[Guarded, ...]) -> tuple[Result, str]:
    metric = experiment.metric
    broken = [found for found in guarded if found.broken]
    good = primary.effect > 0 if metric.better == "higher" else primary.effect < 0
    figures = f"{told(metric, primary)}, p = {primary.p_value:.2g}"
    if broken:
        names = ", ".join(found.guardrail.name for found in broken)
        return Result.WORSE, f"The canary breaks a guardrail: {names}. {metric.name}: {figures}."
    if primary.p_value > experiment.risk:
        return Result.NO_DIFFERENCE, (
            f"No difference in {metric.name} is shown ({figures}). Had the change worth having been there, "
            f"it would have been found {100 * experiment.power:g} % of the time."
        )
    word = "better" if good else "worse"
    return Result.BETTER if good else Result.WORSE, f"The canary is {word} in {metric.name}: {figures}."


def lift(found: Compared) -> tuple[float, float, float]:
    """How much more the canary's users have together than they would have as stable's: estimate and
    interval, in the metric's unit."""
    users = found.users[1]
    return users * found.effect, users * found.low, users * found.high


def told(metric: Metric, found: Compared) -> str:
    """`15.2 % beside 10.1 %, +5.1 points (2.0 to 8.2)`."""
    if metric.kind == "share":
        return (
            f"{100 * found.canary:.1f} % beside {100 * found.stable:.1f} %, {100 * found.effect:+.1f} points "
            f"({100 * found.low:.1f} to {100 * found.high:.1f})"
        )
    if metric.test == "ranks":
        return (
            f"in {50 + 100 * found.effect:.1f} % of pairs the canary's user has more than stable's "
            f"({50 + 100 * found.low:.1f} to {50 + 100 * found.high:.1f}; means {found.canary:.4g} beside "
            f"{found.stable:.4g})"
        )
    return (
        f"{found.canary:.4g} beside {found.stable:.4g}, {found.effect:+.3g} ({found.low:.3g} to "
        f"{found.high:.3g})"
    )


def _guarded(users: tuple[User, ...], guardrail: Guardrail, experiment: Experiment, part: float) -> Guarded:
    arms, risk = _arms(users, guardrail.name), experiment.risk
    found = (comparison.shares if guardrail.kind == "share" else comparison.means)(arms, risk)
    found = _at_once(experiment, found, part)
    limit = float(guardrail.at_most_worse)
    if guardrail.kind == "mean" and guardrail.at_most_worse.percent:
        limit *= abs(found.stable)
    least_harm = found.low if guardrail.better == "lower" else -found.high
    return Guarded(guardrail, found, limit, least_harm > limit)


def _segments(users: tuple[User, ...], experiment: Experiment) -> tuple[Segment, ...]:
    found: list[tuple[str, str, Compared | None, tuple[int, int]]] = []
    for field in experiment.segments:
        parts: dict[str, list[User]] = {}
        for user in users:
            parts.setdefault(user.segments.get(field, "(none)"), []).append(user)
        for value, part in sorted(parts.items()):
            counts = _of_each(part)
            enough = min(counts) >= LEAST_IN_SEGMENT
            one = compared(tuple(part), experiment.metric, experiment.risk) if enough else None
            found.append((field, value, one, counts))
    adjusted = iter(comparison.holm([one.p_value for _, _, one, _ in found if one is not None]))
    return tuple(
        Segment(field, value, one, next(adjusted) if one is not None else 1.0, counts)
        for field, value, one, counts in found
    )


def _differ(early: Compared, late: Compared, risk: float) -> bool:
    """Whether the two effects differ by more than chance, from the widths of their intervals."""
    normal = NormalDist()
    reach = normal.inv_cdf(1 - risk / 2)
    errors = [(each.high - each.low) / (2 * reach) for each in (early, late)]
    spread = math.hypot(*errors)
    return spread > 0 and abs(early.effect - late.effect) > normal.inv_cdf(1 - NOVELTY / 2) * spread


def _course(
    users: tuple[User, ...], experiment: Experiment, planned: Size
) -> tuple[tuple[int, Compared], ...]:
    """The effect after each twentieth of the users, from where both arms have some."""
    ends = sorted({len(users) * part // 20 for part in range(1, 21)})
    found: list[tuple[int, Compared]] = []
    for end in ends:
        part = users[:end]
        if min(_of_each(part)) >= LEAST_IN_SEGMENT:
            one = compared(part, experiment.metric, experiment.risk)
            found.append((end, _at_once(experiment, one, end / planned.total)))
    return tuple(found)


def _of_each(users: Sequence[User]) -> tuple[int, int]:
    stable = sum(user.arm == "stable" for user in users)
    return stable, len(users) - stable
