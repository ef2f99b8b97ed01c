"""The Services that a route splits between, made after the user's own Service."""

from __future__ import annotations

from typing import Any

from modelrollout.serving import labels
from modelrollout.serving.labels import Object
from modelrollout.traffic.router import Problem

COPIED_PORT_FIELDS = ("name", "protocol", "appProtocol", "port", "targetPort")
"""All but nodePort, which belongs to one Service only."""
COPIED_FIELDS = ("ipFamilies", "ipFamilyPolicy")


def role_service(
    rollout: Object,
    role: labels.Role,
    revision: str,
    user_service: Object,
    name: str | None = None,
) -> dict[str, Any]:
    """The ClusterIP Service `<service>-<role>` with the user's ports, selecting one revision.

    Labels and annotations of the user's Service are not taken over: what scrapes or exposes that Service
    by its labels would count or expose these too.

    Args:
        name: instead of `<service>-<role>`, for a preview that the user named.
    """
    given = user_service["spec"]
    ports = [
        {field: port[field] for field in COPIED_PORT_FIELDS if field in port}
        for port in given.get("ports", [])
    ]
    own_name = name or labels.role_service_name(user_service["metadata"]["name"], role)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": labels.metadata(rollout, revision, own_name, **{labels.ROLE_LABEL: role}),
        "spec": {
            "type": "ClusterIP",
            "selector": labels.identity(rollout["metadata"]["name"], revision),
            "ports": ports,
            **{field: given[field] for field in COPIED_FIELDS if field in given},
        },
    }


def port_problem(user_service: Object, deployment: Object) -> Problem | None:
    """Why the Service's ports cannot reach the pods; such a Service has no usable endpoint, for ever."""
    pod = deployment["spec"]["template"]["spec"]
    ports = [port for container in pod["containers"] for port in container.get("ports", [])]
    names = sorted({port["name"] for port in ports if "name" in port})
    numbers = sorted({port["containerPort"] for port in ports})
    for port in user_service["spec"].get("ports", []):
        target = port.get("targetPort", port["port"])
        if target not in (names if isinstance(target, str) else numbers):
            service = user_service["metadata"]["name"]
            known = ", ".join([*names, *map(str, numbers)])
            return Problem(
                "NoSuchTargetPort",
                f"Service {service} sends its port {port['port']} to targetPort {target!r}, and the model's "
                f"pods have {known}. Set targetPort to one of these, or runtime.port to the port that the "
                "Service names.",
            )
    return None
