"""What the API server would say of a new ModelRollout, without one: the CRD's own schema and rules.

Sentences and places are the API server's. Of a value that is an object or a list it quotes all of it; here
its place is enough.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from modelrollout.api.cel import CelError, evaluate
from modelrollout.api.crd import resource_schema
from modelrollout.api.names import API_VERSION, KIND
from modelrollout.api.schema import Schema

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "boolean": (bool,),
}
_UNCHECKED = ("apiVersion", "kind", "metadata", "status")
"""Fields at the top that are not the spec's. A new object's status is dropped."""


def refusals(body: Mapping[str, Any]) -> list[str]:
    """A sentence for each reason to refuse the object; empty when it would be stored.

    As the API server does, rules are asked only of what has the right shape.
    """
    schema = _schema()
    if (wrong := _wrong_kind(body)) is not None:
        return [wrong]
    spec = _with_defaults(body.get("spec"), schema["properties"]["spec"])
    given = {key: value for key, value in body.items() if key not in ("spec", "status")}
    given = {**given, **({"spec": spec} if spec is not None else {})}
    shaped = schema | {
        "properties": {key: node for key, node in schema["properties"].items() if key not in _UNCHECKED}
    }
    unknown = [f'unknown field "{place}"' for place in _unknown(given, shaped, "")]
    malformed = list(_malformed(given, shaped, ""))
    return [*unknown, *malformed] or list(_broken(given, shaped, ""))


@cache
def _schema() -> Schema:
    return resource_schema()


def _wrong_kind(body: Mapping[str, Any]) -> str | None:
    if (body.get("apiVersion"), body.get("kind")) != (API_VERSION, KIND):
        return (
            f"It is a {body.get('apiVersion')} {body.get('kind')}: write apiVersion: {API_VERSION} and "
            f"kind: {KIND}"
        )
    meta = body.get("metadata")
    if not isinstance(meta, Mapping) or not isinstance(meta.get("name"), str):
        return "metadata.name: Required value: name or generateName is required"
    return None


def _with_defaults(value: Any, schema: Mapping[str, Any]) -> Any:
    """The value with what the schema fills in."""
    if not isinstance(value, dict):
        return value
    fields = schema.get("properties", {})
    filled = {name: _with_defaults(part, fields.get(name, {})) for name, part in value.items()}
    defaults = {name: node["default"] for name, node in fields.items() if "default" in node}
    return defaults | filled


def _at(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _fields(
    value: Any, schema: Mapping[str, Any], place: str
) -> Iterator[tuple[Any, Mapping[str, Any], str]]:
    """The parts of the value that the schema speaks of: part, its schema, its place."""
    if isinstance(value, dict):
        for name, part in value.items():
            node = schema.get("properties", {}).get(name)
            if node is not None:
                yield part, node, _at(place, name)
            elif isinstance(schema.get("additionalProperties"), dict):
                yield part, schema["additionalProperties"], _at(place, str(name))
    elif isinstance(value, list) and "items" in schema:
        for index, part in enumerate(value):
            yield part, schema["items"], f"{place}[{index}]"


def _unknown(value: Any, schema: Mapping[str, Any], place: str) -> Iterator[str]:
    """Places of fields that the schema does not have; strict clients such as kubectl refuse these."""
    if isinstance(value, dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        known = {*schema.get("properties", {}), *(() if place else _UNCHECKED)}
        if "additionalProperties" not in schema:
            yield from (_at(place, str(name)) for name in value if name not in known)
    for part, node, where in _fields(value, schema, place):
        yield from _unknown(part, node, where)


# ── shape ───────────────────────────────────────────────────────────────────────────────────────────


def _malformed(value: Any, schema: Mapping[str, Any], place: str) -> Iterator[str]:
    kind = schema.get("type")
    if kind is not None and not _is(value, kind):
        seen = json.dumps(_kind_of(value))
        yield f"{place}: Invalid value: {seen}: {place} in body must be of type {kind}: {seen}"
        return
    if schema.get("x-kubernetes-int-or-string") and not (_is(value, "integer") or _is(value, "string")):
        seen = json.dumps(_kind_of(value))
        yield f"{place}: Invalid value: {seen}: {place} in body must be of type integer,string: {seen}"
        return
    for bound in _bounds(value, schema, place):
        yield f"{place}: {bound}"
    if isinstance(value, dict):
        for name in schema.get("required", ()):
            if name not in value:
                yield f"{_at(place, name)}: Required value"
    if isinstance(value, list):
        yield from _duplicates(value, schema.get("x-kubernetes-list-map-keys", ()), place)
    for part, node, where in _fields(value, schema, place):
        yield from _malformed(part, node, where)


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _TYPES.get(kind, (object,)))


def _kind_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, float):
        return "number"
    return next((name for name in _TYPES if _is(value, name)), type(value).__name__)


def _bounds(value: Any, schema: Mapping[str, Any], place: str) -> Iterator[str]:
    """Sentences of the limits that a value breaks, without the place before them."""
    if "enum" in schema and value not in schema["enum"]:
        choices = ", ".join(json.dumps(each) for each in schema["enum"])
        yield f"Unsupported value: {json.dumps(value)}: supported values: {choices}"
    if isinstance(value, int) and not isinstance(value, bool):
        low, high = schema.get("minimum", value), schema.get("maximum", value)
        if value < low:
            yield f"Invalid value: {value}: {place} in body should be greater than or equal to {low}"
        if value > high:
            yield f"Invalid value: {value}: {place} in body should be less than or equal to {high}"
    if isinstance(value, str):
        if len(value) > schema.get("maxLength", len(value)):
            yield f"Too long: may not be more than {schema['maxLength']} bytes"
        if len(value) < schema.get("minLength", 0):
            least = schema["minLength"]
            yield f'Invalid value: "{value}": {place} in body should be at least {least} chars long'
    for kind, size, word in ((list, "Items", "items"), (dict, "Properties", "properties")):
        if isinstance(value, kind):
            if len(value) > schema.get(f"max{size}", len(value)):
                yield f"Too many: {len(value)}: must have at most {schema[f'max{size}']} items"
            if len(value) < schema.get(f"min{size}", 0):
                least = schema[f"min{size}"]
                yield f"Invalid value: {len(value)}: {place} in body should have at least {least} {word}"


def _duplicates(items: Sequence[Any], keys: Sequence[str], place: str) -> Iterator[str]:
    seen: list[dict[str, Any]] = []
    for index, item in enumerate(items):
        if not keys or not isinstance(item, dict):
            continue
        own = {key: item[key] for key in keys if key in item}
        if own in seen:
            quoted = json.dumps(own, separators=(",", ":"))
            yield f"{place}[{index}]: Duplicate value: {quoted}"
        seen.append(own)


# ── rules ───────────────────────────────────────────────────────────────────────────────────────────


def _broken(value: Any, schema: Mapping[str, Any], place: str) -> Iterator[str]:
    """Sentences of the rules that do not hold. A rule that compares with an old object is not asked."""
    for rule in schema.get("x-kubernetes-validations", ()):
        if "oldSelf" in rule["rule"]:
            continue
        try:
            holds = evaluate(rule["rule"], self=value)
        except CelError as error:
            yield f"{place}: {error} evaluating rule: {rule['message']}"
            continue
        if not holds:
            expression = rule.get("messageExpression")
            said = evaluate(expression, self=value) if expression else rule["message"]
            quoted = f" Invalid value: {json.dumps(value)}:" if isinstance(value, str | int) else ""
            yield f"{place}:{quoted} {said}" if place else str(said)
    for part, node, where in _fields(value, schema, place):
        yield from _broken(part, node, where)
