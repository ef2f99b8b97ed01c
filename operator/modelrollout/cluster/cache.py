"""What the watches and our own writes last showed, so that a pass needs no reads.

Two sources feed it: kopf's watches, and the answers to our own writes. A watch may show a state from
before our write, so the newer resourceVersion wins. Objects that nobody asked for are not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from modelrollout.api.objects import Body, Ref, group_of

Key = tuple[str, str, str]
"""Group and resource (`apps/deployments`), namespace, name. No version: kopf may read another than we do."""

See = Callable[[Ref, str, Mapping[str, Any]], object]
"""Called with an object as a list, a watch or an answer showed it: kind and name, namespace, body."""

TOMBSTONES = 4096


def key_of(ref: Ref, namespace: str) -> Key:
    where = namespace if ref.namespace is None else ref.namespace
    return f"{group_of(ref.api_version)}/{ref.resource}", where, ref.name


def version_of(body: Mapping[str, Any]) -> int:
    """resourceVersions count writes of one API server's store, so the greater one is the newer one."""
    text = str((body.get("metadata") or {}).get("resourceVersion") or "0")
    return int(text) if text.isdigit() else 0


class Cache:
    """Objects by key, and by the rollout that they belong to.

    `owner_of` says which rollout an object is a child of (its name in the same namespace), from the
    object alone; an object without one is kept only if it was `want`ed by name.
    """

    def __init__(self, owner_of: Callable[[Body], str | None], trim: Callable[[str, Body], Body]) -> None:
        self._owner_of = owner_of
        self._trim = trim
        self._objects: dict[Key, Body] = {}
        self._kinds: dict[str, set[Key]] = {}
        self._children: dict[tuple[str, str], set[Key]] = {}
        self._wanted: dict[Key, set[str]] = {}
        self._gone: dict[Key, int] = {}

    # ── filling ─────────────────────────────────────────────────────────────────────────────────

    def see(self, ref: Ref, namespace: str, body: Mapping[str, Any]) -> bool:
        """Take in an object from a watch, a read or an answer to a write; False when it is no news."""
        key = key_of(ref, namespace)
        version = version_of(body)
        known = self._objects.get(key)
        if known is not None and version_of(known) >= version:
            return False
        if self._gone.get(key, -1) >= version:
            return False
        owner = self._owner_of(body if isinstance(body, dict) else dict(body))
        if owner is None and key not in self._wanted:
            self._remove(key)
            return False
        self._remove(key)
        self._gone.pop(key, None)
        self._objects[key] = self._trim(ref.resource, dict(body))
        self._kinds.setdefault(key[0], set()).add(key)
        if owner is not None:
            self._children.setdefault((namespace, owner), set()).add(key)
        return True

    def forget(self, ref: Ref, namespace: str, last: Mapping[str, Any] | None = None) -> None:
        """Forget an object that is gone; `last` is how it was last seen. A late answer to an older write must
        not bring it back, so a tombstone is kept for a while.
        """
        key = key_of(ref, namespace)
        known = self._objects.get(key)
        self._remove(key)
        version = max(version_of(body) for body in (known or {}, last or {}))
        self._gone[key] = max(version, self._gone.get(key, 0))
        while len(self._gone) > TOMBSTONES:
            del self._gone[next(iter(self._gone))]

    def want(self, ref: Ref, namespace: str, rollout: str) -> bool:
        """Keep this object although it is nobody's child.

        True the first time: it may exist unseen, so it must be read once.
        """
        key = key_of(ref, namespace)
        first = key not in self._wanted
        self._wanted.setdefault(key, set()).add(rollout)
        return first

    def drop(self, namespace: str, rollout: str) -> None:
        """Forget a rollout that is gone, and what it wanted by name."""
        for key in [key for key, names in self._wanted.items() if key[1] == namespace and rollout in names]:
            self._wanted[key].discard(rollout)
            if not self._wanted[key]:
                del self._wanted[key]
                self._remove(key)

    # ── reading ─────────────────────────────────────────────────────────────────────────────────

    def get(self, ref: Ref, namespace: str) -> Body | None:
        return self._objects.get(key_of(ref, namespace))

    def children(self, namespace: str, rollout: str, resource: str) -> Iterator[Body]:
        """Objects of the rollout of one kind, such as `pods`, by name."""
        for key in sorted(self._children.get((namespace, rollout), ())):
            if key[0].endswith(f"/{resource}"):
                yield self._objects[key]

    def all(self, group: str, resource: str) -> Iterator[tuple[str, str, Body]]:
        """Namespace, name, object of every object of one kind."""
        for key in tuple(self._kinds.get(f"{group}/{resource}", ())):
            yield key[1], key[2], self._objects[key]

    def interested(self, ref: Ref, namespace: str, body: Mapping[str, Any]) -> Iterable[str]:
        """Names of the rollouts in that namespace that should look at a change of this object."""
        owner = self._owner_of(dict(body))
        wanted = self._wanted.get(key_of(ref, namespace), set())
        return wanted | {owner} if owner is not None else wanted

    def _remove(self, key: Key) -> None:
        body = self._objects.pop(key, None)
        if body is None:
            return
        self._kinds[key[0]].discard(key)
        owner = self._owner_of(body)
        if owner is not None and (children := self._children.get((key[1], owner))):
            children.discard(key)
            if not children:
                del self._children[key[1], owner]
