"""JSON patches and merge patches, as the API server carries them out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from modelrollout.api.objects import Body

Path = tuple[str, ...]


def wire(body: Any) -> Any:
    """A copy, as it comes through HTTP: whatever is no JSON fails here, too."""
    return json.loads(json.dumps(body))


def merged(body: Body, patch: Mapping[str, Any]) -> Body:
    """RFC 7386: maps are merged, null removes, everything else replaces."""
    for name, value in patch.items():
        if value is None:
            body.pop(name, None)
        elif isinstance(value, Mapping):
            inner = body.get(name)
            body[name] = merged(inner if isinstance(inner, dict) else {}, value)
        else:
            body[name] = wire(value)
    return body


def drop(body: Body, path: Path) -> None:
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
