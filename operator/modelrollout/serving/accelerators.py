"""How many accelerators a pod of a revision has, for metrics per accelerator-second."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

NAMES = ("gpu", "tpu", "gaudi", "neuron", "xpu", "npu")


def per_pod(deployment: Mapping[str, Any] | None) -> float:
    """Sum of the accelerator limits of a pod's containers; 1 where nothing is limited: ratios of pods then
    stay true."""
    return sum(amount for _, amount in _limits(_pod(deployment))) or 1.0


def hardware(deployment: Mapping[str, Any] | None) -> tuple[str, ...]:
    """What its pods run on, by names that can have a price: the labels of nodes that they ask for, such as
    NVIDIA-H100-80GB-HBM3 or p5.48xlarge, and then the resources, such as nvidia.com/gpu."""
    pod = _pod(deployment)
    asked = dict.fromkeys(str(value) for value in (pod.get("nodeSelector") or {}).values())
    affinity = ((pod.get("affinity") or {}).get("nodeAffinity") or {}).get(_REQUIRED) or {}
    for term in affinity.get("nodeSelectorTerms") or ():
        for each in term.get("matchExpressions") or ():
            if each.get("operator") == "In":
                asked |= dict.fromkeys(map(str, each.get("values") or ()))
    return tuple(asked | dict.fromkeys(name for name, _ in _limits(pod)))


_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def _pod(deployment: Mapping[str, Any] | None) -> Mapping[str, Any]:
    found: Mapping[str, Any] = deployment["spec"]["template"]["spec"] if deployment is not None else {}
    return found


def _limits(pod: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for container in pod.get("containers") or ():
        for name, amount in ((container.get("resources") or {}).get("limits") or {}).items():
            if "/" in name and any(known in name.lower() for known in NAMES) and str(amount).isdigit():
                yield name, float(amount)
