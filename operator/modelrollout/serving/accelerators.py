"""How many accelerators a pod of a revision has, for metrics per accelerator-second."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAMES = ("gpu", "tpu", "gaudi", "neuron", "xpu", "npu")


def per_pod(deployment: Mapping[str, Any] | None) -> float:
    """Sum of the accelerator limits of a pod's containers; 1 where nothing is limited: ratios of pods then
    stay true."""
    if deployment is None:
        return 1.0
    containers = deployment["spec"]["template"]["spec"].get("containers") or ()
    total = 0.0
    for container in containers:
        for name, amount in ((container.get("resources") or {}).get("limits") or {}).items():
            if "/" in name and any(known in name.lower() for known in NAMES) and str(amount).isdigit():
                total += float(amount)
    return total or 1.0
