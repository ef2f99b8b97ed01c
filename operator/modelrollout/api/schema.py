"""From pydantic's JSON schema to the structural schema that apiextensions/v1 takes. Pure and strict.

What is not known here stops the generator: a keyword that slipped through would fail at install time
on the user's cluster instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]
Override = Callable[[Schema], Schema]
Fields = Mapping[tuple[str, str], Override]
"""(model name, wire name) -> what finishes the field's schema; wire name "" is the model itself."""

DROPPED = {"title", "default", "examples"}
KEPT = {
    *("type", "description", "enum", "required", "format"),
    *("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern"),
}


class SchemaError(ValueError):
    """A model says something that a structural schema cannot."""


def structural(model: type[BaseModel], fields: Fields, *, reported: bool = False) -> Schema:
    """The structural schema of a model: references inlined, optional values plain, defaults given in words.

    `reported`: the operator writes it and not a user, so that nobody asks what is taken when it is left out.

    Raises:
        SchemaError: for a keyword or a union that a CRD cannot carry, and for a model that holds itself.
    """
    whole = model.model_json_schema(by_alias=True, mode="validation")
    return _Inliner(whole.pop("$defs", {}), fields, reported).object(whole, model.__name__, ())


class _Inliner:
    def __init__(self, definitions: Mapping[str, Schema], fields: Fields, reported: bool) -> None:
        self._definitions = definitions
        self._fields = fields
        self._reported = reported

    def object(self, schema: Schema, model: str, above: tuple[str, ...]) -> Schema:
        if model in above:
            raise SchemaError(f"{model} holds itself by way of {' > '.join(above)}; a CRD cannot recurse")
        out = self._plain(schema, model)
        out["properties"] = {
            name: self._field(model, name, value, (*above, model))
            for name, value in schema.get("properties", {}).items()
        }
        return self._fields.get((model, ""), _unchanged)(out)

    def _field(self, model: str, name: str, schema: Schema, above: tuple[str, ...]) -> Schema:
        out = self._any(schema, f"{model}.{name}", above)
        default = None if self._reported else schema.get("default")
        if (
            isinstance(default, str | int)
            and default != ""
            and "default" not in out.get("description", "").lower()
        ):
            text = str(default).lower() if isinstance(default, bool) else default
            out["description"] = f"{out.get('description', '')} Default: {text}.".strip()
        return self._fields.get((model, name), _unchanged)(out)

    def _any(self, schema: Schema, where: str, above: tuple[str, ...]) -> Schema:
        schema = _without_null(schema, where)
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            inlined = self.object(self._definitions[name], name, above)
            return inlined | ({"description": schema["description"]} if "description" in schema else {})
        if schema.get("type") == "array":
            out = self._plain({k: v for k, v in schema.items() if k != "items"}, where)
            return out | {"items": self._any(schema["items"], f"{where}[]", above)}
        if schema.get("type") == "object" and "maxProperties" in schema:  # a map of bounded size
            inside = self._any(schema["additionalProperties"], f"{where}{{}}", above)
            out = self._plain({k: v for k, v in schema.items() if not k.endswith("Properties")}, where)
            return out | {"additionalProperties": inside, "maxProperties": schema["maxProperties"]}
        if schema.get("type") == "object":  # a dict, whose inside Kubernetes knows and we do not
            out = self._plain({k: v for k, v in schema.items() if k != "additionalProperties"}, where)
            return out | {"x-kubernetes-preserve-unknown-fields": True}
        return self._plain(schema, where)

    def _plain(self, schema: Schema, where: str) -> Schema:
        out: Schema = {}
        for key, value in schema.items():
            if key in KEPT:
                out[key] = value
            elif key == "const":
                out["enum"] = [value]
            elif key in {"exclusiveMinimum", "exclusiveMaximum"}:
                out |= {key.replace("exclusiveM", "m"): value, key: True}
            elif key not in DROPPED | {"properties"}:
                raise SchemaError(f"{where} says {key}, which a structural schema has no word for")
        if "type" not in out:
            raise SchemaError(f"{where} has no type; every node of a structural schema needs one")
        if "description" in out:
            out["description"] = " ".join(out["description"].split())
        return out


def changed(schema: Schema, change: Callable[[Schema, str], Schema], where: str) -> Schema:
    """A copy of the schema with `change(node, path)` applied to every node, the innermost first."""
    out = dict(schema)
    if "properties" in out:
        out["properties"] = {
            name: changed(node, change, f"{where}.{name}") for name, node in out["properties"].items()
        }
    if "items" in out:
        out["items"] = changed(out["items"], change, f"{where}[]")
    return change(out, where)


def _without_null(schema: Schema, where: str) -> Schema:
    """`X | None` is X that may be absent: the API server never stores a null for it."""
    if "anyOf" not in schema:
        return schema
    choices = [choice for choice in schema["anyOf"] if choice.get("type") != "null"]
    if len(choices) != 1:
        raise SchemaError(f"{where} is a union of {len(choices)} types; a CRD field has one")
    only: Schema = choices[0]
    return only | {key: value for key, value in schema.items() if key != "anyOf"}


def _unchanged(schema: Schema) -> Schema:
    return schema
