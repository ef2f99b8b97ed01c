"""Steps that end by which arm is better: an experiment with a planned number of users, and a bandit."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from modelrollout.api.analysis import PACK_METRIC_PATTERN
from modelrollout.api.quantities import Duration, Fraction
from modelrollout.api.wire import Name, Wire


class Measure(Wire):
    """What users do, as counters with the labels rollout and revision. A share of users: `use`, or successes
    and users. A mean by user: sum, squares and users. A ratio by user: per, perSquares and products too."""

    use: Annotated[str, Field(pattern=PACK_METRIC_PATTERN, max_length=128)] | None = None
    """A share that a pack counts, such as feedback/handover; docs/metrics.md lists them."""
    successes: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """PromQL that counts the users of one arm who did it, as a counter; `$arm` becomes the label matchers of
    one arm."""
    users: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """PromQL that counts all users of one arm, as a counter: each user once, in one arm."""
    sum: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """PromQL that sums a value over the users of one arm, as a counter: each user adds a value once."""
    squares: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """PromQL that sums the square of that value over the users of one arm, as a counter: how much users
    differ cannot be seen from a sum."""
    per: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """For a ratio by user: PromQL that sums what the value is divided by, such as the user's requests."""
    per_squares: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """PromQL that sums the square of that."""
    products: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """PromQL that sums the product of both."""
    better: Literal["higher", "lower"] | None = None
    """Whether more successes are good. Without it: higher; of a pack, what the pack says."""


class Experiment(Wire):
    """Compares the two revisions on a planned number of users. It ends when they were counted, and never
    because time has passed."""

    name: Name
    """How status, Events and reports call it."""
    split: Annotated[int, Field(ge=1, le=99)] = 50
    """Percent of the users that get the new revision. traffic.sticky says who they are."""
    metric: Measure
    """What the revisions are compared by."""
    baseline: Fraction
    """What the old revision has of it: a share of users, such as "0.10" where one of ten buys, or a mean or
    ratio."""
    smallest_effect: Fraction
    """The smallest change of it worth having, such as "0.05" from "0.10" to "0.15"."""
    deviation: Fraction | None = None
    """Of a mean: the standard deviation between users. Of a ratio: that of `value - baseline * per`, over the
    mean of `per`. It decides how many users are needed."""
    power: Fraction = "0.8"
    """The chance to find a change of this size."""
    risk: Fraction = "0.05"
    """The risk of calling a difference that is not there, in either direction."""
    until: Literal["fixed", "sequential"] = "fixed"
    """fixed: nothing is said of the metric until the planned users are there. sequential: it may end as soon
    as the evidence is enough, at the same risk, and takes more users where there is no difference."""
    users_per_day: Annotated[int, Field(ge=1, le=1000000000)] | None = None
    """New users a day in both arms together, as you know them: then status says how many days it takes."""
    on_win: Literal["continue", "promote"] = "continue"
    """When the new revision is better: go on to the next step, or promote at once."""
    on_loss: Literal["revert", "pause"] = "revert"
    """When it is worse: send it back, or wait for a person."""
    on_nothing: Literal["pause", "continue", "revert"] = "pause"
    """When the planned users show no difference: wait for a person, go on, or send it back."""


class Bandit(Wire):
    """Sends more users to the revision that earns more, while it learns which one that is."""

    name: Name
    """How status, Events and reports call it."""
    reward: Measure
    """What the revisions earn: a share of users."""
    floor: Annotated[int, Field(ge=1, le=50)] = 10
    """Percent of the users that each revision keeps, whatever it earns."""
    pace: Annotated[int, Field(ge=1, le=50)] = 10
    """By how many points the weight may move at once."""
    every: Duration = "10m"
    """How long each weight stays at least."""
    sure: Fraction = "0.95"
    """How probable it must be that one revision is the better one ..."""
    looks: Annotated[int, Field(ge=1, le=10000)] = 20
    """... in so many looks without a break, before the step ends."""
    limit: Duration = "168h"
    """After this long without an end it waits for a person."""
    on_win: Literal["continue", "promote"] = "continue"
    """When the new revision is better: go on to the next step, or promote at once."""
    on_loss: Literal["revert", "pause"] = "revert"
    """When the old revision is better: send the new one back, or wait for a person."""


Found = Literal["Better", "Worse", "NoDifference", "Invalid"]


class ContestStatus(Wire):
    """The experiment or the bandit in progress. It is fixed when its step begins; a changed step begins
    anew."""

    since: str
    """When it was fixed. What was counted before does not count."""
    planned: str
    """What was fixed, in words: the users that it takes, and the days."""
    stable: int = 0
    """Users of the old revision that an experiment takes."""
    canary: int = 0
    """Users of the new revision that an experiment takes."""
    weight: int | None = None
    """Percent of the users that a bandit asks for now."""
    result: Found | None = None
    """How it ended; absent while it goes on. An Invalid one says nothing about the revisions."""
    message: str = ""
    """The result in words."""
    ended_at: str | None = None
    """When it ended."""
