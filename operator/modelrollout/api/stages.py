"""The stages of a plan: each step of the wire, read once into the one thing that it is.

A `Step` on the wire is a set of optional fields, as is the custom in Kubernetes, and a reader that forgets
one of them passes over a step that it does not know. A stage is one of a closed set of types instead, and
its readers `match` on it and end in `assert_never`: mypy names every place that forgets a new kind.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from modelrollout.api.quantities import seconds
from modelrollout.api.spec import Match, Step


@dataclass(frozen=True)
class Shift:
    """Moves traffic. It lasts at least `stay` seconds, and metrics judge it when there are any."""

    stay: int
    weight: int | None = None
    """Percent of user requests for the canary; None: the weight stays as it is."""
    mirror: int = 0
    """Percent of requests copied to the canary."""
    matches: tuple[Match, ...] = ()
    """Requests that go to the canary whole; empty: the matches stay as they are."""


@dataclass(frozen=True)
class Wait:
    """Changes no traffic and lasts `stay` seconds; None: until a person passes it."""

    stay: int | None


@dataclass(frozen=True)
class Evaluate:
    """Changes no traffic and lasts until an evaluation of the canary has passed. Nothing else opens it: no
    time, no verdict of the metrics, and no silence."""

    name: str
    """One of spec.evaluations."""
    stay: int = 0


Stage = Shift | Wait | Evaluate


def stage_of(step: Step) -> Stage:
    """What the step is. One that this version cannot read waits for a person: it must not pass by itself."""
    if step.pause is not None:
        return Wait(None if step.pause.duration is None else seconds(step.pause.duration))
    if step.evaluate is not None:
        return Evaluate(step.evaluate)
    stay = seconds(step.for_) if step.for_ is not None else 0
    if step.weight is not None:
        return Shift(stay, weight=step.weight)
    if step.mirror is not None:
        return Shift(stay, mirror=step.mirror)
    if step.match is not None:
        return Shift(stay, matches=tuple(step.match))
    return Wait(None)


def stages(steps: Iterable[Step]) -> tuple[Stage, ...]:
    return tuple(stage_of(step) for step in steps)
