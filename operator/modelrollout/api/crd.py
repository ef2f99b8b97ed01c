"""The CustomResourceDefinition, made from the pydantic models: `python -m modelrollout.api.crd FILE...`.

Without arguments it prints; with file names it writes each of them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from modelrollout.api import spec, status
from modelrollout.api.names import GROUP, KIND, RESOURCE, VERSION
from modelrollout.api.objects import CRD_API
from modelrollout.api.rules import analysis, model, strategy, traffic, whole
from modelrollout.api.rules.formats import FORMATS
from modelrollout.api.rules.rule import Rule, literal
from modelrollout.api.schema import Fields, Override, Schema, SchemaError, changed, structural

HEADER = (
    "# Made by `python -m modelrollout.api.crd`: change the models in operator/modelrollout/api, not this.\n"
)

COLUMNS = (
    ("Phase", "string", ".status.phase", "What the rollout is doing"),
    ("Step", "string", ".status.step.progress", "Steps passed, of the plan's"),
    ("Weight", "integer", ".status.weight.canary", "Percent of requests meant for the revision on trial"),
    ("Verdict", "string", ".status.verdict", "On the revision on trial, such as Pass or Insufficient"),
    ("Ready", "string", ".status.ready", "Ready pods of the revision that serves, of those asked for"),
    ("Revision", "string", ".status.stable.revision", "The revision that serves users"),
    (
        "Operator",
        "string",
        '.status.conditions[?(@.type=="Managed")].reason',
        "Empty while an operator serves the rollout; Uninstalled when none does",
    ),
    ("Age", "date", ".metadata.creationTimestamp", "Time since the rollout was made"),
)
WIDE_COLUMNS = (
    ("Measured", "string", ".status.weight.measured", "The share that the canary was counted to get"),
    ("Canary", "string", ".status.canary.revision", "The revision on trial"),
    ("Canary-Ready", "integer", ".status.canary.ready", "Ready pods of the revision on trial"),
    ("P95", "string", ".status.analysis.p95", "What 95 % of the values do not exceed, beside stable"),
    ("Model", "string", ".status.pinned.version", "The version or commit that model.uri stands for"),
    ("Message", "string", ".status.message", "What it waits for, or what it decided"),
)

PARTS = (model, traffic, strategy, analysis, whole)
ON_MODELS = {key: group for part in PARTS for key, group in part.ON_MODELS.items()}
ON_FIELDS = {key: group for part in (strategy, analysis) for key, group in part.ON_FIELDS.items()}

OPEN: Schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
TEXTS: Schema = {"type": "object", "maxProperties": 64, "additionalProperties": {"type": "string"}}
QUANTITIES: Schema = {
    "type": "object",
    "maxProperties": 32,
    "additionalProperties": {
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "x-kubernetes-int-or-string": True,
    },
}


def described(schema: Schema) -> Override:
    """Replace the field's schema but keep what it says of itself."""
    return lambda given: ({"description": given["description"]} if "description" in given else {}) | schema


def keyed(*keys: str) -> Override:
    """A list whose items are told apart by these keys: duplicates are refused, server-side apply merges."""
    return lambda given: given | {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


def variables(given: Schema) -> Schema:
    """A list of Kubernetes EnvVar objects."""
    name = {"type": "string", "maxLength": 253, "description": "The variable's name."}
    item = OPEN | {"description": "A Kubernetes EnvVar.", "required": ["name"], "properties": {"name": name}}
    return keyed("name")(given) | {"items": item}


RESOURCES: Override = described(
    {
        "type": "object",
        "properties": {
            "limits": QUANTITIES | {"description": "The most that a pod gets, such as nvidia.com/gpu: 1."},
            "requests": QUANTITIES | {"description": "What is reserved for a pod."},
            "claims": {
                "type": "array",
                "maxItems": 16,
                "items": OPEN | {"description": "A Kubernetes ResourceClaim."},
                "description": "Devices that are allocated dynamically.",
            },
        },
    }
)
"""Kubernetes ResourceRequirements."""

FIELDS: Fields = {
    # the scale subresource answers an error while there is no value, so this default is stored
    ("Spec", "replicas"): lambda given: given | {"default": 1},
    ("Model", "adapters"): keyed("name"),
    ("Runtime", "env"): variables,
    ("Runtime", "resources"): RESOURCES,
    ("Evaluation", "env"): variables,
    ("Evaluation", "resources"): RESOURCES,
    ("Runtime", "podTemplate"): described(
        {
            "type": "object",
            "properties": {
                "metadata": {
                    "type": "object",
                    "description": "Labels and annotations that every pod gets.",
                    "properties": {
                        "labels": TEXTS | {"description": "Beside the operator's own."},
                        "annotations": TEXTS | {"description": "Beside the operator's own."},
                    },
                    "x-kubernetes-validations": [model.POD_LABELS.to_schema()],
                },
                "spec": OPEN | {"description": "A Kubernetes PodSpec, as much of it as is to be different."},
            },
        }
    ),
    ("Spec", "evaluations"): keyed("name"),
    ("OriginalService", "selector"): described(TEXTS),
    ("Status", "conditions"): keyed("type"),
}
"""(model, wire name) -> what Kubernetes knows about a field and pydantic does not."""


def crd() -> dict[str, Any]:
    """The CustomResourceDefinition as a dict.

    Raises:
        SchemaError: when a model says something that a CRD cannot carry.
    """
    return {
        "apiVersion": CRD_API,
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{RESOURCE}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": RESOURCE,
                "singular": KIND.lower(),
                "shortNames": ["mr"],
                "categories": ["mlops"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": resource_schema()},
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.replicas",
                            "statusReplicasPath": ".status.replicas",
                            "labelSelectorPath": ".status.selector",
                        },
                    },
                    "additionalPrinterColumns": columns(),
                }
            ],
        },
    }


def resource_schema() -> Schema:
    asked = structural(spec.Spec, combined(FIELDS, validations()))
    return {
        "type": "object",
        "description": "Rolls out a model, its server and its prompts in judged steps.",
        "required": ["spec"],
        "x-kubernetes-validations": [rule.to_schema() for rule in whole.ON_RESOURCE],
        "properties": {
            "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}."},
            "kind": {"type": "string", "description": f"{KIND}."},
            "metadata": {  # the API server refuses a CRD that says anything here but of the names
                "type": "object",
                "properties": {
                    "name": {"type": "string", "maxLength": 253, "description": "At most 52 characters."}
                },
            },
            "spec": bounded(in_words(asked), "spec"),
            "status": bounded(structural(status.Status, FIELDS, reported=True), "status"),
        },
    }


def validations() -> dict[tuple[str, str], Override]:
    """The CEL rules by the place that they belong to."""
    on_models = {(part.__name__, ""): ruled(group) for part, group in ON_MODELS.items()}
    on_fields = {
        (part.__name__, part.model_fields[name].alias or name): ruled(group)
        for (part, name), group in ON_FIELDS.items()
    }
    return on_models | on_fields


def ruled(group: Sequence[Rule]) -> Override:
    entries = [rule.to_schema() for rule in group]
    return lambda given: given | {"x-kubernetes-validations": entries}


def combined(first: Fields, then: Fields) -> Fields:
    """Both overrides, one after the other, where both name a field."""

    def both(one: Override, other: Override) -> Override:
        return lambda given: other(one(given))

    shared = {place: both(first[place], then[place]) for place in first.keys() & then.keys()}
    return {**first, **then, **shared}


def in_words(schema: Schema) -> Schema:
    """Each pattern becomes a CEL rule, whose sentence says what to write instead of quoting the pattern."""

    def change(node: Schema, where: str) -> Schema:
        pattern = node.pop("pattern", None)
        if pattern is None:
            return node
        if pattern not in FORMATS:
            raise SchemaError(f"{where} has the pattern {pattern}, for which formats.FORMATS has no sentence")
        rule = Rule(f"self.matches({literal(pattern)})", FORMATS[pattern]).to_schema()
        return node | {"x-kubernetes-validations": [rule, *node.get("x-kubernetes-validations", [])]}

    return changed(schema, change, "spec")


def bounded(schema: Schema, where: str) -> Schema:
    """Lists are atomic unless told apart by keys; whatever a CEL rule may read has a bound on its size."""

    def change(node: Schema, where: str) -> Schema:
        if node.get("type") == "array":
            if "maxItems" not in node:
                raise SchemaError(
                    f"{where} is a list without maxItems; the cost of CEL rules has no bound then"
                )
            return {"x-kubernetes-list-type": "atomic", **node}
        if (
            node.get("type") == "string"
            and where.startswith("spec")
            and not {"maxLength", "enum"} & node.keys()
        ):
            raise SchemaError(
                f"{where} is a string without maxLength; the cost of CEL rules has no bound then"
            )
        return node

    return changed(schema, change, where)


def columns() -> list[dict[str, Any]]:
    def column(name: str, kind: str, path: str, description: str, **more: int) -> dict[str, Any]:
        return {"name": name, "type": kind, "jsonPath": path, "description": description} | more

    return [column(*row) for row in COLUMNS] + [column(*row, priority=1) for row in WIDE_COLUMNS]


def main(files: list[str]) -> None:
    text = HEADER + yaml.safe_dump(crd(), sort_keys=False, width=110, allow_unicode=True)
    if not files:
        sys.stdout.write(text)
    for file in files:
        Path(file).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
