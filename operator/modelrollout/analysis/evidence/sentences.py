"""The numbers of a verdict as sentences; one wording for conditions, events, logs and the command line."""

from __future__ import annotations

import math

from modelrollout.analysis.inputs.metric import Direction, Kind, Metric
from modelrollout.analysis.inputs.observation import Observation, Ratio
from modelrollout.analysis.kinds.reading import ArmTotals, Reading

_DECIDED = math.log(20)
"""Log of the evidence that an interval of 95 % would need to say the same."""


def summary(metric: Metric, reading: Reading) -> str:
    """What was counted and what it says, without a full stop: for a list of metrics."""
    if reading.waiting is not None:
        return reading.waiting.message.rstrip(".")
    if metric.kind is Kind.COUNTING:
        return _counting(metric, reading)
    if metric.kind is Kind.SCALAR:
        return _scalar(metric, reading)
    if metric.kind is Kind.DRIFT:
        counted = (
            f"canary {_share(reading.canary)}{_what(metric, reading)}, control {_share(reading.control)}"
        )
        return (
            f"{reading.note}; {counted}{_noise(reading)}" if reading.note else "no request in both arms yet"
        )
    text = _shares(metric, reading)
    return f"{text}; {reading.note}" if reading.note else text


def plain(metric: Metric, reading: Reading) -> str:
    """What a person must know first, in one clause: "ttft: 44 % above 0.06 seconds, stable 0 %"."""
    canary, control = reading.canary, reading.control
    if metric.kind is Kind.SCALAR:
        unit = f" {metric.unit}" if metric.unit else ""
        return f"{metric.name}: {canary.bad:.3g}{unit}, stable {control.bad:.3g}{unit}"
    if metric.kind is Kind.COUNTING:
        what = metric.unit or "units of exposure"
        text = f"{metric.name}: {_count(canary.bad)} in {_count(canary.n)} {what}"
        return f"{text}, stable {_count(control.bad)} in {_count(control.n)}"
    text = f"{metric.name}: {_of(canary)}{_what(metric, reading)}"
    return text if metric.tolerance.ratio == 0 else f"{text}, stable {_of(control)}"


def _of(totals: ArmTotals) -> str:
    return _percent(totals.bad / totals.n) if totals.n else "none"


def _what(metric: Metric, reading: Reading) -> str:
    """What a bad one is."""
    good = metric.direction is Direction.DECREASE_IS_BAD and metric.kind is not Kind.HISTOGRAM
    if metric.kind is Kind.RATIO:
        return " missed" if good else " bad"
    return f" {reading.about}" if reading.about else " short of the best" if good else " bad"


def _between(reading: Reading) -> tuple[float, float] | None:
    """The interval, unless it says the opposite of stronger evidence: the two are made in different ways, and
    beside a decision an interval that contradicts it helps nobody."""
    if reading.interval95 is None or reading.tolerated is None:
        return reading.interval95
    low, high = reading.interval95
    against = max(reading.log_revert, reading.log_catastrophic or 0.0)
    if against >= _DECIDED and low <= reading.tolerated:
        return None
    if reading.log_promote >= _DECIDED and high >= reading.tolerated:
        return None
    return reading.interval95


def _shares(metric: Metric, reading: Reading) -> str:
    what = _what(metric, reading)
    alone = metric.tolerance.ratio == 0
    text = f"canary {_share(reading.canary)}{what}"
    if not alone:
        text += f", control {_share(reading.control)}"
    if reading.estimate is not None and (ends := _between(reading)) is not None:
        low, high = ends
        between = f"95 % between {_points(low, alone)} and {_points(high, alone)}"
        text += f"; {'share' if alone else 'difference'} {_points(reading.estimate, alone)}, {between}"
    if reading.limit is not None:
        text += f"; tolerated up to {_percent(reading.limit)}"
    if reading.detectable is not None:
        text += f"; {_percent(reading.detectable)} beyond that would have been found by now"
    return text + _noise(reading)


def _noise(reading: Reading) -> str:
    """Nothing where requests are as good as independent."""
    return f"; noise {reading.phi:.2g} times that of independent requests" if reading.phi >= 1.05 else ""


def _counting(metric: Metric, reading: Reading) -> str:
    unit = f" {metric.unit}" if metric.unit else ""
    text = (
        f"canary {_count(reading.canary.bad)} over {_count(reading.canary.n)}{unit}, "
        f"control {_count(reading.control.bad)} over {_count(reading.control.n)}{unit}"
    )
    if reading.estimate is not None and (ends := _between(reading)) is not None:
        low, high = ends
        upper = "more" if math.isinf(high) else f"{high:g}"
        text += f"; {reading.estimate:.3g} times the control's rate, 95 % between {low:g} and {upper}"
    if reading.limit is not None:
        text += f"; tolerated up to {reading.limit:g} times"
    return text + _noise(reading)


def _scalar(metric: Metric, reading: Reading) -> str:
    if reading.canary.n == 0:
        return "no looks yet"
    unit = f" {metric.unit}" if metric.unit else ""
    text = (
        f"mean of {_count(reading.canary.n)} looks: canary {reading.canary.bad:.4g}{unit}, "
        f"control {reading.control.bad:.4g}{unit}"
    )
    if reading.interval95 is not None:
        low, high = reading.interval95
        text += f"; difference {reading.estimate:.3g}, 95 % between {low:.3g} and {high:.3g}"
    if reading.limit is not None:
        falls = metric.direction is Direction.DECREASE_IS_BAD
        text += f"; tolerated {'down' if falls else 'up'} to {reading.limit:.4g}"
    return f"{text}; {metric.remark}" if metric.remark else text


def _share(totals: ArmTotals) -> str:
    if totals.n == 0:
        return "0 of 0"
    return f"{_count(totals.bad)} of {_count(totals.n)} ({_percent(totals.bad / totals.n)})"


def _count(number: float) -> str:
    return f"{number:,.0f}" if number == int(number) else f"{number:,.4g}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _points(difference: float, absolute: bool) -> str:
    return _percent(difference) if absolute else f"{100 * difference:+.3g} pp"


def cut_off(seen: Observation) -> str:
    """What ended with its process in a look; empty where nothing did."""
    if not isinstance(seen.canary, Ratio) or not seen.canary.cut:
        return ""
    return (
        f"in this look a process of the canary ended while {_count(seen.canary.cut)} requests ran, which "
        "count as failed"
    )


def names(metrics: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return metrics[0] if len(metrics) == 1 else f"{', '.join(metrics[:-1])} and {metrics[-1]}"


def chance(risk: float) -> str:
    """A risk as people say it: "1 %"."""
    return f"{100 * risk:g} %"
