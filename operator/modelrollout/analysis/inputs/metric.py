"""What is judged: a metric, how much worse the canary may be on it, and what follows when it is worse."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from modelrollout.analysis.inputs.observation import Histogram


class Kind(StrEnum):
    """How a metric is counted; decides the arms it takes and the test it gets."""

    RATIO = "ratio"  # Ratio arms; tolerance ratio 0 makes it an absolute limit (SLO)
    COUNTING = "counting"  # Events arms; the tolerance is a ratio of rates
    HISTOGRAM = "histogram"  # Histogram arms; the tolerance is a ratio of scale: 1.1 = "10 % slower"
    MEAN = "mean"  # Levels or Sum arms; scores within `bounds`
    DRIFT = "drift"  # Histogram arms; the absolute tolerance is a distance of distributions, 0..1
    SCALAR = "scalar"  # Scalar or Sum arms; one unbounded number per look (cost, tokens, any PromQL)


class Direction(StrEnum):
    INCREASE_IS_BAD = "increase-is-bad"
    DECREASE_IS_BAD = "decrease-is-bad"
    CHANGE_IS_BAD = "change-is-bad"  # scalar only


class Consequence(StrEnum):
    """What strong evidence of harm on this metric does to the rollout."""

    REVERT = "revert"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Tolerance:
    """The canary is not worse as long as canary <= ratio * control + absolute, look by look."""

    ratio: float = 1.0
    absolute: float = 0.0


@dataclass(frozen=True, slots=True)
class Prior:
    """The control's bad share from before the rollout, worth `weight` units of evidence (at most 200)."""

    rate: float
    weight: float = 200.0


@dataclass(frozen=True, slots=True)
class EdgeMargin:
    """A margin on "the share of requests slower than `edge`": canary <= ratio * control + absolute."""

    edge: float
    ratio: float
    absolute: float
    exceedance: float = 0.0
    """The control's share above `edge` before the rollout: where the first bets start from."""
    noise: float = 1.0
    """How many times the design effect of all edges together is its own: stalls come in bursts."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of a rollout. Everything here is fixed before the first look."""

    name: str
    kind: Kind = Kind.RATIO
    tolerance: Tolerance = field(default_factory=Tolerance)
    direction: Direction = Direction.INCREASE_IS_BAD
    weight: float = 1.0
    """Its part in the weighted average of evidence that reverts."""
    critical: bool | None = None
    """A step passes only when every critical metric is shown to be not worse. Default: every kind whose
    quiet looks are evidence (ratio, histogram, mean); rare events and scalars can only object."""
    consequence: Consequence | None = None
    """Default: scalars hold, everything else reverts."""
    prior: Prior | None = None
    """ratio and mean: the control before the rollout."""
    baseline: Histogram | None = None
    """histogram: the control before the rollout. Without it the control's first looks are used up as one."""
    edges: tuple[float, ...] = ()
    """histogram: the bucket edges that decide, as the provider names them; empty: those that tell most."""
    margins: tuple[EdgeMargin, ...] = ()
    """histogram: margins at given bucket edges, instead of those that `tolerance` and the baseline give."""
    catastrophic: float | None = None
    """ratio and mean: a bad share that reverts from one look alone, whatever the control does."""
    phi: float | None = None
    """Design effect >= 1 learned from the control's own history (`noise.design_effect`); None: unknown."""
    phi_short: float | None = None
    """The part of `phi` that the jumps from one look to the next show; the rest is slow. None: all of it."""
    phi_exposure: float | None = None
    """The units per look, n1 n0 / (n1 + n0), at which `phi` was learned: more units make shared noise weigh
    more, so phi grows with them. None: phi is used as it is."""
    edge_noise: tuple[float, ...] = ()
    """histogram: what the past showed for `EdgeMargin.noise`, at the deciding edges in their order."""
    own_noise: bool = True
    """Halves of the control that are compared share no pods, so they show its noise. What a proxy counts is
    halved by proxies, and both halves are answered by the same pods: that shows nothing."""
    watch_noise: bool = True
    """Raise phi when this rollout's own looks are noisier. Off only to judge with one stated phi."""
    cap: bool = True
    """No single look may multiply the evidence against the canary by more than falseRevertRisk^(-1/3)."""
    restart: bool = True
    """Half of the evidence waits for a regression that begins later."""
    settle: float = 0.0
    """Seconds after each change of the split in which nothing is judged by it, see `settling`."""
    load: bool | None = None
    """Whether it grows with the requests that a pod carries. Default: histograms (latency) do."""
    bounds: tuple[float, float] = (0.0, 1.0)
    """mean: the least and the greatest score there can be."""
    strata: str = ""
    """ratio: the label by whose values the arms are compared; empty: as a whole."""
    unit: str = ""
    sentence: str = ""
    """What the metric is, for people: "time to the first token"."""
    remark: str = ""
    """scalar: what is said with the numbers, as a part of a sentence."""
    implies: str = ""
    """drift: what it means when the arms differ, as a sentence without its full stop."""

    def __post_init__(self) -> None:
        if problem := _fault(self):
            raise ValueError(f'Metric "{self.name}": {problem}')

    @property
    def is_critical(self) -> bool:
        if self.critical is not None:
            return self.critical
        return self.kind in (Kind.RATIO, Kind.HISTOGRAM, Kind.MEAN)

    @property
    def feels_load(self) -> bool:
        return self.kind is Kind.HISTOGRAM if self.load is None else self.load

    @property
    def reverts(self) -> bool:
        holds = self.kind in (Kind.SCALAR, Kind.DRIFT)
        default = Consequence.HOLD if holds else Consequence.REVERT
        return (self.consequence or default) is Consequence.REVERT


def _fault(metric: Metric) -> str | None:
    rho, delta = metric.tolerance.ratio, metric.tolerance.absolute
    numbers = [
        rho,
        delta,
        metric.weight,
        *metric.bounds,
        metric.settle,
        metric.phi or 1.0,
        metric.catastrophic or 0.5,
    ]
    if not all(map(math.isfinite, numbers)):
        return "tolerance, weight, bounds, settle, phi and catastrophic must be finite numbers."
    if metric.weight <= 0:
        return f"its weight is {metric.weight:g}; a weight is greater than 0."
    if metric.phi is not None and metric.phi < 1:
        return f"its design effect phi is {metric.phi:g}; it is never below 1."
    if metric.direction is Direction.CHANGE_IS_BAD and metric.kind is not Kind.SCALAR:
        return "only a scalar can take the direction change-is-bad; judge the harmful direction instead."
    if metric.strata and (metric.kind is not Kind.RATIO or metric.tolerance.ratio == 0):
        return (
            f"by: {metric.strata} splits a share of requests that is compared with the control's. Leave it "
            "out, or write the metric as a ratio with tolerate, such as the requests beyond one bucket edge."
        )
    if metric.kind is Kind.DRIFT and metric.consequence is Consequence.REVERT:
        return "arms that differ do not say which of them is worse, so it can only hold; leave out onFail."
    if metric.kind is Kind.DRIFT and metric.direction is not Direction.INCREASE_IS_BAD:
        return "arms differ in no direction; leave out direction."
    if metric.catastrophic is not None:
        if metric.kind not in (Kind.RATIO, Kind.MEAN):
            return f"a catastrophic share needs the kind ratio or mean, not {metric.kind}."
        if not 0 < metric.catastrophic < 1:
            return f"its catastrophic share is {metric.catastrophic:g}; it lies between 0 and 1."
    if metric.bounds[0] >= metric.bounds[1]:
        return f"its bounds {metric.bounds} are empty; the lower one comes first."
    if metric.prior is not None and not (0 <= metric.prior.rate <= 1 and 0 < metric.prior.weight <= 200):
        return "its prior needs a rate between 0 and 1 and a weight above 0 and at most 200."
    return _tolerance_fault(metric.kind, rho, delta)


def _tolerance_fault(kind: Kind, rho: float, delta: float) -> str | None:
    if kind is Kind.COUNTING and (rho <= 0 or delta != 0):
        return "counted events tolerate a ratio of rates above 0 and no absolute part."
    if kind is Kind.DRIFT and not (rho == 1 and 0 < delta < 1):
        return "a drift tolerates a distance between 0 and 1, such as absolute: 0.1, and no ratio."
    if kind is Kind.HISTOGRAM and not (rho >= 1 and 0 <= delta < 1):
        return "a histogram tolerates a ratio of scale of at least 1 and an absolute floor from 0 to below 1."
    if kind in (Kind.RATIO, Kind.MEAN):
        if rho < 0 or not -1 < delta < 1:
            return "it tolerates a ratio of at least 0 and an absolute part between -1 and 1."
        if rho == 0 and delta <= 0:
            return "a ratio of 0 makes the absolute part the limit, which must then be above 0."
    return None
