"""Thin verbs over the official client: get, list, apply, patch, scale, delete, post an event.

Two lanes go to the API server, each with its own connections: the *urgent* one carries only the
traffic writes of an abort, revert or rollback, so that these never queue behind status writes,
Events or listings (held by `test_an_abort_does_not_wait_for_a_stuck_status_write`).
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Self

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from modelrollout import __version__
from modelrollout.api.names import FIELD_MANAGER
from modelrollout.api.objects import Body, Ref, kind_of
from modelrollout.cluster.errors import Missing, Unreachable, error_for
from modelrollout.cluster.port import Cluster

TIMEOUT = 5.0
"""Seconds for one request. With the Lease's 10 s renew deadline before it, no write of ours can land
after the 15 s at which another replica may lead."""
LIST_TIMEOUT = 30.0
PAGE = 500
"""Objects of a list that are in memory at a time."""
IDLE_CONNECTION = 75.0
"""Seconds. The API server closes idle connections after 90; a kept one saves an abort the TLS handshake."""

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

OnCall = Callable[[str, str, int, float], None]
"""Called with each request: verb, resource, status (0: no answer), seconds."""


def path(ref: Ref, namespace: str | None, subresource: str = "") -> str:
    """URL path of an object, or of the collection when `ref.name` is empty."""
    root = f"/apis/{ref.api_version}" if "/" in ref.api_version else f"/api/{ref.api_version}"
    parts = [root]
    if namespace:
        parts += ["namespaces", namespace]
    parts.append(ref.resource)
    parts += [part for part in (ref.name, subresource) if part]
    return "/".join(parts)


async def connection() -> Configuration:
    """How to reach the cluster this pod runs in, or else the one that KUBECONFIG names."""
    configuration = Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except config.ConfigException:
        await config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    return configuration


class ApiServer(Cluster):
    """The API server as one identity. Use as an async context manager, or `close` it."""

    def __init__(
        self,
        configuration: Configuration,
        *,
        on_call: OnCall | None = None,
        fence: Callable[[], None] | None = None,
        manager: str = FIELD_MANAGER,
    ) -> None:
        """`fence` is asked before each write and raises NotLeader when this process must not write. `manager`
        is the name that writes are sent under."""
        self._normal = _Lane(configuration, connections=64)
        self._urgent = _Lane(configuration, connections=64)
        self._on_call = on_call
        self.fence = fence
        self._manager = manager

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._normal.close()
        await self._urgent.close()

    # ── reading ─────────────────────────────────────────────────────────────────────────────────

    async def get(self, ref: Ref, namespace: str | None) -> Body | None:
        """The object, or None when it (or its kind) does not exist."""
        try:
            return await self._call("GET", ref, namespace)
        except Missing:
            return None

    async def each(
        self, ref: Ref, namespace: str | None, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Body]:
        """Objects of `ref`'s kind with these labels and fields (selector texts), a page at a time; none when
        the kind does not exist. A namespace of None means all."""
        selectors = {"labelSelector": labels, "fieldSelector": fields}
        query = {"limit": str(PAGE)} | {name: text for name, text in selectors.items() if text}
        while True:
            try:
                found = await self._call("GET", kind_of(ref), namespace, query=query, timeout=LIST_TIMEOUT)
            except Missing:
                return
            kind = str(found.get("kind", "")).removesuffix("List")
            for item in found.get("items", []):
                yield {"apiVersion": ref.api_version, "kind": kind, **item}
            if not (token := found["metadata"].get("continue")):
                return
            query["continue"] = token

    async def list(self, ref: Ref, namespace: str | None, labels: str = "", fields: str = "") -> list[Body]:
        """The same at once."""
        return [body async for body in self.each(ref, namespace, labels, fields)]

    async def log(self, ref: Ref, namespace: str, container: str, *, lines: int, most_bytes: int) -> str:
        """The last lines that a pod's container has written, cut after so many bytes."""
        query = {"container": container, "tailLines": str(lines), "limitBytes": str(most_bytes)}
        data = await self._send("GET", ref, namespace, query=query, subresource="log")
        return data.decode(errors="replace")

    # ── writing our own objects ─────────────────────────────────────────────────────────────────

    async def create(self, ref: Ref, namespace: str | None, body: Mapping[str, Any]) -> Body:
        return await self._write(
            "POST", kind_of(ref), namespace, body=body, query={"fieldManager": self._manager}
        )

    async def replace(self, ref: Ref, namespace: str | None, body: Mapping[str, Any]) -> Body:
        """PUT: the body's resourceVersion is the precondition."""
        return await self._write("PUT", ref, namespace, body=body)

    async def apply(self, ref: Ref, namespace: str, body: Mapping[str, Any]) -> Body:
        """Server-side apply of an object that is ours alone; forced, so that drift in it goes away."""
        query = {"fieldManager": self._manager, "force": "true"}
        return await self._write("PATCH", ref, namespace, body=body, content=APPLY_PATCH, query=query)

    async def scale(self, ref: Ref, namespace: str, replicas: int) -> Body:
        """Set spec.replicas and nothing else.

        By merge patch of the object and not of its scale subresource: the answer is the whole
        object, which saves the read that would follow.
        """
        return await self.merge(ref, namespace, {"spec": {"replicas": replicas}})

    async def merge(self, ref: Ref, namespace: str, body: Mapping[str, Any]) -> Body:
        """Set these fields and no other, whatever the rest of the object is by now."""
        query = {"fieldManager": self._manager}
        return await self._write("PATCH", ref, namespace, body=body, content=MERGE_PATCH, query=query)

    async def delete(self, ref: Ref, namespace: str) -> None:
        """Delete with its dependents; an object that is gone already is as good as deleted."""
        body = {"propagationPolicy": "Background"}
        try:
            await self._write("DELETE", ref, namespace, body=body)
        except Missing:
            return

    # ── writing what others own too ─────────────────────────────────────────────────────────────

    async def patch_json(
        self,
        ref: Ref,
        namespace: str,
        operations: Sequence[Mapping[str, Any]],
        *,
        urgent: bool = False,
        subresource: str = "",
    ) -> Body:
        """A JSON patch whose `test` operations are the precondition.

        Raises:
            Conflict: a test failed, so somebody wrote after we read.
        """
        return await self._write(
            "PATCH",
            ref,
            namespace,
            body=list(operations),
            content=JSON_PATCH,
            query={"fieldManager": self._manager},
            subresource=subresource,
            urgent=urgent,
        )

    async def patch_status(
        self, ref: Ref, namespace: str, resource_version: str, status: Mapping[str, Any]
    ) -> Body:
        """Replace the whole status, if the object is still the one that was read.

        A JSON patch rather than a merge patch: fields that status no longer has go away without
        spelling out each as null.
        """
        operations: list[dict[str, Any]] = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": resource_version},
            {"op": "add", "path": "/status", "value": dict(status)},
        ]
        return await self.patch_json(ref, namespace, operations, subresource="status")

    # ── the wire ────────────────────────────────────────────────────────────────────────────────

    async def _write(self, verb: str, ref: Ref, namespace: str | None, **how: Any) -> Body:
        if self.fence is not None:
            self.fence()
        return await self._call(verb, ref, namespace, **how)

    async def _call(self, verb: str, ref: Ref, namespace: str | None, **how: Any) -> Body:
        data = await self._send(verb, ref, namespace, **how)
        return json.loads(data) if data else {}

    async def _send(
        self,
        verb: str,
        ref: Ref,
        namespace: str | None,
        *,
        body: Any = None,
        content: str = "application/json",
        query: Mapping[str, str] | None = None,
        subresource: str = "",
        urgent: bool = False,
        timeout: float = TIMEOUT,  # noqa: ASYNC109 - one timeout for the wire, not around our own waits
    ) -> bytes:
        if ref.namespace is not None:
            namespace = ref.namespace or None
        what = f"{verb.lower()} {ref.resource}{'/' + ref.name if ref.name else ''}"
        what += f"/{subresource}" if subresource == "log" else ""
        what += f" in {namespace}" if namespace else ""
        lane = self._urgent if urgent else self._normal
        started = time.monotonic()
        status = 0
        try:
            status, data = await lane.send(
                verb,
                path(ref, namespace, subresource),
                body,
                content=content,
                query=dict(query or {}),
                seconds=timeout,
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = str(error) or type(error).__name__
            raise Unreachable(
                f"No answer from the API server to {what} within {timeout:g} s: {why}"
            ) from error
        finally:
            if self._on_call is not None:
                self._on_call(verb.lower(), ref.resource, status, time.monotonic() - started)
        if not 200 <= status < 300:
            raise error_for(status, what, data)
        return data


class _Lane:
    """A connection pool of its own to the API server."""

    def __init__(self, configuration: Configuration, connections: int) -> None:
        self._client = ApiClient(configuration)
        self._client.user_agent = f"{FIELD_MANAGER}/{__version__}"
        self._connections = connections

    async def send(
        self,
        verb: str,
        resource_path: str,
        body: Any,
        *,
        content: str,
        query: dict[str, str],
        seconds: float,
    ) -> tuple[int, bytes]:
        rest = self._client.rest_client
        if rest.pool_manager is None:
            connector = aiohttp.TCPConnector(
                limit=self._connections, ssl=rest.ssl_context, keepalive_timeout=IDLE_CONNECTION
            )
            # Not trust_env: aiohttp would read ~/.netrc in a thread before each request. A proxy that the
            # kubeconfig names is in the configuration.
            rest.pool_manager = aiohttp.ClientSession(connector=connector)
        request = await self._client.param_serialize(
            verb,
            resource_path,
            query_params=list(query.items()),
            header_params={"Content-Type": content, "Accept": "application/json"},
            body=body,
            auth_settings=["BearerToken"],
        )
        # The generated client's own timeout is a number that aiohttp has deprecated, so it is set around it.
        async with asyncio.timeout(seconds):
            answer = await self._client.call_api(
                *request, _request_timeout=aiohttp.ClientTimeout(total=seconds)
            )
            return answer.status, await answer.read()  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        await self._client.close()  # type: ignore[no-untyped-call]
