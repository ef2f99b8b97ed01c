"""One rollout's objects at one moment, as the engine hands them to the pure rooms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelrollout.api.names import REVISION_LABEL, ROLLOUT_LABEL, Role, RolloutKey
from modelrollout.api.objects import Object, Ref
from modelrollout.api.problem import Problem
from modelrollout.api.registry import Pin
from modelrollout.api.spec import Spec
from modelrollout.api.status import Status, TakenTraffic
from modelrollout.rollout.model import Fleet
from modelrollout.rollout.revision import content_hash
from modelrollout.traffic.router import Router, Site


@dataclass(frozen=True)
class Snapshot:
    key: RolloutKey
    resource: Mapping[str, Any]
    """The ModelRollout as last seen; its resourceVersion is the precondition of the status write."""
    spec: Spec
    status: Status
    revision: str
    """The hash of what spec asks for now."""
    router: Router
    site: Site
    objects: Mapping[Ref, Object | None]
    """What the router asked for, and what is known of the gateways that these point to."""
    service: Object | None
    """The user's Service."""
    role_services: Mapping[Role, Object] = field(default_factory=dict)
    """`<service>-stable` and `<service>-canary`, those that exist."""
    deployments: Mapping[str, Object] = field(default_factory=dict)
    """By revision."""
    fleets: Mapping[str, Fleet] = field(default_factory=dict)
    """By revision."""
    endpoints: Mapping[Role, Mapping[str, int]] = field(default_factory=dict)
    """Role -> revision -> ready endpoints that the role's Service lists."""
    elsewhere: TakenTraffic | None = None
    """Other objects that the spec has named since traffic is moved by those in `spec`."""
    rival: Problem | None = None
    """An older rollout has a target of this one."""
    misread: str = ""
    """What of the spec is not understood, in a sentence; a placeholder stands for it in `spec`."""
    pin: Pin | None = None
    """What the model's address stands for, where it has to be looked up; `spec` has it in its place."""
    unresolved: Problem | None = None
    """Nobody knows what it stands for."""
    prompts: Object | None = None
    """The user's ConfigMap with prompts."""

    @property
    def deleting(self) -> bool:
        return "deletionTimestamp" in self.resource["metadata"]

    @property
    def splits_by_pods(self) -> bool:
        """The Service itself is the router: its selector and the pod counts make the split."""
        return self.router.capabilities.splits_by_pods

    def selected(self, role: Role) -> str | None:
        """The revision whose pods the role's Service selects."""
        return revision_behind(self.role_services.get(role), self.key.name)


def revision_behind(service: Object | None, rollout: str) -> str | None:
    """The revision of the rollout whose pods this Service selects."""
    selector = ((service or {}).get("spec") or {}).get("selector") or {}
    return selector.get(REVISION_LABEL) if selector.get(ROLLOUT_LABEL) == rollout else None


def prompts_hash(prompts: Object | None) -> str | None:
    if prompts is None:
        return None
    return content_hash(prompts.get("data") or {}, prompts.get("binaryData") or {})
