"""The Services that a route splits between, made after the user's own Service."""

from __future__ import annotations

from typing import Any

from modelrollout.api.names import ROLE_LABEL, Role, role_service_name
from modelrollout.api.objects import SERVICE, Object, head, name_of
from modelrollout.api.problem import Problem
from modelrollout.serving import labels

COPIED_PORT_FIELDS = ("name", "protocol", "appProtocol", "port", "targetPort")
"""All but nodePort, which belongs to one Service only."""
COPIED_FIELDS = ("ipFamilies", "ipFamilyPolicy")


def role_service(
    rollout: Object,
    role: Role,
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
    own_name = name or role_service_name(name_of(user_service), role)
    return {
        **head(SERVICE),
        "metadata": labels.metadata(rollout, revision, own_name, **{ROLE_LABEL: role}),
        "spec": {
            "type": "ClusterIP",
            "selector": labels.identity(name_of(rollout), revision),
            "ports": ports,
            **{field: given[field] for field in COPIED_FIELDS if field in given},
        },
    }


def port_problem(user_service: Object, deployment: Object) -> Problem | None:
    """Why the Service cannot reach the pods: such a Service has no usable endpoint, for ever."""
    ports, reached = user_service["spec"].get("ports", []), _declared(deployment)
    if not ports or any(_target(port) in reached for port in ports):
        return None
    service = name_of(user_service)
    sent = ", ".join(f"{port['port']} to targetPort {_target(port)!r}" for port in ports)
    known = ", ".join(map(str, sorted(reached, key=lambda each: (isinstance(each, int), str(each)))))
    return Problem(
        "NoSuchTargetPort",
        f"Service {service} sends its port {sent}, and the model's pods have {known}. Set a targetPort to "
        "one of these, or runtime.port to the port that the Service names. Where a container listens on "
        "that port, add it to its ports in runtime.podTemplate.",
    )


def port_warning(user_service: Object, deployment: Object) -> Problem | None:
    """Ports of the Service that lead nowhere while another one leads to the pods.

    A number need not be declared by a container to be reached; a name must be.
    """
    reached = _declared(deployment)
    lost = [port for port in user_service["spec"].get("ports", []) if _target(port) not in reached]
    named = [port for port in lost if isinstance(_target(port), str)]
    if not named:
        return None
    service = name_of(user_service)
    sent = ", ".join(f"{port['port']} (targetPort {_target(port)})" for port in named)
    return Problem(
        "PortLeadsNowhere",
        f"No container of the model's pods has a port of the name that Service {service} asks for at "
        f"{sent}: clients of that port are refused.",
    )


def _declared(deployment: Object) -> frozenset[str | int]:
    """Names and numbers of the ports of all containers that run beside each other, sidecars included."""
    pod = deployment["spec"]["template"]["spec"]
    sidecars = [each for each in pod.get("initContainers", ()) if each.get("restartPolicy") == "Always"]
    ports = [port for container in (*pod["containers"], *sidecars) for port in container.get("ports", ())]
    names = [port["name"] for port in ports if "name" in port]
    return frozenset([*(port["containerPort"] for port in ports), *names])


def _target(port: Object) -> str | int:
    target: str | int = port.get("targetPort", port["port"])
    return target
