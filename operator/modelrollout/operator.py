"""kopf's handlers, and nothing else: they fill the cache, wake the loop, and start and end its daemons.

kopf lists and watches, keeps the finalizer and runs one task per resource. It decides nothing and
stores nothing. There is no create, update or delete handler: those remember the last spec in an
annotation and act on edges, while the loop acts on what is.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import kopf

from modelrollout.engine.keys import API_VERSION, FINALIZER, RESOURCE, RolloutKey
from modelrollout.engine.loop import Loop
from modelrollout.traffic.router import Ref

CHILDREN = (
    ("apps/v1", "deployments"),
    ("v1", "pods"),
    ("v1", "services"),
    ("v1", "configmaps"),
    ("discovery.k8s.io/v1", "endpointslices"),
    ("gateway.networking.k8s.io/v1", "httproutes"),
    ("gateway.networking.k8s.io/v1", "grpcroutes"),
    ("networking.istio.io/v1", "virtualservices"),
    ("networking.istio.io/v1", "destinationrules"),
)
"""What a rollout's state depends on. Kinds that are not installed are watched from when they are."""

OWN_BY_LABEL = ("deployments", "pods", "endpointslices")
"""Kinds of which only our children matter: the API server sends us no others."""


class Patiently:
    """Retry pauses without end: an API server that is down is waited for, however long."""

    def __iter__(self) -> Iterator[float]:
        yield from (0.5, 1, 1, 2, 3)
        while True:
            yield 5.0


def settings(owner_label: str, *, clusterwide: bool) -> kopf.OperatorSettings:
    it = kopf.OperatorSettings()
    # Who serves some namespaces need not be let list them all, nor the CRDs: a kind that is installed
    # later is then found at the next start.
    it.scanning.disabled = not clusterwide
    it.persistence.finalizer = FINALIZER
    it.posting.enabled = False
    it.watching.server_timeout = 300
    it.watching.client_timeout = 330
    it.networking.request_timeout = 30
    it.networking.error_backoffs = Patiently()
    it.background.instant_exit_timeout = 1.0
    it.background.cancellation_polling = 1.0
    for api_version, resource in CHILDREN:
        if resource in OWN_BY_LABEL:
            group, _, version = api_version.rpartition("/")
            it.watching.label_selectors[group, version, resource] = owner_label
    it.watching.field_selectors["", "v1", "configmaps"] = "metadata.name!=kube-root-ca.crt"
    return it


def handlers(loop: Loop) -> kopf.OperatorRegistry:
    """A registry of its own, so that two operators (in tests) never share handlers."""
    registry = kopf.OperatorRegistry()
    group, _, version = API_VERSION.rpartition("/")
    rollouts = (group, version, RESOURCE)

    @kopf.on.login(registry=registry)
    async def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    @kopf.index(*rollouts, id="rollout", registry=registry)
    async def index_rollout(namespace: str | None, name: str, body: kopf.Body, **_: Any) -> None:
        loop.see(RolloutKey(namespace or "", name).ref, namespace or "", dict(body))

    @kopf.on.event(*rollouts, id="rollout", registry=registry)
    async def on_rollout(
        namespace: str | None, name: str, type: str | None, body: kopf.Body, **_: Any
    ) -> None:
        at = RolloutKey(namespace or "", name)
        if type == "DELETED":
            loop.forget_rollout(at)
        elif "deletionTimestamp" in body["metadata"]:
            # kopf ends the daemon and takes the finalizer off only after this has returned.
            await loop.hand_back(at)
        else:
            loop.wake(at)

    @kopf.daemon(*rollouts, id="drive", registry=registry, cancellation_backoff=2, cancellation_timeout=5)
    async def drive(namespace: str | None, name: str, stopped: kopf.DaemonStopped, **_: Any) -> None:
        await loop.drive(RolloutKey(namespace or "", name), stopped)

    for api_version, resource in CHILDREN:
        _watch(registry, loop, api_version, resource)
    return registry


def _watch(registry: kopf.OperatorRegistry, loop: Loop, api_version: str, resource: str) -> None:
    group, _, _version = api_version.rpartition("/")
    kind = (group, resource) if group else (resource,)
    ref = functools.partial(Ref, api_version, resource)

    @kopf.index(*kind, id=f"index-{resource}", registry=registry)
    async def index_child(namespace: str | None, name: str, body: kopf.Body, **_: Any) -> None:
        loop.see(ref(name), namespace or "", dict(body))

    @kopf.on.event(*kind, id=f"event-{resource}", registry=registry)
    async def on_child(namespace: str | None, name: str, type: str | None, body: kopf.Body, **_: Any) -> None:
        loop.changed(ref(name), namespace or "", dict(body), gone=type == "DELETED")
