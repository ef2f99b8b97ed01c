"""What tenants may not write into a pod template, where the operator's administrator wants it so.

Whoever may create ModelRollouts makes the operator run pods, and may have no right to run any himself. The
policy `baseline` refuses what the Pod Security Standard of that name refuses, and besides what would lend
somebody else's rights or place: another service account, a node, a system priority.
https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from modelrollout.api.objects import APPARMOR

Policy = Literal["any", "baseline"]

CAPABILITIES = frozenset(
    {"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"}
    | {"SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"}
)
SELINUX_TYPES = frozenset({"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"})
SYSCTLS = frozenset(
    {"kernel.shm_rmid_forced"}
    | {f"net.ipv4.{name}" for name in ("ip_local_port_range", "ip_unprivileged_port_start", "tcp_syncookies")}
    | {f"net.ipv4.{name}" for name in ("ping_group_range", "ip_local_reserved_ports", "tcp_fin_timeout")}
    | {f"net.ipv4.tcp_keepalive_{name}" for name in ("time", "intvl", "probes")}
)
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def violations(template: Mapping[str, Any]) -> Iterator[str]:
    """What of the pod template the policy `baseline` refuses, each as field and value."""
    pod = _map(template.get("spec"))
    yield from _borrowed(pod)
    yield from (
        f"hostPath volume {each.get('name')}" for each in _maps(pod.get("volumes")) if "hostPath" in each
    )
    context = _map(pod.get("securityContext"))
    yield from (
        f"sysctl {s.get('name')}" for s in _maps(context.get("sysctls")) if s.get("name") not in SYSCTLS
    )
    yield from _context(context, "the pod")
    annotations = _map(_map(template.get("metadata")).get("annotations"))
    for name, value in annotations.items():
        if name.startswith(APPARMOR) and value == "unconfined":
            yield f"annotation {name}"
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for container in _maps(pod.get(field)):
            yield from _container(container)


def _borrowed(pod: Mapping[str, Any]) -> Iterator[str]:
    """The host's namespaces, and somebody else's rights or place."""
    yield from (field for field in ("hostNetwork", "hostPID", "hostIPC") if pod.get(field))
    for field in ("nodeName", "serviceAccountName", "serviceAccount"):
        if pod.get(field) and pod[field] != "default":
            yield f"{field} {pod[field]}"
    if str(pod.get("priorityClassName") or "").startswith("system-"):
        yield f"priorityClassName {pod['priorityClassName']}"


def _container(container: Mapping[str, Any]) -> Iterator[str]:
    name = f"container {container.get('name')}"
    context = _map(container.get("securityContext"))
    yield from _context(context, name)
    if context.get("privileged"):
        yield f"{name} privileged"
    for capability in _list(_map(context.get("capabilities")).get("add")):
        if str(capability).upper().removeprefix("CAP_") not in CAPABILITIES:
            yield f"{name} with capability {capability}"
    if context.get("procMount") not in (None, "", "Default"):
        yield f"{name} with procMount {context['procMount']}"
    for port in _maps(container.get("ports")):
        if port.get("hostPort"):
            yield f"{name} with hostPort {port['hostPort']}"
    handlers = [_map(container.get(probe)) for probe in PROBES]
    handlers += [_map(_map(container.get("lifecycle")).get(hook)) for hook in ("postStart", "preStop")]
    for handler in handlers:
        for kind in ("httpGet", "tcpSocket"):
            if _map(handler.get(kind)).get("host"):
                yield f"{name} with a probe or hook of host {_map(handler.get(kind))['host']}"


def _context(context: Mapping[str, Any], whose: str) -> Iterator[str]:
    """What a security context of a pod or of a container loosens."""
    for field in ("seccompProfile", "appArmorProfile"):
        if _map(context.get(field)).get("type") == "Unconfined":
            yield f"{field} Unconfined of {whose}"
    if _map(context.get("windowsOptions")).get("hostProcess"):
        yield f"hostProcess of {whose}"
    linux = _map(context.get("seLinuxOptions"))
    if str(linux.get("type") or "") not in SELINUX_TYPES or linux.get("user") or linux.get("role"):
        yield f"seLinuxOptions of {whose}"


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _maps(value: Any) -> list[Mapping[str, Any]]:
    return [_map(each) for each in _list(value)]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
