"""Touching only what is ours in an object that others write too.

Routers arrange a copy of an object as it should be; `changes` says that as a JSON patch of the
differences, guarded by `test` operations on everything it rests on. `writer` names who else wrote.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from modelrollout.api.names import FIELD_MANAGER
from modelrollout.api.objects import Object, Ref
from modelrollout.traffic.router import Patch

Operation = Mapping[str, Any]
Path = tuple[str | int, ...]


def pointer(path: Iterable[str | int]) -> str:
    """RFC 6901."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def changes(ref: Ref, before: Object, after: Object, guards: Sequence[Path] = ()) -> tuple[Patch, ...]:
    """The patch that makes `before` into `after`; none when they are equal.

    It fails on the API server when anything that it replaces or removes, or anything at a path of
    `guards`, is not as in `before` any more. JSON patch can test neither that a key is absent nor that an
    index means what it meant, so where a key is added its whole parent is tested, and where entries come
    or go the whole list. All tests come first and all edits of a list run from its end to its start, so
    every path means a place in `before`.
    """
    edits: list[Operation] = []
    read: list[Path] = []
    _compare((), before, after, edits, read)
    if not edits:
        return ()
    tests = [
        {"op": "test", "path": pointer(path), "value": _at(before, path)} for path in _outermost(guards, read)
    ]
    return (Patch(ref, (*tests, *edits)),)


def _compare(path: Path, before: Any, after: Any, edits: list[Operation], read: list[Path]) -> None:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        _compare_maps(path, before, after, edits, read)
    elif isinstance(before, list) and isinstance(after, list):
        _compare_lists(path, before, after, edits, read)
    elif before != after or isinstance(before, bool) is not isinstance(after, bool):
        read.append(path)
        edits.append({"op": "replace", "path": pointer(path), "value": after})


def _compare_maps(
    path: Path, before: Object, after: Object, edits: list[Operation], read: list[Path]
) -> None:
    for key, value in before.items():
        if key in after:
            _compare((*path, key), value, after[key], edits, read)
        else:
            read.append((*path, key))
            edits.append({"op": "remove", "path": pointer((*path, key))})
    for key in after:
        if key not in before:
            # metadata holds what the API server writes by itself; its version stands for the whole of it
            read.append(("metadata", "resourceVersion") if path == ("metadata",) else path)
            edits.append({"op": "add", "path": pointer((*path, key)), "value": after[key]})


def _compare_lists(
    path: Path, before: list[Any], after: list[Any], edits: list[Operation], read: list[Path]
) -> None:
    matcher = SequenceMatcher(None, [_identity(i) for i in before], [_identity(i) for i in after], False)
    for verdict, i1, i2, j1, j2 in reversed(matcher.get_opcodes()):
        if verdict == "equal":
            for back in range(1, i2 - i1 + 1):
                _compare((*path, i2 - back), before[i2 - back], after[j2 - back], edits, read)
            continue
        read.append(path)
        edits += [{"op": "remove", "path": pointer((*path, i))} for i in reversed(range(i1, i2))]
        edits += [
            {"op": "add", "path": pointer((*path, i1)), "value": after[j]} for j in reversed(range(j1, j2))
        ]


def _identity(item: Any) -> str:
    """What makes a list's entry the same entry although its content changed: its name or destination."""
    if isinstance(item, Mapping):
        for key in ("name", "destination"):
            if key in item:
                return json.dumps([key, item[key]], sort_keys=True)
    return json.dumps(item, sort_keys=True)


def _at(value: Any, path: Path) -> Any:
    for part in path:
        value = value[part]
    return value


def _outermost(guards: Sequence[Path], read: Sequence[Path]) -> list[Path]:
    """Guards first, without paths that lie inside another one: the outer test covers them."""
    kept: list[Path] = []
    for path in sorted([*guards, *read], key=len):
        if not any(path[: len(outer)] == outer for outer in kept):
            kept.append(path)
    return sorted(kept, key=lambda path: path not in guards)


def writer(found: Object, path: Sequence[str]) -> str | None:
    """The field manager, other than us, that last wrote at `path` (map keys only) or inside it.

    None while we own it: a foreign write of another value takes the ownership from us.
    """
    owners = [
        entry
        for entry in found.get("metadata", {}).get("managedFields", ())
        if not entry.get("subresource") and _owns(entry.get("fieldsV1", {}), path)
    ]
    if not owners or any(entry.get("manager") == FIELD_MANAGER for entry in owners):
        return None
    return str(max(owners, key=lambda entry: entry.get("time", "")).get("manager", "")) or None


def _owns(fields: Mapping[str, Any], path: Sequence[str]) -> bool:
    for key in path:
        if f"f:{key}" not in fields:
            return False
        fields = fields[f"f:{key}"]
    return True
