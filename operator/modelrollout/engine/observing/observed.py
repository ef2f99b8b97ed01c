"""From a snapshot to the brain's `Observed`: pure, and the only place that knows both."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from modelrollout.analysis.contest.tally import Tally
from modelrollout.analysis.evidence.split import SplitProof
from modelrollout.analysis.kinds.own_past import Drifted
from modelrollout.api.conditions import Finding
from modelrollout.api.names import FORM_ANNOTATION, ROLLOUT_LABEL
from modelrollout.api.objects import Object, annotations_of
from modelrollout.api.problem import Problem
from modelrollout.engine.observing.obstacles import obstacle
from modelrollout.engine.snapshot import Snapshot, prompts_hash
from modelrollout.rollout.authors import authors
from modelrollout.rollout.commands import given
from modelrollout.rollout.difference import difference
from modelrollout.rollout.model import Alarms, Gate, Judgement, Named, Observed, Outlook
from modelrollout.rollout.revision import describe, form_of, registered_as
from modelrollout.serving.context import shorter
from modelrollout.serving.policy import Policy
from modelrollout.serving.rotation import narrowed
from modelrollout.serving.services import port_warning
from modelrollout.traffic import ownership, selector
from modelrollout.traffic.router import Reading


def observed_from(
    view: Snapshot,
    reading: Reading,
    judgement: Judgement | None,
    proof: SplitProof | None,
    *,
    setback: Problem | None = None,
    unmade: str | None = None,
    alarms: Alarms | None = None,
    gates: Mapping[str, Gate] | None = None,
    left_behind: float | None = None,
    tally: Tally | None = None,
    outlook: Outlook | None = None,
    own_past: tuple[Drifted, ...] = (),
    policy: Policy = "any",
    registry: Finding | None = None,
) -> Observed:
    """What the brain decides on.

    Args:
        reading: what the router read of the route.
        policy: which pods may be made; see `serving/policy.py`.
    """
    key, metadata = view.key, view.resource["metadata"]
    found = None
    if view.status.original_traffic is None and all(map(view.objects.get, view.router.refs())):
        found = view.router.remember(view.objects, view.site) or None
    return Observed(
        generation=int(metadata["generation"]),
        revision=view.revision,
        revision_model=describe(view.spec),
        pin=view.pin or (view.status.pinned if view.unresolved is not None else None),
        registered=registered_as(view.spec),
        registry=registry,
        annotations=annotations_of(view.resource),
        fleets=view.fleets,
        services={role: view.selected(role) for role in view.role_services},
        endpoints=view.endpoints,
        route=_warned(view, reading),
        problem=None if view.deleting else obstacle(view, policy),
        setback=setback,
        changed=_changed(view),
        unmade=unmade,
        judgement=judgement,
        alarms=alarms,
        gates=gates or {},
        split_mismatch=proof.mismatch if proof is not None else None,
        measured=proof.measured if proof is not None else None,
        left_behind=left_behind,
        tally=tally,
        outlook=outlook,
        own_past=own_past,
        found=found,
        selector=f"{ROLLOUT_LABEL}={key.name}",
        deleting=view.deleting,
        named=_named(view),
        version=str(metadata["resourceVersion"]),
        authors=authors(view.resource, given(annotations_of(view.resource)).values()),
        asked=view.elsewhere,
        at_home=_at_home(view),
        splits_by_pods=view.splits_by_pods,
        serves=_serves(view),
        released=frozenset(revision for revision, body in view.deployments.items() if _ownerless(body)),
        ownerless=any(map(_ownerless, (*view.deployments.values(), *view.role_services.values()))),
        narrowed="stable" in view.role_services and narrowed(view.role_services["stable"]),
    )


def _warned(view: Snapshot, reading: Reading) -> Reading:
    """The route, with what may mislead about the Service's ports and the new revision's arguments."""
    body = view.deployments.get(view.revision)
    stable = view.deployments.get(view.status.stable.revision) if view.status.stable else None
    found = [
        port_warning(view.service, body) if body is not None and view.service is not None else None,
        shorter(stable, body) if stable is not None and body is not None else None,
    ]
    if new := tuple(filter(None, found)):
        return dataclasses.replace(reading, warnings=(*reading.warnings, *new))
    return reading


def _serves(view: Snapshot) -> str | None:
    """The revision that has all users, where the Service that people named is what splits."""
    if not view.splits_by_pods or view.service is None:
        return None
    return selector.revision_selected(view.service, view.key.name)


def _named(view: Snapshot) -> Named | None:
    """The Service that people named, where the router does not write it and it selects pods at all."""
    service = view.service
    if not view.router.capabilities.by_services or service is None:
        return None
    if service["spec"].get("type") == "ExternalName":
        return None
    return Named(
        selector.revision_selected(service, view.key.name),
        selector.of(service),
        ownership.writer(service, ("spec", "selector")),
    )


def _at_home(view: Snapshot) -> bool:
    """Whether the part of the route that would be given back is already as it was found."""
    original = view.status.original_traffic
    return original is None or not view.router.hand_back(view.objects, view.site, original)


def _ownerless(body: Object) -> bool:
    return not body["metadata"].get("ownerReferences")


def _changed(view: Snapshot) -> str:
    """How what spec asks for differs from what serves, as far as it is known how that was made."""
    stable = view.status.stable
    serving = view.deployments.get(stable.revision) if stable is not None else None
    form = annotations_of(serving or {}).get(FORM_ANNOTATION)
    if stable is None or form is None or view.revision == stable.revision:
        return ""
    return difference(form, form_of(view.spec, prompts_hash(view.prompts)))
