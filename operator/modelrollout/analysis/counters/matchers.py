"""Which series belong to which arm: by the revision of the pod, or by where a proxy sent the request."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from modelrollout.analysis.counters.expression import Matcher

Side = Literal["canary", "control"]


class Split(StrEnum):
    """What divides the users' requests between the arms, as a proxy's counters can show it."""

    SERVICES = "services"  # a route with weights on <service>-stable and <service>-canary
    SUBSETS = "subsets"  # a route with weights on the subsets of one host
    PODS = "pods"  # the Service alone: connections go to pods, no proxy names the arm


class By(StrEnum):
    """The labels in which the arms differ."""

    REVISION = "revision"  # rollout and revision, copied from the pod's labels by relabelling
    ENVOY_CLUSTER = "envoy-cluster"  # cluster_name of Istio's gateway
    ISTIO_DESTINATION = "istio-destination"  # destination_service or destination_workload


@dataclass(frozen=True, slots=True)
class Arms:
    """One rollout, for telling its series apart. A revision is immutable, so a pod keeps its series when
    its role changes."""

    namespace: str
    rollout: str
    service: str
    stable: str
    """The control's revision."""
    canary: str
    split: Split = Split.SERVICES
    moved: bool = False
    """Whether the names have moved: since promotion the stable Service leads to the canary's revision."""
    accelerators: tuple[float, float] = (1.0, 1.0)
    """Per pod, of (canary, control)."""
    hardware: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    """What the pods of (canary, control) run on, by names that can have a price."""

    def revision(self, side: Side) -> str:
        return self.canary if side == "canary" else self.stable

    def role(self, side: Side) -> str:
        """Which Service, or subset, leads to it."""
        return "canary" if (side == "canary") is not self.moved else "stable"

    def accelerators_of(self, side: Side) -> float:
        return self.accelerators[0 if side == "canary" else 1]

    def hardware_of(self, side: Side) -> tuple[str, ...]:
        return self.hardware[0 if side == "canary" else 1]


class ArmsNotNamed(ValueError):
    """The arms cannot be told apart by these labels; the message says why."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What to fetch so that both arms are in it: one label, and the values (regular expressions) it takes."""

    label: str
    values: frozenset[str]


def scope(by: By, arms: Arms) -> Scope:
    """Raises ArmsNotNamed."""
    if by is By.REVISION:
        return Scope("rollout", frozenset({re.escape(arms.rollout)}))
    sides: tuple[Side, Side] = ("canary", "control")
    [label] = {matchers(by, arms, side)[0].label for side in sides}
    return Scope(label, frozenset(matchers(by, arms, side)[0].value for side in sides))


def matchers(by: By, arms: Arms, side: Side) -> tuple[Matcher, ...]:
    """The matchers that `$arm` stands for. Raises ArmsNotNamed."""
    if by is By.REVISION:
        return (
            Matcher("namespace", "=", arms.namespace),
            Matcher("rollout", "=", arms.rollout),
            Matcher("revision", "=", arms.revision(side)),
        )
    return (_envoy(arms, side),) if by is By.ENVOY_CLUSTER else _istio(arms, side)


def _envoy(arms: Arms, side: Side) -> Matcher:
    role = arms.role(side)
    if arms.split is Split.PODS:
        raise ArmsNotNamed(
            f"The Service {arms.service} splits by pods, and a proxy's counters do not name the pod's "
            "revision: judge by vllm/ or http/ metrics, or name traffic.gateway or traffic.istio."
        )
    subset, host = (role, arms.service) if arms.split is Split.SUBSETS else ("", f"{arms.service}-{role}")
    pattern = rf"outbound\|[0-9]+\|{subset}\|{re.escape(host)}\.{re.escape(arms.namespace)}\.svc\..+"
    return Matcher("cluster_name", "=~", pattern)


def _istio(arms: Arms, side: Side) -> tuple[Matcher, ...]:
    if arms.split is Split.SERVICES:
        host = f"{re.escape(arms.service)}-{arms.role(side)}"
        return (Matcher("destination_service", "=~", rf"{host}\.{re.escape(arms.namespace)}\.svc\..+"),)
    workload = f"{arms.rollout}-{arms.revision(side)}"
    return (
        Matcher("destination_workload", "=~", re.escape(workload)),
        Matcher("destination_workload_namespace", "=", arms.namespace),
    )
