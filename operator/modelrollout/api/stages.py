"""The stages of a plan: each step of the wire, read once into the one thing that it is.

A `Step` on the wire is a set of optional fields, as is the custom in Kubernetes, and a reader that forgets
one of them passes over a step that it does not know. A stage is one of a closed set of types instead.

To add a kind, add its field to `Step` (api/strategy.py), and its class here, to `Stage` and `stage_of`. mypy
then names the two places that decide by kind and end in `assert_never`: what passes it (rollout/judge.py)
and what people read meanwhile (rollout/phase.py). Everybody else asks for what all kinds have.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from modelrollout.api import contest
from modelrollout.api.quantities import seconds
from modelrollout.api.strategy import Match, Step


class _Kind(ABC):
    """What every kind of stage has."""

    stay: int | None
    """The least seconds that it lasts; None: until a person passes it."""
    judged: ClassVar[bool] = False
    """Metrics judge it when there are any."""

    @property
    @abstractmethod
    def title(self) -> str:
        """Names it in a table: `weight 25 %`."""

    @property
    def shift(self) -> Shift | None:
        """The traffic that it moves; None: it changes none."""
        return None

    @property
    def opened_by(self) -> str:
        """What ends it, for people, where neither its time nor a verdict of the metrics does; else empty."""
        return ""


@dataclass(frozen=True)
class Shift(_Kind):
    """Moves traffic. It lasts at least `stay` seconds, and metrics judge it when there are any."""

    judged = True

    stay: int
    weight: int | None = None
    """Percent of user requests for the canary; None: the weight stays as it is."""
    mirror: int = 0
    """Percent of requests copied to the canary."""
    matches: tuple[Match, ...] = ()
    """Requests that go to the canary whole; empty: the matches stay as they are."""
    share: int = 100
    """Percent of those who match that go to the canary."""
    pods: int | None = None
    """Of the canary, for those who match; None: the user did not say."""

    @property
    def title(self) -> str:
        if self.weight is not None:
            return f"weight {self.weight} %"
        if self.mirror:
            return f"mirror {self.mirror} %"
        return f"match, {self.share} % of them" if self.share < 100 else "match"

    @property
    def shift(self) -> Shift:
        return self


@dataclass(frozen=True)
class Wait(_Kind):
    """Changes no traffic and lasts `stay` seconds; None: until a person passes it."""

    stay: int | None
    title = "pause"

    @property
    def opened_by(self) -> str:
        return "a person" if self.stay is None else ""


@dataclass(frozen=True)
class Evaluate(_Kind):
    """Changes no traffic and lasts until an evaluation of the canary has passed. Nothing else opens it: no
    time, no verdict of the metrics, and no silence."""

    name: str
    """One of spec.evaluations."""
    stay: int = 0
    opened_by = "the evaluation, whose time is not planned here"

    @property
    def title(self) -> str:
        return f"evaluate {self.name}"


@dataclass(frozen=True)
class Experiment(_Kind):
    """Splits the users until as many as planned were counted, or until the evidence is enough."""

    judged = True

    written: contest.Experiment
    stay: int = 0
    opened_by = "its users, beside the metrics"

    @property
    def title(self) -> str:
        return f"experiment {self.written.name}"

    @property
    def shift(self) -> Shift:
        return Shift(0, weight=self.written.split)


@dataclass(frozen=True)
class Bandit(_Kind):
    """Moves the weight to the arm that earns more. While it is in progress, status has the weight; in a plan
    it stands for the greatest that it may come to."""

    judged = True

    written: contest.Bandit
    stay: int = 0
    opened_by = "what users do, beside the metrics"

    @property
    def title(self) -> str:
        return f"bandit {self.written.name}"

    @property
    def shift(self) -> Shift:
        return Shift(0, weight=100 - self.written.floor)


Contest = Experiment | Bandit
"""Stages that end by which arm is better."""
Stage = Shift | Wait | Evaluate | Experiment | Bandit


def stage_of(step: Step) -> Stage:
    """What the step is. One that this version cannot read waits for a person: it must not pass by itself."""
    if step.pause is not None:
        return Wait(None if step.pause.duration is None else seconds(step.pause.duration))
    if step.evaluate is not None:
        return Evaluate(step.evaluate)
    if step.experiment is not None:
        return Experiment(step.experiment)
    if step.bandit is not None:
        return Bandit(step.bandit)
    stay = seconds(step.for_) if step.for_ is not None else 0
    if step.weight is not None:
        return Shift(stay, weight=step.weight)
    if step.mirror is not None:
        return Shift(stay, mirror=step.mirror)
    if step.match is not None:
        return Shift(stay, matches=tuple(step.match), share=step.share or 100, pods=step.pods)
    return Wait(None)


def stages(steps: Iterable[Step]) -> tuple[Stage, ...]:
    return tuple(stage_of(step) for step in steps)
