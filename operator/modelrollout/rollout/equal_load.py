"""How many stable pods serve in a step, so that each carries what a canary pod carries.

Latency grows with the requests that a pod carries, so like is compared with like only at equal load. The
canary's pods carry what the step gives them; of the stable pods as many serve as makes their load the same.
No other GPU is needed, and never fewer serve than the share of the users that stays on stable.
"""

from __future__ import annotations

import math

from modelrollout.analysis.betting.ladder import is_alike
from modelrollout.api.spec import Spec
from modelrollout.rollout import steps
from modelrollout.rollout.capacity import needed
from modelrollout.traffic.registry import capabilities_of


def serving(canary: int, control: int, pods: int, replicas: int) -> int:
    """Of `replicas` stable pods, those that answer `control` percent of the requests while `pods` canary pods
    get `canary` percent (copies are requests too). All of them where the load is as good as equal anyway,
    and where a canary pod carries less than they can go down to."""
    if canary <= 0 or control <= 0 or is_alike(canary * replicas / (control * pods)):
        return replicas
    exact = control * pods / canary
    fewest = max(1, needed(control, replicas))
    near = {min(replicas, max(fewest, found)) for found in (math.floor(exact), math.ceil(exact))}
    return min(near, key=lambda count: (abs(math.log(count / exact)), -count))


def serving_at(plan: steps.Steps, index: int, spec: Spec) -> int:
    """Stable pods that serve in the step at `index`."""
    split = steps.split_at(plan, index)
    if not keeps_equal(spec) or split.matches:
        return spec.replicas
    pods = steps.pods(plan, index, spec)
    return serving(split.canary + split.mirror, 100 - split.canary, pods, spec.replicas)


def keeps_equal(spec: Spec) -> bool:
    """Metrics compare the two revisions, and what splits sends to the pods that `<service>-stable` lists."""
    analysis = spec.analysis
    return analysis is not None and analysis.equal_load and capabilities_of(spec.traffic).by_services
