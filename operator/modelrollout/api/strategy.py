"""How a new revision meets the users: the steps of its plan."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from modelrollout.api.contest import Bandit, Experiment
from modelrollout.api.quantities import Duration
from modelrollout.api.wire import Name, Wire

COOKIE_PATTERN = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"


class Carried(Wire):
    """A header, query parameter or cookie with exactly this value."""

    header: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """Name of a request header."""
    query: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """Name of a query parameter."""
    cookie: Annotated[str, Field(min_length=1, max_length=128, pattern=COOKIE_PATTERN)] | None = None
    """Name of a cookie. Other cookies may be beside it."""
    value: Annotated[str, Field(min_length=1, max_length=256)]
    """The whole value that the header, parameter or cookie must have."""


class Match(Carried):
    """Requests that carry this, and all of `and` too, go to the canary."""

    and_: Annotated[list[Carried] | None, Field(alias="and", min_length=1, max_length=3)] = None
    """What a request must carry besides, such as a tier beside a region."""


class Pause(Wire):
    """Waits for the promote annotation, or for `duration` when given."""

    duration: Duration | None = None
    """How long to wait. Without it a person goes on with the annotation modelrollout.io/promote=step."""


class Step(Wire):
    """One entry of the plan: exactly one of mirror, weight, match, pause, evaluate, experiment, bandit."""

    mirror: Annotated[int, Field(ge=1, le=100)] | None = None
    """Percent of requests that are copied to the new revision; users get the answers of stable."""
    weight: Annotated[int, Field(ge=1, le=100)] | None = None
    """Percent of requests that the new revision answers."""
    match: Annotated[list[Match], Field(min_length=1, max_length=8)] | None = None
    """Requests that carry one of these go to the new revision whole, whatever the weight."""
    share: Annotated[int, Field(ge=1, le=99)] | None = None
    """Percent of the requests that match for the new revision, instead of all of them. Only beside match.
    Once the weight is larger, they are split by the weight."""
    pods: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Pods of the new revision for those who match, at most spec.replicas. Only beside match, because nobody
    knows how many will match: without it they get one pod."""
    pause: Pause | None = None
    """Waits for a person, or for a while."""
    evaluate: Name | None = None
    """Waits until the evaluation of this name, one of spec.evaluations, has passed the new revision."""
    experiment: Experiment | None = None
    """Shows on a planned number of users whether the new revision is better."""
    bandit: Bandit | None = None
    """Sends more users to the revision that earns more, and ends when one of them is surely better."""
    for_: Annotated[Duration | None, Field(alias="for")] = None
    """The shortest stay; the step also waits for a Pass verdict when there are metrics."""


class Curve(Wire):
    """Shorthand for weight steps; the expansion is shown in status.plan."""

    shape: Literal["linear", "exponential"]
    """Whether the weights grow by equal amounts or by equal factors."""
    start: Annotated[int, Field(ge=1, le=50)] = 5
    """Percent of requests at the first step."""
    steps: Annotated[int, Field(ge=2, le=20)] = 4
    """How many steps there are, the last one of which is 100 percent."""
    for_: Annotated[Duration, Field(alias="for")] = "10m"
    """The shortest stay at each step."""


class Canary(Wire):
    """A new revision gets more and more of the users."""

    steps: Annotated[list[Step], Field(max_length=32)] = Field(default_factory=list)
    """What the new revision gets, one after the other. Every step but a pause waits for a Pass when
    there are metrics."""
    curve: Curve | None = None


class BlueGreen(Wire):
    """The whole new environment beside the old one, then one move.

    `steps` may put a mirror, a match or a canary before the move.
    """

    preview: Name | None = None
    """Name of a Service that the operator makes for the new revision; default: `<service>-canary`."""
    warm_for: Duration = "0s"
    """How long the new revision must have been ready before the move."""
    steps: Annotated[list[Step], Field(max_length=32)] = Field(default_factory=list)
    """Steps before the move: pauses, and with a route also mirror, match and weight."""


class Strategy(Wire):
    """How a new revision meets the users: exactly one of canary and blueGreen."""

    canary: Canary | None = None
    """More and more users, step by step."""
    blue_green: BlueGreen | None = None
    """All users at once, after the new revision stood ready beside the old one."""
