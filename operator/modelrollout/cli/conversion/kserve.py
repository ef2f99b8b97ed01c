"""A KServe InferenceService: one model, its server, and a share of traffic that a person moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modelrollout.cli.conversion.converted import Body, Converted, Unconvertible, Wishes, begun
from modelrollout.cli.conversion.plan import DEFAULT, tidied
from modelrollout.cli.conversion.pods import take_pods

API = "serving.kserve.io/"
KIND = "InferenceService"
SCHEMES = ("hf://", "s3://", "gs://", "pvc://", "file:///")
_PREDICTOR = (
    *("model", "containers", "minReplicas", "maxReplicas", "canaryTrafficPercent", "name"),
    *("nodeSelector", "tolerations", "affinity", "volumes", "serviceAccountName", "imagePullSecrets"),
)
_MODEL = ("modelFormat", "storageUri", "args", "env", "resources", "image", "runtime", "name", "command")
_POD = ("nodeSelector", "tolerations", "affinity", "volumes", "serviceAccountName", "imagePullSecrets")


def convert(body: Body, _documents: Sequence[Body], wishes: Wishes) -> Converted:
    """Raises Unconvertible."""
    made, spec = begun(body), body.get("spec") or {}
    predictor = spec.get("predictor") or {}
    made.spec["replicas"] = max(int(predictor.get("minReplicas", 1)), 1)
    container = _container(predictor, made)
    template = {"spec": {"containers": [container], **{k: predictor[k] for k in _POD if k in predictor}}}
    given = predictor.get("model") or {}
    model = wishes.model or given.get("storageUri")
    if model and not str(model).startswith(SCHEMES):
        raise Unconvertible(
            f"spec.predictor.model.storageUri: {model} has no equal; put the model on hf, s3, gs, pvc or in "
            "the image, and give --model."
        )
    asked = Wishes(model, wishes.image, wishes.prometheus)
    take_pods(made, template, "spec.predictor", asked)
    made.spec["traffic"] = {"service": f"{made.name}-predictor"}
    made.note(
        "spec.predictor",
        f"the Service that clients call is taken to be {made.name}-predictor; name your route.",
    )
    if wishes.prometheus:
        made.spec["analysis"] = {"prometheus": {"address": wishes.prometheus.rstrip("/")}}
    made.note("spec", "KServe leaves the steps to people: the plan is 5, 25 and 50 % as a beginning.")
    plan = tidied(made, DEFAULT, "spec", judged=bool(wishes.prometheus))
    made.spec["strategy"] = {"canary": {"steps": plan}}
    if "canaryTrafficPercent" in predictor:
        text = "the operator moves the share itself, from step to step."
        made.note("spec.predictor.canaryTrafficPercent", text)
    if "maxReplicas" in predictor:
        made.note("spec.predictor.maxReplicas", "let an autoscaler of yours scale the ModelRollout.")
    made.no_equal("spec", spec, ("predictor",))
    made.no_equal("spec.predictor", predictor, _PREDICTOR)
    made.no_equal("spec.predictor.model", given, _MODEL)
    return made


def _container(predictor: Body, made: Converted) -> dict[str, Any]:
    if predictor.get("containers"):
        return dict(predictor["containers"][0])
    given = predictor.get("model")
    if not given:
        raise Unconvertible(
            "spec.predictor: it has neither model nor containers; predictors by framework have no equal."
        )
    runtime = given.get("runtime") or (given.get("modelFormat") or {}).get("name", "")
    made.note(
        "spec.predictor.model.runtime", f"the image stood in the ServingRuntime of {runtime}; see --image."
    )
    kept = {name: given[name] for name in ("args", "env", "resources", "image", "command") if name in given}
    return {"name": "server", **kept}
