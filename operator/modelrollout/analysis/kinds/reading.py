"""What a metric's test can say after a look, in numbers; the same for every kind of metric."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from modelrollout.analysis.betting.ladder import StepTerms
from modelrollout.analysis.inputs.observation import Arm, Problem


@dataclass(frozen=True, slots=True)
class ArmTotals:
    """Over all looks folded: units, and bad ones among them (events and exposure for counted events; for
    a scalar the number of looks and the mean of the values)."""

    n: float
    bad: float


Quantiles = tuple[tuple[float | None, ...], tuple[float | None, ...]]
"""Of (canary, control) at `quantiles.LEVELS`."""


@dataclass(frozen=True, slots=True)
class Reading:
    canary: ArmTotals
    control: ArmTotals
    estimate: float | None
    """Canary minus control (share, score, value); the canary's share for an absolute limit; the ratio of
    rates for counted events."""
    interval95: tuple[float, float] | None
    """Where the estimated thing lies: right at all looks together in 95 % of rollouts."""
    log_revert: float
    """Log of the e-value against "not worse than tolerated"."""
    log_promote: float
    """Log of the e-value against "worse than tolerated", since the step began."""
    log_catastrophic: float | None = None
    phi: float = 1.0
    limit: float | None = None
    """What the canary may reach, given what the control shows now."""
    tolerated: float | None = None
    """The greatest estimate that is still tolerated, given what the control shows now."""
    detectable: float | None = None
    """The smallest difference beyond the limit that would be found with the traffic seen so far."""
    about: str = ""
    """What `bad` counts, when the metric's name does not say it: "slower than 2.5"."""
    quantiles: Quantiles | None = field(default=None, compare=False)
    """Histograms only; not stored."""
    note: str = ""
    """What else is to be known of it, as the end of a sentence."""
    waiting: Problem | None = None
    """Why the test cannot bet yet, although it was given counts."""


class Test(Protocol):
    """The evidence on one metric. Immutable; `fold` gives the evidence after one more look."""

    def fold(self, canary: Arm, control: Arm | None, blames: bool = True) -> Self | Problem:
        """A problem leaves the evidence as it was. `blames` False: nothing of this look counts against the
        canary, because something else explains it; evidence for it is collected."""
        ...

    def begin_step(self, step: StepTerms) -> Self:
        """A step begins: what is to be proven, and whether evidence for the canary goes on."""
        ...

    def resume_step(self, step: StepTerms) -> Self:
        """The step that was in progress when the evidence was stored goes on."""
        ...

    def reading(self) -> Reading: ...

    @property
    def noise_known(self) -> bool:
        """Whether phi was learned before the rollout."""
        ...

    def dump(self) -> dict[str, Any]: ...
