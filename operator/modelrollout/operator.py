"""kopf's handlers, and nothing else: they keep the cache fresh, and start and end the loop's daemons.

kopf lists and watches, keeps the finalizer and runs one task per resource. It decides nothing and
stores nothing. There is no create, update or delete handler: those remember the last spec in an
annotation and act on edges, while the loop acts on what is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import aiohttp
import kopf

from modelrollout.api.names import API_VERSION, FINALIZER, RESOURCE, RolloutKey
from modelrollout.api.objects import CONFIG_MAP, Ref, group_of, named
from modelrollout.cluster.kinds import LABELS, children
from modelrollout.cluster.watching import WatchSession
from modelrollout.engine.loop import Loop


class Patiently:
    """Retry pauses without end: an API server that is down is waited for, however long."""

    def __iter__(self) -> Iterator[float]:
        yield from (0.5, 1, 1, 2, 3)
        while True:
            yield 5.0


class NoDiffs(kopf.DiffBaseStorage):
    """No handler of ours asks what has changed; so no object is copied, at each event, to find that out."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        pass


def settings(*, clusterwide: bool) -> kopf.OperatorSettings:
    chosen = kopf.OperatorSettings()
    # An operator for some namespaces may lack the right to list them all, and the CRDs: a kind that is
    # installed later is then found at the next start.
    chosen.scanning.disabled = not clusterwide
    chosen.persistence.finalizer = FINALIZER
    chosen.persistence.diffbase_storage = NoDiffs()
    chosen.posting.enabled = False
    chosen.watching.server_timeout = 300
    chosen.watching.client_timeout = 330
    chosen.networking.request_timeout = 30
    chosen.networking.error_backoffs = Patiently()
    chosen.background.instant_exit_timeout = 1.0
    chosen.background.cancellation_polling = 1.0
    for kind, label in LABELS.items():
        group, _, version = kind.api_version.rpartition("/")
        chosen.watching.label_selectors[group, version, kind.resource] = label
    chosen.watching.field_selectors["", CONFIG_MAP.api_version, CONFIG_MAP.resource] = (
        "metadata.name!=kube-root-ca.crt"
    )
    return chosen


def handlers(loop: Loop) -> kopf.OperatorRegistry:
    """A registry of its own, so that two operators (in tests) never share handlers."""
    registry = kopf.OperatorRegistry()
    group, _, version = API_VERSION.rpartition("/")
    rollouts = (group, version, RESOURCE)

    @kopf.on.login(registry=registry)
    async def login(**kwargs: Any) -> kopf.AiohttpSession | None:
        found = kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)
        return _patient(found) if found is not None else None

    @kopf.on.event(*rollouts, id="rollout", registry=registry)
    async def on_rollout(
        namespace: str | None, name: str, type: str | None, body: kopf.Body, **_: Any
    ) -> None:
        key = RolloutKey(namespace or "", name)
        if type == "DELETED":
            loop.forget_rollout(key)
            return
        loop.see(key.ref, key.namespace, dict(body))
        if "deletionTimestamp" in body["metadata"]:
            # kopf ends the daemon and takes the finalizer off only after this has returned.
            await loop.hand_back(key)

    @kopf.daemon(*rollouts, id="drive", registry=registry, cancellation_backoff=2, cancellation_timeout=5)
    async def drive(namespace: str | None, name: str, stopped: kopf.DaemonStopped, **_: Any) -> None:
        await loop.drive(RolloutKey(namespace or "", name), stopped)

    for kind in children():
        _watch(registry, loop, kind)
    return registry


def _patient(found: kopf.ConnectionInfo) -> kopf.AiohttpSession:
    """The connection that was found, on which HTTP errors are waited out."""
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=found.as_ssl_context()),
        headers=found.as_http_headers(),
        proxy=found.proxy_url,
        trust_env=found.trust_env,
    )
    return kopf.AiohttpSession(
        server=found.server,
        default_namespace=found.default_namespace,
        expiration=found.expiration,
        aiohttp_session=WatchSession(session),  # type: ignore[arg-type]
    )


def _watch(registry: kopf.OperatorRegistry, loop: Loop, kind: Ref) -> None:
    # whatever version of the kind the cluster prefers: it is the same objects
    group = group_of(kind.api_version)

    @kopf.on.event(*filter(None, (group, kind.resource)), id=kind.resource, registry=registry)
    async def on_child(namespace: str | None, name: str, type: str | None, body: kopf.Body, **_: Any) -> None:
        tell = loop.gone if type == "DELETED" else loop.see
        tell(named(kind, name), namespace or "", dict(body))
