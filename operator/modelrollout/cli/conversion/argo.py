"""An Argo Rollout, with the AnalysisTemplates that it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from modelrollout.cli.conversion.converted import Body, Converted, Unconvertible, Wishes, begun, found
from modelrollout.cli.conversion.plan import seconds_of, tidied, written
from modelrollout.cli.conversion.pods import take_pods

API = "argoproj.io/"
KIND = "Rollout"
GATEWAY_PLUGIN = "argoproj-labs/gatewayAPI"
_SPEC = (
    *("replicas", "selector", "template", "workloadRef", "strategy", "progressDeadlineSeconds"),
    *("revisionHistoryLimit", "minReadySeconds", "progressDeadlineAbort"),
)
_CANARY = ("steps", "analysis", "stableService", "canaryService", "trafficRouting", "scaleDownDelaySeconds")
_BLUE_GREEN = (
    *("activeService", "previewService", "autoPromotionEnabled", "autoPromotionSeconds"),
    *("scaleDownDelaySeconds", "prePromotionAnalysis", "postPromotionAnalysis"),
)


def convert(body: Body, documents: Sequence[Body], wishes: Wishes) -> Converted:
    """Raises Unconvertible."""
    made, spec = begun(body), body.get("spec") or {}
    made.spec["replicas"] = spec.get("replicas", 1)
    take_pods(made, _template(spec, documents), "spec.template", wishes)
    if limit := spec.get("progressDeadlineSeconds"):
        made.spec["runtime"]["startupDeadline"] = written(int(limit))
    strategy = spec.get("strategy") or {}
    if "blueGreen" in strategy:
        _blue_green(made, strategy["blueGreen"] or {})
    elif "canary" in strategy:
        _canary(made, strategy["canary"] or {}, documents, wishes)
    else:
        raise Unconvertible("spec.strategy: it is neither canary nor blueGreen.")
    made.no_equal("spec", spec, _SPEC)
    return made


def _template(spec: Body, documents: Sequence[Body]) -> Body:
    if "workloadRef" not in spec:
        template: Body = spec.get("template") or {}
        return template
    name = str((spec["workloadRef"] or {}).get("name"))
    deployment = found(documents, "Deployment", name)
    if deployment is None:
        raise Unconvertible(f"spec.workloadRef: Deployment {name} is not in the files; give it with -f too.")
    referred: Body = deployment["spec"]["template"]
    return referred


def _blue_green(made: Converted, given: Body) -> None:
    place = "spec.strategy.blueGreen"
    made.spec["traffic"] = {"service": given.get("activeService") or made.name}
    plan: dict[str, Any] = {}
    if given.get("previewService"):
        plan["preview"] = given["previewService"]
    if given.get("autoPromotionEnabled") is False:
        plan["steps"] = [{"pause": {}}]
    elif given.get("autoPromotionSeconds"):
        plan["warmFor"] = written(int(given["autoPromotionSeconds"]))
    if given.get("scaleDownDelaySeconds") is not None:
        made.spec["rollbackWindow"] = written(int(given["scaleDownDelaySeconds"]))
    made.spec["strategy"] = {"blueGreen": plan}
    for name in ("prePromotionAnalysis", "postPromotionAnalysis"):
        if name in given:
            made.note(
                f"{place}.{name}", "has no equal in blueGreen without a route; evaluations judge answers."
            )
    made.no_equal(place, given, _BLUE_GREEN)


def _canary(made: Converted, given: Body, documents: Sequence[Body], wishes: Wishes) -> None:
    place = "spec.strategy.canary"
    service = given.get("stableService")
    made.spec["traffic"] = {"service": service or made.name}
    if not service:
        text = f"is not given, so the Service is taken to be {made.name}; write the one that clients call."
        made.note(f"{place}.stableService", text)
    if given.get("canaryService"):
        own = f"{made.spec['traffic']['service']}-canary"
        made.note(f"{place}.canaryService", f"the operator makes {own} itself; this one is needed no longer.")
    made.spec["traffic"] |= _route(made, given.get("trafficRouting") or {}, f"{place}.trafficRouting")
    steps = list(_steps(made, given.get("steps") or (), f"{place}.steps"))
    analyses = [given["analysis"]] if given.get("analysis") else []
    analyses += [step["analysis"] for step in given.get("steps") or () if step.get("analysis")]
    address = _metrics(made, analyses, documents, place) or wishes.prometheus
    if address:
        made.spec["analysis"] = {"prometheus": {"address": address.rstrip("/")}}
    elif analyses:
        text = (
            "nothing in it names a Prometheus, so nothing is judged yet: give --prometheus http://host:port."
        )
        made.note(f"{place}.analysis", text)
    plan = tidied(made, steps, f"{place}.steps", judged=address is not None)
    made.spec["strategy"] = {"canary": {"steps": plan or [{"weight": 100}]}}
    if given.get("scaleDownDelaySeconds") is not None:
        made.spec["rollbackWindow"] = written(int(given["scaleDownDelaySeconds"]))
    made.no_equal(place, given, _CANARY)


def _route(made: Converted, given: Body, place: str) -> dict[str, Any]:
    """The part of spec.traffic that names the route. Routers that have no equal become notes."""
    traffic: dict[str, Any] = {}
    for name, value in given.items():
        if name == "istio" and value.get("virtualService"):
            service = value["virtualService"]
            routes = service.get("routes") or [made.name]
            traffic["istio"] = {"virtualService": service["name"], "route": routes[0]}
            if "destinationRule" in value:
                traffic["istio"]["destinationRule"] = value["destinationRule"]["name"]
                made.note(f"{place}.istio.destinationRule", "its subsets are to be called stable and canary.")
            if len(routes) > 1 or not service.get("routes"):
                made.note(f"{place}.istio.virtualService", f"one named route is split: {routes[0]}.")
        elif name == "plugins" and GATEWAY_PLUGIN in value:
            traffic["gateway"] = _gateway(made, value[GATEWAY_PLUGIN], f"{place}.plugins")
        elif name not in ("managedRoutes",):
            text = "this router has no equal; the Service splits by pod counts until you name a route."
            made.note(f"{place}.{name}", text)
    return traffic


def _gateway(made: Converted, given: Body, place: str) -> dict[str, Any]:
    many = given.get("httpRoutes") or given.get("grpcRoutes") or [{}]
    route = given.get("httpRoute") or given.get("grpcRoute") or many[0].get("name") or made.name
    kind = "grpcRoute" if "grpcRoute" in given or "grpcRoutes" in given else "httpRoute"
    made.note(place, f"one named rule is split: give it the name {made.name} in the route {route}.")
    return {kind: route, "rule": made.name}


# ── the plan and what judges it ─────────────────────────────────────────────────────────────────────


def _steps(made: Converted, given: Sequence[Body], place: str) -> Iterator[dict[str, Any]]:
    """A weight and the pause behind it are one step here."""
    last: dict[str, Any] | None = None
    for index, step in enumerate(given):
        where = f"{place}[{index}]"
        ours = _step(made, step, where)
        if last is not None and ours is not None and (stay := _stay(ours)) and "weight" in last:
            yield last | {"for": stay}
            last = None
            continue
        if last is not None:
            yield last
        last = ours
    if last is not None:
        yield last


def _stay(step: Body) -> str | None:
    return (step.get("pause") or {}).get("duration") if "pause" in step else None


def _step(made: Converted, step: Body, where: str) -> dict[str, Any] | None:
    match step:
        case {"setWeight": 0}:
            made.note(where, "a step without users is left out: pods come before traffic anyway.")
            return None
        case {"setWeight": int(weight)}:
            return {"weight": weight}
        case {"pause": pause}:
            lasts = (pause or {}).get("duration")
            stay = seconds_of(lasts) if lasts is not None else None
            return {"pause": {"duration": written(stay)} if stay else {}}
        case {"setMirrorRoute": {"percentage": int(share)}} if share:
            return {"mirror": share}
        case {"setHeaderRoute": {"match": [*matches]}} if matches:
            return _match(made, matches, where)
        case {"analysis": _}:
            made.note(
                where, "every step is judged here, by all metrics together; a step of its own is not needed."
            )
        case _:
            made.note(f"{where}.{next(iter(step), '')}", "has no equal and is left out.")
    return None


def _match(made: Converted, matches: Sequence[Body], where: str) -> dict[str, Any] | None:
    exact = [
        {"header": each["headerName"], "value": each["headerValue"]["exact"]}
        for each in matches
        if "exact" in (each.get("headerValue") or {})
    ]
    if len(exact) < len(matches):
        made.note(f"{where}.setHeaderRoute", "only exact values can be matched; the others are left out.")
    return {"match": exact} if exact else None


def _metrics(made: Converted, analyses: Sequence[Body], documents: Sequence[Body], place: str) -> str | None:
    """The address of Prometheus in the templates; each metric becomes a note on what judges instead."""
    address: str | None = None
    named = [each for analysis in analyses for each in analysis.get("templates") or ()]
    for name in dict.fromkeys(
        str(each.get("templateName") or each.get("clusterTemplateName")) for each in named
    ):
        template = found(documents, "AnalysisTemplate", name) or found(
            documents, "ClusterAnalysisTemplate", name
        )
        if template is None:
            made.note(
                f"{place}.analysis", f"the template {name} is not in the files, so its metrics are not known."
            )
            continue
        for metric in template["spec"].get("metrics") or ():
            prometheus: Mapping[str, Any] = (metric.get("provider") or {}).get("prometheus") or {}
            address = address or prometheus.get("address")
            made.note(f"AnalysisTemplate {name}, metric {metric.get('name')}", _instead(metric, prometheus))
    return address


def _instead(metric: Body, prometheus: Body) -> str:
    if not prometheus:
        provider = next(iter(metric.get("provider") or {}), "its provider")
        return f"{provider} has no equal and is left out; a check of answers can be an evaluation."
    rule = metric.get("successCondition") or metric.get("failureCondition") or "no condition"
    return (
        f"`{rule}` compares one number with a constant. Here the canary is compared with the control; the "
        "default metrics do it meanwhile. To keep this one, write its two counters as a ratio, or its "
        "buckets as a histogram, with $arm where the labels of one arm belong, and its limit as slo."
    )
