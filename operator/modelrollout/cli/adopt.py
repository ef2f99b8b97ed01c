"""`modelrollout adopt`: the ModelRollout for a Deployment that serves already, with Service and route."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from modelrollout.api.objects import DEPLOYMENT, SERVICE, Object, Ref, name_of, named
from modelrollout.cli.conversion.converted import Converted, Unconvertible, Wishes, begun
from modelrollout.cli.conversion.plan import DEFAULT, tidied
from modelrollout.cli.conversion.pods import take_pods
from modelrollout.cli.convert import print_all
from modelrollout.cli.lint import findings
from modelrollout.cli.reach import Absent, Reached, add_flags, reached, run
from modelrollout.traffic.registry import kinds


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="modelrollout adopt",
        description="Print a ModelRollout that serves what a Deployment serves now, behind the same Service "
        "and the same route. It changes nothing in the cluster; notes on stderr say what to do. Exit code 0: "
        "printed, 1: no ModelRollout can be made of it, 2: it could not be asked for.",
    )
    made.add_argument("what", metavar="deployment/NAME", help="the Deployment that serves the model")
    made.add_argument(
        "--model", metavar="URI", help="the model, where the arguments do not name it: hf://org/name"
    )
    made.add_argument("--prometheus", metavar="URL", help="the Prometheus that judges a new revision")
    made.add_argument("-o", "--output", choices=["yaml", "json"], default="yaml", help="default: %(default)s")
    add_flags(made)
    return made


def main(argv: Sequence[str]) -> int:
    options = parser().parse_args(argv)
    return run("adopt", lambda: _adopt(options))


async def _adopt(options: argparse.Namespace) -> int:
    kind, _, name = options.what.rpartition("/")
    if kind not in ("deployment", "deployments", "deploy", "deployment.apps"):
        raise Absent(f"{options.what} is no Deployment: write deployment/NAME.")
    async with reached(options) as place:
        deployment = await place.cluster.get(named(DEPLOYMENT, name), place.namespace)
        if deployment is None:
            raise Absent(f"There is no Deployment {name} in the namespace {place.namespace}.")
        services = await place.cluster.list(SERVICE, place.namespace)
        routes = await _routes(place)
    try:
        made = adopted(deployment, services, routes, Wishes(options.model, None, options.prometheus))
    except Unconvertible as error:
        print(f"modelrollout adopt: {error}", file=sys.stderr)
        return 1
    for note in made.notes:
        print(note, file=sys.stderr)
    wrong = [each for each in findings("", made.manifest) if each.level != "advice"]
    for each in wrong:
        print(f"{each.level}: {each.message}", file=sys.stderr)
    print_all([made.manifest], options.output)
    return int(bool(wrong))


async def _routes(place: Reached) -> list[Object]:
    """Routes of every kind that the operator can split; a kind that is not installed has none."""
    found: list[Object] = []
    for kind in kinds():
        if kind.resource in _ROUTES:
            found += await place.cluster.list(Ref(kind.api_version, kind.resource, ""), place.namespace)
    return found


_ROUTES = {"httproutes": "httpRoute", "grpcroutes": "grpcRoute", "virtualservices": "virtualService"}
_KINDS = {"HTTPRoute": "httpRoute", "GRPCRoute": "grpcRoute", "VirtualService": "virtualService"}


def adopted(
    deployment: Object, services: Sequence[Object], routes: Sequence[Object], wishes: Wishes
) -> Converted:
    """Raises Unconvertible."""
    made = begun(deployment)
    template = deployment["spec"]["template"]
    made.spec["replicas"] = deployment["spec"].get("replicas") or 1
    take_pods(made, template, "spec.template", wishes)
    service = _service(template, services)
    rule = _rule(routes, service)
    made.spec["traffic"] = {"service": service, **rule}
    if not rule:
        made.note("traffic", "no named rule of a route leads to the Service; it splits by pod counts.")
    if wishes.prometheus:
        made.spec["analysis"] = {"prometheus": {"address": wishes.prometheus.rstrip("/")}}
    else:
        made.note("analysis", "nothing is judged without a Prometheus: give --prometheus URL.")
    plan = tidied(made, DEFAULT, "strategy", judged=bool(wishes.prometheus))
    made.spec["strategy"] = {"canary": {"steps": plan}}
    made.note(
        f"Deployment {name_of(deployment)}",
        f"it stays and its pods serve until the Service {service} leads to the first revision, which loads "
        "the model once beside it. Delete it when the phase is Stable.",
    )
    return made


def _service(template: Mapping[str, Any], services: Sequence[Object]) -> str:
    labels = (template.get("metadata") or {}).get("labels") or {}
    leading = [
        name_of(each)
        for each in services
        if (chosen := each["spec"].get("selector")) and chosen.items() <= labels.items()
    ]
    if len(leading) != 1:
        listed = ", ".join(sorted(leading)) or "none"
        raise Unconvertible(
            f"spec.template.metadata.labels: one Service that clients call was expected to select these pods "
            f"and found: {listed}."
        )
    return leading[0]


def _rule(routes: Sequence[Object], service: str) -> dict[str, Any]:
    """The part of spec.traffic for the one named rule that leads to the Service alone."""
    for route in routes:
        kind = _KINDS.get(str(route.get("kind")), "")
        for rule in route["spec"].get("rules") or route["spec"].get("http") or ():
            backends = rule.get("backendRefs") or [each["destination"] for each in rule.get("route") or ()]
            names = {
                str(each.get("name") or str(each.get("host", "")).partition(".")[0]) for each in backends
            }
            if names == {service} and rule.get("name"):
                if kind == "virtualService":
                    return {"istio": {kind: name_of(route), "route": rule["name"]}}
                return {"gateway": {kind: name_of(route), "rule": rule["name"]}}
    return {}
