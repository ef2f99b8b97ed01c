"""An API server in memory: the double of `modelrollout.cluster.client.ApiServer`.

It does what the operator relies on: resourceVersions that grow, JSON patches whose `test`s must hold, the
status as a subresource, generations, finalizers, server-side apply, and the record of the writer of each
field. `cluster_contract.py` holds it and the real API server to the same answers. It leaves out what no test
of the engine needs: validation, defaults, admission, quotas and lists merged by key (here each list is one
field).
"""

from __future__ import annotations

import inspect
import itertools
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelrollout.api import objects
from modelrollout.api.names import API_VERSION, FIELD_MANAGER, KIND, RESOURCE
from modelrollout.api.objects import Body, Ref, kind_of, labels_of, named
from modelrollout.cluster.errors import error_for
from modelrollout.cluster.port import Cluster

Path = tuple[str, ...]
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
GIVEN_BY_SERVER = (
    "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
    "deletionGracePeriodSeconds", "managedFields",
)  # fmt: skip


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
Watcher = Callable[[str, Ref, str, Body], None]
"""ADDED, MODIFIED or DELETED; the object's name and namespace; the object."""


@dataclass
class _Owned:
    """The fields that one manager wrote."""

    manager: str
    operation: str
    subresource: str
    paths: set[Path]
    time: str


class Store:
    """What is stored, and the watchers of it."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self.now = now
        self.objects: dict[Key, Body] = {}
        self.owned: dict[Key, list[_Owned]] = {}
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
        body["metadata"]["managedFields"] = [_entry(owned) for owned in self.owned.get(key, [])]
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
            return wire(self.store.objects.get(_key(ref, namespace)))

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
            return self._store(key, None, _new(dict(body), key, self.store.moment()), "Update")

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
                    key, None, _new(dict(body), key, self.store.moment()), "Apply", applied=body
                )
            wanted = _merged(wire(known), body)
            for path in self._no_longer_applied(key, body):
                _drop(wanted, path)
            return self._store(key, known, wanted, "Apply", applied=body)

        return await self._ask(request, answer)

    async def merge(self, ref: Ref, namespace: str, body: Mapping[str, Any]) -> Body:
        request = Request("merge", ref, namespace, body)

        async def answer() -> Body:
            key, known = self._there(request)
            return self._store(key, known, _merged(wire(known), body), "Update")

        return await self._ask(request, answer)

    async def scale(self, ref: Ref, namespace: str, replicas: int) -> Body:
        return await self.merge(ref, namespace, {"spec": {"replicas": replicas}})

    async def delete(self, ref: Ref, namespace: str) -> None:
        request = Request("delete", ref, namespace)

        async def answer() -> None:
            key = _key(ref, namespace)
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
        return _key(request.ref, request.namespace)

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
            self._own(key, known or {}, wanted, operation=operation, applied=applied, subresource=subresource)
        return wire(self.store.put(key, wanted))

    def _own(
        self,
        key: Key,
        before: Mapping[str, Any],
        after: Mapping[str, Any],
        *,
        operation: str,
        applied: Mapping[str, Any] | None,
        subresource: str,
    ) -> None:
        old, new = dict(_leaves(before)), dict(_leaves(after))
        changed = {path for path, value in new.items() if path not in old or old[path] != value}
        taken = {path for path, _ in _leaves(applied)} if applied is not None else changed
        entries = self.store.owned.setdefault(key, [])
        mine = None
        for entry in entries:
            if (entry.manager, entry.operation, entry.subresource) == (self.manager, operation, subresource):
                mine = entry
            else:
                entry.paths -= changed
            entry.paths &= new.keys()
        if mine is None:
            entries.append(mine := _Owned(self.manager, operation, subresource, set(), ""))
        if applied is not None:
            mine.paths = set(taken)
        mine.paths |= taken
        if changed:
            mine.time = self.store.moment()
        entries[:] = [entry for entry in entries if entry.paths]

    def _no_longer_applied(self, key: Key, body: Mapping[str, Any]) -> Iterator[Path]:
        now = {path for path, _ in _leaves(body)}
        entries = self.store.owned.get(key, [])
        for entry in entries:
            if (entry.manager, entry.operation) == (self.manager, "Apply"):
                others = set().union(*(each.paths for each in entries if each is not entry))
                yield from entry.paths - now - others


async def _nothing() -> None:
    return


async def _call(hook: Hook | None, request: Request) -> None:
    if hook is not None and inspect.isawaitable(waiting := hook(request)):
        await waiting


def _refused(request: Request, status: int, message: str) -> Exception:
    where = f" in {request.namespace}" if request.namespace else ""
    return error_for(status, f"{request}{where}", json.dumps({"message": message}).encode())


def wire(body: Any) -> Any:
    """A copy, as it comes through HTTP: whatever is no JSON fails here, too."""
    return json.loads(json.dumps(body))


def _key(ref: Ref, namespace: str | None) -> Key:
    where = namespace if ref.namespace is None else ref.namespace
    return ref.api_version, ref.resource, where or "", ref.name


def _new(body: Body, key: Key, moment: str) -> Body:
    body = wire(body)
    if key[1] not in WITHOUT_STATUS:
        body.pop("status", None)
    given: Body = {"uid": str(uuid.uuid4()), "creationTimestamp": moment}
    if key[1] not in WITHOUT_GENERATION:
        given["generation"] = 1
    body["metadata"] = {**body["metadata"], **given} | ({"namespace": key[2]} if key[2] else {})
    return {"apiVersion": key[0], "kind": KINDS[key[0], key[1]], **body}


def _asked(body: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: part for name, part in body.items() if name not in {"metadata", "status"}}


def _leaves(body: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every field that somebody can own; a list is one field."""
    for name, value in body.items():
        here = (*path, name)
        if here in {("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace")}:
            continue
        if path == ("metadata",) and name in GIVEN_BY_SERVER:
            continue
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, here)
        elif value is not None:
            yield here, value


def _entry(owned: _Owned) -> Body:
    fields: Body = {}
    for path in sorted(owned.paths):
        place = fields
        for name in path:
            place = place.setdefault(f"f:{name}", {})
    entry = {"manager": owned.manager, "operation": owned.operation, "time": owned.time, "fieldsV1": fields}
    return entry | ({"subresource": owned.subresource} if owned.subresource else {})


def _merged(body: Body, patch: Mapping[str, Any]) -> Body:
    """RFC 7386: maps are merged, null removes, everything else replaces."""
    for name, value in patch.items():
        if value is None:
            body.pop(name, None)
        elif isinstance(value, Mapping):
            inner = body.get(name)
            body[name] = _merged(inner if isinstance(inner, dict) else {}, value)
        else:
            body[name] = wire(value)
    return body


def _drop(body: Body, path: Path) -> None:
    """Remove a field, and the maps that it leaves empty."""
    *above, last = path
    places = [body]
    for name in above:
        places.append(places[-1].get(name) or {})
    places[-1].pop(last, None)
    for place, name in zip(reversed(places[:-1]), reversed(above), strict=True):
        if not place.get(name):
            place.pop(name, None)


def patched(body: Mapping[str, Any], operations: Sequence[Mapping[str, Any]]) -> Body:
    """RFC 6902, as far as `test`, `add`, `replace` and `remove` go; raises when one does not apply."""
    result = wire(dict(body))
    for each in operations:
        *above, last = [part.replace("~1", "/").replace("~0", "~") for part in each["path"].split("/")[1:]]
        place: Any = result
        for part in above:
            place = place[int(part) if isinstance(place, list) else part]
        if isinstance(place, list):
            _in_list(place, last, each)
        else:
            _in_map(place, last, each)
    return result


def _in_map(place: Body, name: str, operation: Mapping[str, Any]) -> None:
    verb = operation["op"]
    if verb != "add" and name not in place:
        raise KeyError(name)
    if verb == "test":
        _must_equal(place[name], operation["value"])
    elif verb == "remove":
        del place[name]
    else:
        place[name] = wire(operation["value"])


def _in_list(place: list[Any], index: str, operation: Mapping[str, Any]) -> None:
    verb = operation["op"]
    at = len(place) if index == "-" else int(index)
    if at > len(place) or (verb != "add" and at == len(place)):
        raise IndexError(index)
    if verb == "test":
        _must_equal(place[at], operation["value"])
    elif verb == "remove":
        del place[at]
    elif verb == "add":
        place.insert(at, wire(operation["value"]))
    else:
        place[at] = wire(operation["value"])


def _must_equal(found: Any, wanted: Any) -> None:
    if found != wanted:
        raise ValueError(f"{wanted!r} was expected, {found!r} is there")


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
