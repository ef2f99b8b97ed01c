"""The writer of each field, as `managedFields` lists it: the record that server-side apply needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from modelrollout.api.objects import Body
from tests.shared.patching import Path

GIVEN_BY_SERVER = (
    "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
    "deletionGracePeriodSeconds", "managedFields",
)  # fmt: skip


@dataclass
class Owned:
    """The fields that one manager wrote."""

    manager: str
    operation: str
    subresource: str
    paths: set[Path] = field(default_factory=set)
    time: str = ""

    def is_of(self, other: Owned) -> bool:
        """Written by the same manager, in the same way."""
        mine, theirs = ((each.manager, each.operation, each.subresource) for each in (self, other))
        return mine == theirs


def own(
    entries: list[Owned],
    writer: Owned,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    applied: Mapping[str, Any] | None,
) -> None:
    """Note that the writer made `after` of `before`; `applied`: what it applied, and so owns."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    changed = {path for path, value in new.items() if path not in old or old[path] != value}
    taken = {path for path, _ in _leaves(applied)} if applied is not None else changed
    mine = None
    for entry in entries:
        if entry.is_of(writer):
            mine = entry
        else:
            entry.paths -= changed
        entry.paths &= new.keys()
    if mine is None:
        entries.append(mine := writer)
    if applied is not None:
        mine.paths = set(taken)
    mine.paths |= taken
    if changed:
        mine.time = writer.time
    entries[:] = [entry for entry in entries if entry.paths]


def no_longer_applied(entries: list[Owned], manager: str, body: Mapping[str, Any]) -> Iterator[Path]:
    """Fields that the manager applied before, leaves out now, and alone has."""
    now = {path for path, _ in _leaves(body)}
    for entry in entries:
        if (entry.manager, entry.operation) == (manager, "Apply"):
            others = set().union(*(each.paths for each in entries if each is not entry))
            yield from entry.paths - now - others


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


def entry_of(owned: Owned) -> Body:
    fields: Body = {}
    for path in sorted(owned.paths):
        place = fields
        for name in path:
            place = place.setdefault(f"f:{name}", {})
    entry = {"manager": owned.manager, "operation": owned.operation, "time": owned.time, "fieldsV1": fields}
    return entry | ({"subresource": owned.subresource} if owned.subresource else {})
