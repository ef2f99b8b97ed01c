"""Which rollout, and how its object is called in the API."""

from __future__ import annotations

from dataclasses import dataclass

from modelrollout.traffic.router import Ref

GROUP = "modelrollout.io"
API_VERSION = f"{GROUP}/v1alpha1"
RESOURCE = "modelrollouts"
KIND = "ModelRollout"
FINALIZER = f"{GROUP}/handback"
"""Keeps a rollout from going before its traffic is given back."""


@dataclass(frozen=True, order=True)
class RolloutKey:
    namespace: str
    name: str

    @property
    def ref(self) -> Ref:
        return Ref(API_VERSION, RESOURCE, self.name)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"
