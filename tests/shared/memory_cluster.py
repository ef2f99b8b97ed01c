"""An API server in memory: the double of `modelrollout.cluster.client.ApiServer`.

It does what the operator relies on: resourceVersions that grow, JSON patches whose `test`s must hold, the
status as a subresource, generations, finalizers, server-side apply, and the record of the writer of each
field. `cluster_contract.py` holds it and the real API server to the same answers. It leaves out what no test
of the engine needs: validation, defaults, admission, quotas and lists merged by key (here each list is one
field).
"""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelrollout.api.names import FIELD_MANAGER
from modelrollout.api.objects import Body, Ref, kind_of, labels_of, named
from modelrollout.cluster.errors import error_for
from modelrollout.cluster.port import Cluster
from tests.shared.field_owners import GIVEN_BY_SERVER, Owned, no_longer_applied, own
from tests.shared.memory_store import KINDS, WITHOUT_STATUS, Key, Store, key_of, new
from tests.shared.patching import drop, merged, patched, wire


@dataclass(frozen=True)
class Request:
    """One request to the API server."""

    verb: str
    ref: Ref
    namespace: str | None
    body: Any = None
    urgent: bool = False
    subresource: str = ""

    @property
    def writes(self) -> bool:
        return self.verb not in {"get", "list", "log"}

    def __str__(self) -> str:
        name = f"{self.ref.resource}/{self.ref.name}" if self.ref.name else self.ref.resource
        return f"{self.verb} {name}{'/' + self.subresource if self.subresource else ''}"


Hook = Callable[[Request], Awaitable[None] | None]


@dataclass
class MemoryCluster(Cluster):
    """One client of the store, under one field manager."""

    store: Store = field(default_factory=Store)
    manager: str = FIELD_MANAGER
    requests: list[Request] = field(default_factory=list)
    before: Hook | None = None
    """Called before each request: it may wait, or raise what the API server would answer."""
    after: Hook | None = None
    """Called once a request was carried out: what it raises is raised instead of the answer."""

    def by(self, manager: str) -> MemoryCluster:
        """Another client of the same store."""
        return MemoryCluster(self.store, manager)

    # ── reading ─────────────────────────────────────────────────────────────────────────────────

    async def get(self, ref: Ref, namespace: str | None) -> Body | None:
        async def answer() -> Body | None:
            return wire(self.store.objects.get(key_of(ref, namespace)))

        return await self._ask(Request("get", ref, namespace), answer)

    async def each(
        self, ref: Ref, namespace: str | None, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Body]:
        for body in await self.list(ref, namespace, labels, fields):
            yield body

    async def list(self, ref: Ref, namespace: str | None, labels: str = "", fields: str = "") -> list[Body]:
        async def answer() -> list[Body]:
            where = namespace if ref.namespace is None else ref.namespace or None
            found = self.store.of_kind(ref, where)
            return [wire(body) for body in found if _labelled(body, labels) and _selected(body, fields)]

        return await self._ask(Request("list", kind_of(ref), namespace), answer)

    async def log(self, ref: Ref, namespace: str, container: str, *, lines: int, most_bytes: int) -> str:
        """No container runs here: there is never a line."""
        del container, lines, most_bytes
        await self._ask(Request("log", ref, namespace), _nothing)
        return ""

    # ── writing ─────────────────────────────────────────────────────────────────────────────────

    async def create(self, ref: Ref, namespace: str | None, body: Mapping[str, Any]) -> Body:
        request = Request("create", named(ref, body["metadata"]["name"]), namespace, body)

        async def answer() -> Body:
            key = self._known(request)
            if key in self.store.objects:
                raise _refused(request, 409, f'{ref.resource} "{key[3]}" already exists')
            return self._store(key, None, new(dict(body), key, self.store.moment()), "Update")

        return await self._ask(request, answer)

    async def replace(self, ref: Ref, namespace: str | None, body: Mapping[str, Any]) -> Body:
        request = Request("replace", ref, namespace, body)

        async def answer() -> Body:
            key, known = self._there(request)
            version = body["metadata"].get("resourceVersion")
            if version and version != known["metadata"]["resourceVersion"]:
                raise _refused(request, 409, "the object has been modified")
            return self._store(key, known, wire(dict(body)), "Update")

        return await self._ask(request, answer)

    async def apply(self, ref: Ref, namespace: str, body: Mapping[str, Any]) -> Body:
        request = Request("apply", ref, namespace, body)

        async def answer() -> Body:
            key = self._known(request)
            known = self.store.objects.get(key)
            if known is None:
                return self._store(
                    key, None, new(dict(body), key, self.store.moment()), "Apply", applied=body
                )
            wanted = merged(wire(known), body)
            for path in no_longer_applied(self.store.owned.get(key, []), self.manager, body):
                drop(wanted, path)
            return self._store(key, known, wanted, "Apply", applied=body)

        return await self._ask(request, answer)

    async def merge(self, ref: Ref, namespace: str, body: Mapping[str, Any]) -> Body:
        request = Request("merge", ref, namespace, body)

        async def answer() -> Body:
            key, known = self._there(request)
            return self._store(key, known, merged(wire(known), body), "Update")

        return await self._ask(request, answer)

    async def scale(self, ref: Ref, namespace: str, replicas: int) -> Body:
        return await self.merge(ref, namespace, {"spec": {"replicas": replicas}})

    async def delete(self, ref: Ref, namespace: str) -> None:
        request = Request("delete", ref, namespace)

        async def answer() -> None:
            key = key_of(ref, namespace)
            known = self.store.objects.get(key)
            if known is None:
                return
            if not known["metadata"].get("finalizers"):
                self.store.remove(key)
            elif "deletionTimestamp" not in known["metadata"]:
                leaving = wire(known)
                leaving["metadata"] |= {
                    "deletionTimestamp": self.store.moment(),
                    "deletionGracePeriodSeconds": 0,
                }
                if "generation" in leaving["metadata"]:
                    leaving["metadata"]["generation"] += 1
                self.store.put(key, leaving)

        await self._ask(request, answer)

    async def patch_json(
        self,
        ref: Ref,
        namespace: str,
        operations: Sequence[Mapping[str, Any]],
        *,
        urgent: bool = False,
        subresource: str = "",
    ) -> Body:
        request = Request("patch", ref, namespace, operations, urgent, subresource)

        async def answer() -> Body:
            key, known = self._there(request)
            if subresource and ref.resource in WITHOUT_STATUS:
                raise _refused(request, 404, "the server could not find the requested resource")
            try:
                wanted = patched(known, operations)
            except (KeyError, IndexError, ValueError, TypeError) as error:
                raise _refused(request, 422, f"the patch does not apply: {error!r}") from error
            return self._store(key, known, wanted, "Update", subresource=subresource)

        return await self._ask(request, answer)

    async def patch_status(
        self, ref: Ref, namespace: str, resource_version: str, status: Mapping[str, Any]
    ) -> Body:
        operations = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": resource_version},
            {"op": "add", "path": "/status", "value": dict(status)},
        ]
        return await self.patch_json(ref, namespace, operations, subresource="status")

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    async def _ask(self, request: Request, answer: Callable[[], Awaitable[Any]]) -> Any:
        self.requests.append(request)
        await _call(self.before, request)
        found = await answer()
        await _call(self.after, request)
        return found

    def _known(self, request: Request) -> Key:
        if (request.ref.api_version, request.ref.resource) not in KINDS:
            raise _refused(request, 404, "the server could not find the requested resource")
        return key_of(request.ref, request.namespace)

    def _there(self, request: Request) -> tuple[Key, Body]:
        key = self._known(request)
        if (known := self.store.objects.get(key)) is None:
            raise _refused(request, 404, f'{request.ref.resource} "{request.ref.name}" not found')
        return key, known

    def _store(
        self,
        key: Key,
        known: Body | None,
        wanted: Body,
        operation: str,
        *,
        applied: Mapping[str, Any] | None = None,
        subresource: str = "",
    ) -> Body:
        """Store it as its kind stores it: the status apart, and what only the server gives as it was."""
        if known is not None:
            kept = {name: known["metadata"][name] for name in GIVEN_BY_SERVER if name in known["metadata"]}
            if subresource:
                wanted = {**wire(known), "status": wanted.get("status", {})}
            elif key[1] not in WITHOUT_STATUS:
                wanted = {name: part for name, part in wanted.items() if name != "status"}
                wanted |= {"status": known["status"]} if "status" in known else {}
            rest = {name: part for name, part in wanted["metadata"].items() if name not in GIVEN_BY_SERVER}
            wanted["metadata"] = {**rest, **wire(kept)}
            if "generation" in kept and _asked(wanted) != _asked(known):
                wanted["metadata"]["generation"] += 1
        if applied is not None or known is None or wanted != known:
            writer = Owned(self.manager, operation, subresource, time=self.store.moment())
            own(self.store.owned.setdefault(key, []), writer, known or {}, wanted, applied)
        return wire(self.store.put(key, wanted))


def _asked(body: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: part for name, part in body.items() if name not in {"metadata", "status"}}


async def _nothing() -> None:
    return


async def _call(hook: Hook | None, request: Request) -> None:
    if hook is not None and inspect.isawaitable(waiting := hook(request)):
        await waiting


def _refused(request: Request, status: int, message: str) -> Exception:
    where = f" in {request.namespace}" if request.namespace else ""
    return error_for(status, f"{request}{where}", json.dumps({"message": message}).encode())


def _labelled(body: Body, selector: str) -> bool:
    labels = labels_of(body)
    pairs = (part.partition("=") for part in selector.split(",") if part)
    return all(name in labels if not equals else labels.get(name) == value for name, equals, value in pairs)


def _selected(body: Body, selector: str) -> bool:
    def at(path: str) -> Any:
        place: Any = body
        for name in path.split("."):
            place = (place or {}).get(name)
        return place

    pairs = (part.partition("=") for part in selector.split(",") if part)
    return all(at(path) == value for path, _, value in pairs)
