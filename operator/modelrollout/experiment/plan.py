"""An experiment as people write it, `experiment.yaml`, and how many users it needs.

What is looked for, how sure one wants to be and when it ends are fixed before the first user: the lock is a
digest of all that decides. A report refuses an experiment that has changed since.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from modelrollout.analysis.contest import anytime, sums
from modelrollout.analysis.contest.shares import users_needed
from modelrollout.api.mistakes import Mistaken, sentences
from modelrollout.evaluate.amounts import Limit, Seconds, Share
from modelrollout.evaluate.wire import Written

DAY = 86_400.0
LEAST_EFFICIENCY = 0.864
"""Of ranks beside means, whatever the distribution is (Hodges and Lehmann, 1956)."""


class Metric(Written):
    """What is measured of each user, and which change is worth having."""

    name: str
    """The field of the outcome log."""
    kind: Literal["share", "mean", "ratio"] = "share"
    """share: users with at least one positive value. mean: the sum of a user's values. ratio: the sum of
    `name` over the sum of `per`, by user."""
    per: str | None = None
    baseline: Limit
    """What stable has: a share such as 10%, or a number."""
    deviation: float | None = Field(default=None, gt=0)
    """mean: standard deviation between users. ratio: between users, of `name - baseline * per`, over the mean
    of `per`."""
    effect: Limit
    """The smallest change worth having. Shares: in points, 5% is from 10% to 15%. Numbers: 5% is a part of
    the baseline, 0.2 is as it stands."""
    better: Literal["higher", "lower"] = "higher"
    test: Literal["means", "ranks"] = "means"
    """ranks: Mann-Whitney, for values that few users dominate, such as revenue."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Metric:
        if self.kind == "ratio" and self.per is None:
            raise ValueError("a ratio needs `per`, the field of the log that it is divided by")
        if self.kind != "share" and self.deviation is None:
            raise ValueError(
                "a mean or a ratio needs `deviation`, the standard deviation between users, to plan for"
            )
        if self.kind != "mean" and self.test == "ranks":
            raise ValueError("ranks compare the values of users; write kind: mean, or leave test out")
        if self.change == 0:
            raise ValueError("the effect is 0; write the smallest change that is worth having")
        if self.kind == "share" and not (0 < self.baseline < 1 and 0 < self.baseline + self.change < 1):
            raise ValueError(
                "the baseline and the baseline with the effect are shares between 0 and 1, such as 10% and 5%"
            )
        return self

    @property
    def change(self) -> float:
        """The effect in the metric's own unit, signed: above 0 where more is better."""
        size = float(self.effect)
        if self.kind != "share" and self.effect.percent:
            size *= float(self.baseline)
        return size if self.better == "higher" else -size


class Guardrail(Written):
    """What must not get worse while the primary metric gets better."""

    name: str
    kind: Literal["share", "mean"] = "mean"
    better: Literal["higher", "lower"] = "lower"
    at_most_worse: Limit
    """Shares: in points. Numbers: 10% is a part of what stable has."""


class Experiment(Written):
    name: str = Field(min_length=1)
    salt: str = Field(min_length=1)
    """Of the hash that deals users out to arms; the rollout's name."""
    split: int = Field(default=50, ge=1, le=99)
    """Percent of the users that get the canary."""
    metric: Metric
    guardrails: tuple[Guardrail, ...] = ()
    until: Literal["fixed", "sequential"] = "fixed"
    """fixed: nothing is said before the planned users are there. sequential: a report may be made at any
    time, at the same risk; without a difference it takes more users."""
    risk: Share = 0.05
    """Of calling a difference that is not there, on both sides together."""
    power: Share = 0.8
    """Of finding the effect if it is there."""
    window: Seconds | None = None
    """How long after a user's first row outcomes count, such as 36h or 14d. Younger users wait. None: all
    rows count."""
    segments: tuple[str, ...] = ()
    """Fields of the log to report by, besides the whole."""

    @model_validator(mode="after")
    def _can_be_tested(self) -> Experiment:
        if not 0 < self.risk <= 0.5:
            raise ValueError("risk is above 0 and up to 50%; 5% is usual")
        if not 0.5 <= self.power < 1:
            raise ValueError("power is from 50% to below 100%; 80% is usual")
        if self.until == "sequential" and self.metric.test == "ranks":
            raise ValueError("ranks are looked at once; write until: fixed, or compare means")
        return self

    @field_validator("window", mode="before")
    @classmethod
    def _in_days(cls, given: Any) -> Any:
        days = given.removesuffix("d") if isinstance(given, str) and given.endswith("d") else ""
        return float(days) * DAY if days.replace(".", "", 1).isdigit() else given

    @property
    def digest(self) -> str:
        """Of all that decides."""
        absent = {"until"} if self.until == "fixed" else set()  # as in locks from before there was a choice
        return hashlib.sha256(self.model_dump_json(exclude=absent).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Size:
    """Users that each arm needs."""

    stable: int
    canary: int

    @property
    def total(self) -> int:
        return self.stable + self.canary


def read(text: str) -> Experiment:
    """Raises Mistaken with a sentence for each mistake."""
    try:
        given = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Mistaken([f"It is no YAML: {' '.join(str(error).split())}."]) from error
    if not isinstance(given, dict):
        raise Mistaken(["An experiment is a mapping with name, salt and metric."])
    try:
        return Experiment.model_validate(given)
    except ValidationError as error:
        raise Mistaken(sentences(error, _fields())) from error


def _fields() -> set[str]:
    models = (Experiment, Metric, Guardrail)
    return {str(field.alias) for model in models for field in model.model_fields.values()}


def size(experiment: Experiment) -> Size:
    """Users per arm for a two-sided test with the experiment's risk and power; where it may end at any time,
    at most so many.

    Shares: see `users_needed`. Means: the normal formula with a quarter of z squared for Welch's t. Ranks:
    the same over their least efficiency. At any time: the normal formula with the reach of its interval.
    """
    metric = experiment.metric
    risk, power, split = experiment.risk, experiment.power, experiment.split
    longer = anytime.longer(risk, power) if experiment.until == "sequential" else 1.0
    if metric.kind == "share":
        before = float(metric.baseline)
        after = before + metric.change
        stable, canary = users_needed(before, after, risk, power, split)
        return Size(math.ceil(stable * longer), math.ceil(canary * longer))
    assert metric.deviation is not None
    wanted = longer * sums.canary_users(metric.deviation, metric.change, risk, power, split)
    efficiency = LEAST_EFFICIENCY if metric.test == "ranks" else 1.0
    return Size(*sums.users_needed(wanted, risk, split, efficiency))


def days(experiment: Experiment, users_per_day: float) -> int:
    """Whole days until both arms have their users, and the last of them their outcomes."""
    needed = size(experiment)
    share = experiment.split / 100
    slowest = max(needed.canary / share, needed.stable / (1 - share)) / users_per_day
    return math.ceil(slowest + (experiment.window or 0.0) / DAY)


def locked(experiment: Experiment) -> str:
    """The lock, as JSON: what was planned before the first user."""
    needed = size(experiment)
    kept = {"experiment": experiment.name, "digest": experiment.digest}
    return json.dumps({**kept, "stable": needed.stable, "canary": needed.canary}, indent=2) + "\n"


def unlocked(text: str, experiment: Experiment) -> Size:
    """The planned users of a lock. Raises Mistaken where it belongs to another experiment or is no lock."""
    try:
        kept: Any = json.loads(text)
        found = Size(stable=int(kept["stable"]), canary=int(kept["canary"]))
        digest = str(kept["digest"])
    except (ValueError, KeyError, TypeError) as error:
        raise Mistaken(["It is no lock; `modelrollout experiment plan --lock FILE` writes one."]) from error
    if digest != experiment.digest:
        raise Mistaken(
            [
                "The experiment has changed since it was locked. Its result would not keep the stated risk: "
                "undo the change, or plan it anew under another name with users that nobody has looked at."
            ]
        )
    return found
