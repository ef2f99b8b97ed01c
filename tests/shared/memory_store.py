"""What an API server in memory stores: objects by kind and name, with versions, and watchers of changes."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable, Iterator

from modelrollout.api import objects
from modelrollout.api.names import API_VERSION, KIND, RESOURCE
from modelrollout.api.objects import Body, Ref
from tests.shared.field_owners import Owned, entry_of
from tests.shared.patching import wire

Key = tuple[str, str, str, str]
"""apiVersion, resource, namespace, name."""


KINDS: dict[tuple[str, str], str] = {
    ("v1", "configmaps"): "ConfigMap",
    ("v1", "endpoints"): "Endpoints",
    ("v1", "events"): "Event",
    ("v1", "pods"): "Pod",
    ("v1", "secrets"): "Secret",
    ("v1", "services"): "Service",
    ("batch/v1", "jobs"): "Job",
    ("apps/v1", "controllerrevisions"): "ControllerRevision",
    ("apps/v1", "deployments"): "Deployment",
    ("coordination.k8s.io/v1", "leases"): "Lease",
    ("discovery.k8s.io/v1", "endpointslices"): "EndpointSlice",
    (objects.GATEWAY_API, "gatewayclasses"): "GatewayClass",
    (objects.GATEWAY_API, "gateways"): "Gateway",
    (objects.GATEWAY_API, "grpcroutes"): "GRPCRoute",
    (objects.GATEWAY_API, "httproutes"): "HTTPRoute",
    (objects.ISTIO_API, "destinationrules"): "DestinationRule",
    (objects.ISTIO_API, "virtualservices"): "VirtualService",
    (API_VERSION, RESOURCE): KIND,
}
WITHOUT_STATUS = {
    "configmaps",
    "endpoints",
    "events",
    "secrets",
    "controllerrevisions",
    "leases",
    "endpointslices",
}
WITHOUT_GENERATION = WITHOUT_STATUS | {"pods", "services"}

Watcher = Callable[[str, Ref, str, Body], None]
"""ADDED, MODIFIED or DELETED; the object's name and namespace; the object."""


class Store:
    """What is stored, and the watchers of it."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self.now = now
        self.objects: dict[Key, Body] = {}
        self.owned: dict[Key, list[Owned]] = {}
        self.watchers: list[Watcher] = []
        self._versions = itertools.count(100)

    def moment(self) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.now()))

    def of_kind(self, kind: Ref, namespace: str | None = None) -> Iterator[Body]:
        """All objects of a kind, by name. What is stored is never changed in place."""
        for key in sorted(self.objects):
            if key[:2] == (kind.api_version, kind.resource) and namespace in {None, key[2]}:
                yield self.objects[key]

    def put(self, key: Key, body: Body) -> Body:
        """Store it as a new version, unless it says what is there already."""
        before = self.objects.get(key)
        if before is not None and before == body:
            return before
        body["metadata"]["resourceVersion"] = str(next(self._versions))
        body["metadata"]["managedFields"] = [entry_of(owned) for owned in self.owned.get(key, [])]
        ended = "deletionTimestamp" in body["metadata"] and not body["metadata"].get("finalizers")
        if ended:
            self.objects.pop(key, None)
            self.owned.pop(key, None)
        else:
            self.objects[key] = body
        self._tell("DELETED" if ended else "MODIFIED" if before is not None else "ADDED", key, body)
        return body

    def remove(self, key: Key) -> None:
        body = self.objects.pop(key)
        body = {**body, "metadata": {**body["metadata"]}}
        self.owned.pop(key, None)
        body["metadata"]["resourceVersion"] = str(next(self._versions))
        self._tell("DELETED", key, body)

    def _tell(self, what: str, key: Key, body: Body) -> None:
        for watcher in list(self.watchers):
            watcher(what, Ref(key[0], key[1], key[3]), key[2], body)


def key_of(ref: Ref, namespace: str | None) -> Key:
    where = namespace if ref.namespace is None else ref.namespace
    return ref.api_version, ref.resource, where or "", ref.name


def new(body: Body, key: Key, moment: str) -> Body:
    body = wire(body)
    if key[1] not in WITHOUT_STATUS:
        body.pop("status", None)
    given: Body = {"uid": str(uuid.uuid4()), "creationTimestamp": moment}
    if key[1] not in WITHOUT_GENERATION:
        given["generation"] = 1
    body["metadata"] = {**body["metadata"], **given} | ({"namespace": key[2]} if key[2] else {})
    return {"apiVersion": key[0], "kind": KINDS[key[0], key[1]], **body}
