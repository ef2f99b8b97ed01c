"""Finds what only the cluster shows and what stands against a rollout: pure, from a snapshot to a
sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelrollout.analysis.packs.catalogue import problems
from modelrollout.analysis.packs.defaults import analysis_of
from modelrollout.analysis.packs.measures import unusable
from modelrollout.api.names import ROLLOUT_LABEL
from modelrollout.api.objects import SERVICE_KIND, labels_of, name_of
from modelrollout.api.problem import Problem
from modelrollout.api.schedule import mistake
from modelrollout.api.stages import stages
from modelrollout.engine.snapshot import Snapshot
from modelrollout.rollout.steps import expand
from modelrollout.serving.deployment import deployment
from modelrollout.serving.policy import Policy, violations
from modelrollout.serving.services import port_problem
from modelrollout.traffic.requirements import refusal


def obstacle(view: Snapshot, policy: Policy = "any") -> Problem | None:
    """The first reason why this rollout cannot be; None when nothing stands against it.

    Never raises: while there is an obstacle a rollout can still go back, and a pass that fails could not.
    """
    try:
        return _obstacle(view, policy)
    except Exception as error:
        return Problem(
            "NotChecked",
            f"The operator cannot tell whether this spec can be carried out: {error!r}. This is a fault of "
            "the operator; undo the last change of the spec to go on.",
        )


def _obstacle(view: Snapshot, policy: Policy) -> Problem | None:
    key, spec = view.key, view.spec
    if view.misread:
        return Problem("SpecNotUnderstood", view.misread)
    if (refused := refusal(spec, view.router)) is not None:
        return refused
    if view.rival is not None:
        return view.rival
    if view.service is None:
        return Problem(
            "ServiceNotFound",
            f"There is no Service {spec.traffic.service} in namespace {key.namespace}. Create the Service "
            f"that clients call; the rollout goes on by itself then.",
        )
    if spec.prompts is not None and view.prompts is None:
        return Problem(
            "PromptsNotFound",
            f"There is no ConfigMap {spec.prompts.config_map} in namespace {key.namespace}, which "
            f"spec.prompts.configMap names. Create it; the rollout goes on by itself then.",
        )
    if view.unresolved is not None:
        return view.unresolved
    for each in spec.evaluations:
        if each.schedule is not None and (wrong := mistake(each.schedule)):
            return Problem(
                "BadSchedule",
                f"Evaluation {each.name} has the schedule {each.when}, which cannot be read ({wrong}). Write "
                "a cron expression of five fields in UTC, such as 0 2 * * * for every night at two.",
            )
    analysis = analysis_of(spec)
    metrics = analysis.metrics if analysis is not None else ()
    if uncountable := (*problems(metrics), *unusable(stages(expand(spec)))):
        return Problem(uncountable[0].reason, " ".join(each.message for each in uncountable))
    return _name_taken(view) or _unbuildable(view, policy)


def _name_taken(view: Snapshot) -> Problem | None:
    """An object that has the name of one of ours and is somebody else's."""
    for body in (*view.role_services.values(), *view.deployments.values()):
        if not is_ours(body, view.resource):
            return taken(body, view.key.name)
    return None


def _unbuildable(view: Snapshot, policy: Policy) -> Problem | None:
    """Why no pod may be made of the spec, or why the Service could not reach such a pod."""
    body = view.deployments.get(view.revision)
    if body is None:
        try:
            body = deployment(view.resource, view.spec, view.revision, 0, None)
        except ValueError as error:
            return Problem("ImpossiblePod", str(error))
        if policy == "baseline" and (found := list(violations(body["spec"]["template"]))):
            return Problem(
                "PodNotAllowed",
                f"runtime.podTemplate asks for {', '.join(found)}, and the operator's administrator lets no "
                "ModelRollout have that: leave it out, or ask for its setting podPolicy to be any.",
            )
    return port_problem(view.service or {}, body)


def taken(body: Mapping[str, Any], rollout: str) -> Problem:
    """Somebody else's object has the name of one of ours. A Service may be handed over, running as it is."""
    metadata, kind = body["metadata"], body.get("kind", "object")
    adopted = (
        f" If users are on it, hand it over instead: label it {ROLLOUT_LABEL}={rollout} and take its "
        "ownerReferences off, if it has any. It keeps the pods that it selects until this rollout's can "
        "serve everybody."
    )
    return Problem(
        "NameTaken",
        f"The {kind} {metadata['name']} in namespace {metadata['namespace']} is not this rollout's. "
        "Rename or delete it: the operator makes one of that name and touches no others."
        + (adopted if kind == SERVICE_KIND else ""),
    )


def is_ours(body: Mapping[str, Any], rollout: Mapping[str, Any]) -> bool:
    """Owned by the rollout, or left for the route by a deleted one of the same name."""
    owners = {owner["uid"] for owner in body["metadata"].get("ownerReferences") or ()}
    if owners:
        return rollout["metadata"]["uid"] in owners
    return labels_of(body).get(ROLLOUT_LABEL) == name_of(rollout)
