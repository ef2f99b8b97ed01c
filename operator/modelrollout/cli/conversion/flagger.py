"""A Flagger Canary, with the Deployment that it targets and the MetricTemplates that it names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modelrollout.cli.conversion.converted import Body, Converted, Unconvertible, Wishes, begun, found
from modelrollout.cli.conversion.plan import seconds_of, tidied, written
from modelrollout.cli.conversion.pods import take_pods

API = "flagger.app/"
KIND = "Canary"
_SPEC = (
    *("targetRef", "autoscalerRef", "progressDeadlineSeconds", "service", "analysis", "provider"),
    *("skipAnalysis", "metricsServer", "revertOnDeletion"),
)
_SERVICE = ("name", "port", "targetPort", "portName", "gatewayRefs", "hosts", "gateways", "portDiscovery")
_ANALYSIS = (
    *("interval", "threshold", "maxWeight", "stepWeight", "stepWeights", "iterations", "match", "mirror"),
    *("mirrorWeight", "metrics", "webhooks", "alerts", "sessionAffinity"),
)
_BY_HAND = ("confirm-rollout", "confirm-traffic-increase", "confirm-promotion")
_LOAD = ("", "rollout")


def convert(body: Body, documents: Sequence[Body], wishes: Wishes) -> Converted:
    """Raises Unconvertible."""
    made, spec = begun(body), body.get("spec") or {}
    target = spec.get("targetRef") or {}
    name = str(target.get("name"))
    deployment = found(documents, "Deployment", name)
    if target.get("kind", "Deployment") != "Deployment":
        raise Unconvertible(
            f"spec.targetRef.kind: a {target['kind']} has no equal; models are Deployments here."
        )
    if deployment is None:
        raise Unconvertible(f"spec.targetRef: Deployment {name} is not in the files; give it with -f too.")
    made.spec["replicas"] = deployment["spec"].get("replicas") or 1
    take_pods(made, deployment["spec"]["template"], f"Deployment {name}, spec.template", wishes)
    if limit := spec.get("progressDeadlineSeconds"):
        made.spec["runtime"]["startupDeadline"] = written(int(limit))
    if "autoscalerRef" in spec:
        text = "let the autoscaler scale the ModelRollout, which has the scale subresource."
        made.note("spec.autoscalerRef", text)
    made.spec["traffic"] = _traffic(made, spec, name)
    _judged(made, spec.get("analysis") or {}, spec, documents, wishes)
    made.no_equal("spec", spec, _SPEC)
    return made


def _traffic(made: Converted, spec: Body, target: str) -> dict[str, Any]:
    given = spec.get("service") or {}
    service = str(given.get("name") or target)
    made.no_equal("spec.service", given, _SERVICE)
    provider = str(spec.get("provider") or "")
    rule = "it split an object of its own; here one named rule of yours is split. Give it the name {}."
    if given.get("gatewayRefs") or provider.startswith("gatewayapi"):
        made.note("spec.service.gatewayRefs", rule.format(service))
        return {"service": service, "gateway": {"httpRoute": service, "rule": service}}
    if provider in ("istio", "") and (given.get("gateways") or provider == "istio"):
        made.note("spec.service.gateways", rule.format(service))
        return {"service": service, "istio": {"virtualService": service, "route": service}}
    if provider not in ("", "kubernetes"):
        text = "this router has no equal; the Service splits by pod counts until you name a route."
        made.note(f"spec.provider ({provider})", text)
    return {"service": service}


def _judged(made: Converted, given: Body, spec: Body, documents: Sequence[Body], wishes: Wishes) -> None:
    place = "spec.analysis"
    interval = seconds_of(given.get("interval", "1m")) or 60
    address = _metrics(made, given, spec, documents) or wishes.prometheus
    if address:
        made.spec["analysis"] = {"prometheus": {"address": address.rstrip("/")}}
        if "istio" in made.spec["traffic"]:
            made.spec["analysis"]["metrics"] = _built_in(made, given) or []
    else:
        made.note(
            place, "Flagger knows its Prometheus itself, so nothing is judged yet: give --prometheus URL."
        )
    if "threshold" in given:
        text = "one verdict over all looks decides, and not a number of failed checks."
        made.note(f"{place}.threshold", text)
    steps = [*_gates(made, given, ("confirm-rollout",)), *_steps(made, given, interval)]
    steps += _gates(made, given, ("confirm-promotion",))
    if any("weight" in step or "mirror" in step or "match" in step for step in steps):
        plan = tidied(made, steps, f"{place}.{_source(given)}", judged=bool(address))
        if not plan:
            raise Unconvertible(
                f"{place}.{_source(given)}: without a route there is nothing that matches or copies."
            )
        made.spec["strategy"] = {"canary": {"steps": plan}}
    else:
        warm = written(interval * int(given.get("iterations") or 0))
        pauses = {"steps": steps} if steps else {}
        made.spec["strategy"] = {"blueGreen": pauses | ({"warmFor": warm} if warm != "0s" else {})}
    if "sessionAffinity" in given:
        made.note(
            f"{place}.sessionAffinity", "write traffic.sticky, which needs a header with the user's cohort."
        )
    made.no_equal(place, given, _ANALYSIS)


def _source(given: Body) -> str:
    """The field that the steps come from."""
    return next((name for name in ("match", "stepWeights", "mirror") if given.get(name)), "stepWeight")


MOST_HEADERS = 4
"""The number of headers that one match of ours can ask for."""


def _exact(each: Body) -> dict[str, Any] | None:
    """A match of Istio as one of ours, with all its headers; None where it asks for something other than
    exact values."""
    headers = each.get("headers") or {}
    if set(each) != {"headers"} or not 1 <= len(headers) <= MOST_HEADERS:
        return None
    if any("exact" not in rule for rule in headers.values()):
        return None
    first, *also = ({"header": name, "value": rule["exact"]} for name, rule in headers.items())
    return first | ({"and": also} if also else {})


def _steps(made: Converted, given: Body, interval: int) -> list[dict[str, Any]]:
    stay = written(interval)
    if given.get("match"):
        exact = [match for each in given["match"] if (match := _exact(each)) is not None]
        if len(exact) < len(given["match"]):
            made.note(
                "spec.analysis.match",
                "only exact values of headers can be matched, four at once; the others are left out.",
            )
        lasts = written(interval * int(given.get("iterations") or 1))
        return [{"match": exact, "for": lasts}] if exact else []
    if given.get("iterations"):
        return []
    weights = [int(each) for each in given.get("stepWeights") or ()]
    if not weights and (step := given.get("stepWeight")):
        weights = list(range(int(step), int(given.get("maxWeight") or 100) + 1, int(step)))
    first = [{"mirror": int(given.get("mirrorWeight") or 100), "for": stay}] if given.get("mirror") else []
    return [*first, *({"weight": weight, "for": stay} for weight in weights)]


def _gates(made: Converted, given: Body, kinds: Sequence[str]) -> list[dict[str, Any]]:
    """A pause for each webhook by which a person decided; a note for the others, once."""
    gates: list[dict[str, Any]] = []
    for hook in given.get("webhooks") or ():
        kind, place = str(hook.get("type", "")), f"spec.analysis.webhooks, {hook.get('name')}"
        if kind in kinds:
            made.note(place, "a person passes this pause with `modelrollout promote`.")
            gates.append({"pause": {}})
        elif kind not in _BY_HAND and kinds == ("confirm-rollout",):
            load = "the users' own requests are judged, so no load is made; it is left out."
            made.note(place, load if kind in _LOAD else f"{kind or 'it'} has no equal and is left out.")
    return gates


def _metrics(made: Converted, given: Body, spec: Body, documents: Sequence[Body]) -> str | None:
    """The address of Prometheus; a note for each metric that is not taken over."""
    address: str | None = spec.get("metricsServer")
    for metric in given.get("metrics") or ():
        place = f"spec.analysis.metrics, {metric.get('name')}"
        reference = metric.get("templateRef") or {}
        template = found(documents, "MetricTemplate", str(reference.get("name"))) if reference else None
        provider = (template or {}).get("spec", {}).get("provider", {})
        if provider.get("type") == "prometheus":
            address = address or provider.get("address")
        if metric.get("name") in _SLO and "istio" in made.spec["traffic"]:
            continue
        made.note(
            place,
            "a number against a constant; here the canary is compared with the control, by the default "
            "metrics until you write its counters as a ratio or a histogram, with $arm and a slo.",
        )
    return address


_SLO = ("request-success-rate", "request-duration")


def _built_in(made: Converted, given: Body) -> list[dict[str, Any]]:
    """Flagger's own two metrics, where Istio counts them here too."""
    taken: list[dict[str, Any]] = []
    for metric in given.get("metrics") or ():
        limits = metric.get("thresholdRange") or {}
        if metric.get("name") == "request-success-rate":
            least = float(limits.get("min", metric.get("threshold", 99)))
            taken.append({"use": "istio/success-rate", "slo": f"{max(1 - least / 100, 0.0001):.4g}"})
        elif metric.get("name") == "request-duration":
            most = limits.get("max", metric.get("threshold", 500))
            made.note(
                "spec.analysis.metrics, request-duration",
                f"the canary is compared with the control. To keep the limit of {most} ms, write a ratio of "
                "its buckets with a slo, as docs/verdicts.md has it under Absolute limits.",
            )
            taken.append({"use": "istio/request-duration"})
    return taken
