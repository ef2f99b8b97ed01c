"""What a look may say when the pods of the arms carry different load.

Latency grows with load. A canary whose pods carry much more than the control's is not to blame for being
slower: such a look speaks for it, never against it, and so the metric can hold the rollout but not revert it.
One whose pods carry much less is flattered: what it shows is worth something for that load, and each step has
to be proven anew.
"""

from __future__ import annotations

import math

from modelrollout.analysis.inputs.metric import Metric

APART = 1.5
"""Ratio of the requests per pod from which on the arms' loads are called different."""
_ERRORS = 2.0


def shown(canary: tuple[float, float], control: tuple[float, float]) -> float | None:
    """The ratio of the loads as far as the counts show it: each arm gives its requests and the seconds that
    its pods answered. Two standard errors nearer to 1 than the plain ratio, for a few requests more or less
    are chance; None where an arm has none."""
    (x1, s1), (x0, s0) = canary, control
    if not all(0 < number < math.inf for number in (x1, s1, x0, s0)):
        return None
    log_ratio, error = math.log(x1 / s1) - math.log(x0 / s0), math.sqrt(1 / x1 + 1 / x0)
    return math.exp(math.copysign(max(abs(log_ratio) - _ERRORS * error, 0.0), log_ratio))


def blames(metric: Metric, load: float | None) -> bool:
    """Whether what the look shows may count against the canary."""
    return not metric.feels_load or load is None or load <= APART


def remark(metric: Metric, load: float | None) -> str:
    """What a person should know of the look; empty where the loads are alike."""
    if not metric.feels_load or load is None or 1 / APART <= load <= APART:
        return ""
    carried = f"each of its pods carried {load:.2g} times the requests of a control's"
    if load > APART:
        return f"{carried}, so this look does not count against it"
    return f"{carried}: what this step shows holds for that load"
