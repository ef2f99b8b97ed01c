"""Hosts as Istio writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def host_of(destination: Mapping[str, Any]) -> tuple[str, str | None]:
    """Service and namespace of `chat`, `chat.ml`, `chat.ml.svc` or `chat.ml.svc.cluster.local`.

    Without a namespace Istio takes that of the VirtualService. Other hosts give a Service of no name.
    """
    service, _, rest = destination.get("host", "").partition(".")
    namespace, _, domain = rest.partition(".")
    if domain and domain != "svc" and not domain.startswith("svc."):
        return "", None
    return service, namespace or None
