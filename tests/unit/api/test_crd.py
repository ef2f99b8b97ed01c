"""The committed CRD is what the models say, and what apiextensions/v1 takes."""

import re

import pytest
import yaml
from kubernetes.aio.client import V1JSONSchemaProps
from pydantic import BaseModel, Field

from modelrollout.api import spec
from modelrollout.api.crd import HEADER, ON_FIELDS, ON_MODELS, columns, crd, in_words, main, resource_schema
from modelrollout.api.rules.model import POD_LABELS
from modelrollout.api.rules.whole import ON_RESOURCE
from modelrollout.api.schema import SchemaError, structural
from tests.bed.folders import REPOSITORY

ALLOWED = {
    *("type", "description", "enum", "required", "format", "default", "properties", "items"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "pattern"),
    *("minLength", "maxLength", "minItems", "maxItems", "maxProperties", "additionalProperties", "anyOf"),
    *("x-kubernetes-validations", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"),
    *("x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string"),
}


def nodes(schema, path=""):
    yield path, schema
    for name, node in schema.get("properties", {}).items():
        yield from nodes(node, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")


SCHEMA = dict(nodes(resource_schema()))


def test_the_committed_crd_is_what_the_models_say(tmp_path):
    fresh = tmp_path / "crd.yaml"
    main([str(fresh)])
    for copy in ("crds/modelrollouts.yaml", "charts/modelrollout/files/modelrollouts.yaml"):
        assert (REPOSITORY / copy).read_text() == fresh.read_text(), (
            f"{copy} is stale: run `python -m modelrollout.api.crd {copy}`"
        )


def test_without_arguments_it_prints(capsys):
    main([])
    printed = capsys.readouterr().out
    assert printed.startswith(HEADER)
    assert yaml.load(printed, yaml.CSafeLoader) == crd()


def test_the_kubernetes_client_reads_the_schema():
    V1JSONSchemaProps.model_validate(resource_schema())


def test_no_field_has_a_name_that_kubectl_reads_as_true_or_false():
    """YAML 1.1 does so with these words, and the list of required fields then holds no names."""
    names = {name for node in SCHEMA.values() for name in node.get("properties", {})}
    assert not {name for name in names if name.lower() in ("y", "n", "yes", "no", "on", "off")}


def test_no_node_says_what_a_structural_schema_has_no_word_for():
    assert {(path, key) for path, node in SCHEMA.items() for key in node.keys() - ALLOWED} == set()


def test_only_what_kubernetes_or_the_engine_defines_keeps_unknown_fields():
    kept = {path for path, node in SCHEMA.items() if "x-kubernetes-preserve-unknown-fields" in node}
    assert kept == {
        ".spec.evaluations[].env[]",
        ".spec.evaluations[].resources.claims[]",
        ".spec.runtime.env[]",
        ".spec.runtime.podTemplate.spec",
        ".spec.runtime.probe.body",
        ".spec.runtime.resources.claims[]",
        ".status.evidence",
        ".status.originalTraffic",
    }


def test_only_replicas_has_a_default_on_the_server():
    assert [path for path, node in SCHEMA.items() if "default" in node] == [".spec.replicas"]


def test_other_defaults_are_given_in_words():
    assert SCHEMA[".spec.analysis.interval"]["description"].endswith("Default: 30s.")


def test_every_field_is_described():
    """`kubectl explain` shows it. Items of a plain list are what the list is; metadata is Kubernetes' own."""
    fields = {
        path: node for path, node in SCHEMA.items() if not path.endswith("[]") or node["type"] == "object"
    }
    del fields[".metadata"]
    assert [path for path, node in fields.items() if not node.get("description", "").strip()] == []


def test_descriptions_are_sentences_in_a_users_words():
    """Of names as Python has them, of defaults that say nothing, and of sentences that do not end."""
    told = {path: node["description"] for path, node in SCHEMA.items() if "description" in node}
    python = re.compile(
        r"[A-Za-z0-9]_[A-Za-z0-9]|\bNone\b|\bTrue or None\b|\bdict\b|default_factory|`[a-z]+_"
    )
    assert {path: text for path, text in told.items() if python.search(text)} == {}
    assert {path: text for path, text in told.items() if re.search(r"Default: ?\.", text)} == {}
    assert {path: text for path, text in told.items() if not text.endswith((".", "…"))} == {}


def test_a_reported_field_promises_no_default():
    told = [node.get("description", "") for path, node in SCHEMA.items() if path.startswith(".status")]
    assert [text for text in told if "Default" in text] == []


def test_every_list_says_how_it_merges():
    lists = {path: node for path, node in SCHEMA.items() if node["type"] == "array"}
    keyed = {
        path: node["x-kubernetes-list-map-keys"]
        for path, node in lists.items()
        if node["x-kubernetes-list-type"] == "map"
    }
    assert keyed == {
        ".spec.evaluations": ["name"],
        ".spec.evaluations[].env": ["name"],
        ".spec.model.adapters": ["name"],
        ".spec.runtime.env": ["name"],
        ".status.conditions": ["type"],
    }


def test_no_rule_is_bound_to_status():
    assert [
        path
        for path, node in SCHEMA.items()
        if path.startswith(".status") and "x-kubernetes-validations" in node
    ] == []


def test_every_field_that_a_user_writes_is_a_word_in_camel_case():
    assert [path for path in SCHEMA if "_" in path] == []


def test_columns_show_what_one_asks_first():
    assert [column["name"] for column in columns() if "priority" not in column] == [
        "Phase",
        "Step",
        "Weight",
        "Verdict",
        "Ready",
        "Revision",
        "Operator",
        "Age",
    ]


@pytest.mark.parametrize("column", columns(), ids=lambda column: column["name"])
def test_every_column_reads_a_field_of_its_type(column):
    if column["type"] == "date":
        return
    path = re.sub(r"\[\?\(.*?\)\]", "[]", column["jsonPath"])  # a filter picks an item of a list
    assert SCHEMA[path]["type"] == column["type"]


def test_the_scale_subresource_reads_fields_that_exist():
    paths = crd()["spec"]["versions"][0]["subresources"]["scale"]
    assert {SCHEMA[path]["type"] for path in paths.values()} == {"integer", "string"}


def test_of_metadata_the_schema_says_nothing_but_of_its_names():
    """The API server refuses the whole CRD otherwise."""
    metadata = resource_schema()["properties"]["metadata"]
    assert metadata.keys() == {"type", "properties"}
    assert metadata["properties"].keys() <= {"name", "generateName"}


def test_every_rule_fits_a_line():
    """The API server quotes rules and refuses messages with line breaks."""
    groups = ((*ON_RESOURCE, POD_LABELS), *ON_MODELS.values(), *ON_FIELDS.values())
    said = [text for group in groups for rule in group for text in rule.to_schema().values()]
    assert [text for text in said if "\n" in text] == []


class TestWhatTheGeneratorRefuses:
    def test_a_union(self):
        class Either(BaseModel):
            field: int | str

        with pytest.raises(SchemaError, match=r"Either\.field is a union of 2 types"):
            structural(Either, {})

    def test_a_model_that_holds_itself(self):
        with pytest.raises(SchemaError, match="holds itself"):
            structural(Forest, {})

    def test_a_keyword_without_a_counterpart(self):
        class Odd(BaseModel):
            field: int = Field(multiple_of=2)

        with pytest.raises(SchemaError, match="says multipleOf"):
            structural(Odd, {})

    def test_a_field_of_any_type(self):
        class Anything(BaseModel):
            field: object

        with pytest.raises(SchemaError, match=r"Anything\.field has no type"):
            structural(Anything, {})

    def test_a_pattern_without_a_sentence(self):
        with pytest.raises(SchemaError, match="no sentence"):
            in_words({"type": "string", "pattern": "^x$"})


class Tree(BaseModel):
    branches: list["Tree"]


class Forest(BaseModel):
    trees: list[Tree]


def test_exclusive_bounds_become_flags():
    class Bounded(BaseModel):
        share: float = Field(gt=0, lt=1)

    assert structural(Bounded, {})["properties"]["share"] == {
        "type": "number",
        "minimum": 0,
        "exclusiveMinimum": True,
        "maximum": 1,
        "exclusiveMaximum": True,
    }


def test_a_resource_as_the_server_stores_it_is_read_whole():
    """Defaults that the schema does not store are the models' own."""
    read = spec.Spec.model_validate(
        {
            "replicas": 1,
            "model": {"uri": "hf://org/name"},
            "runtime": {"image": "vllm"},
            "traffic": {"service": "chat"},
            "strategy": {"canary": {"steps": [{"weight": 50, "for": "1m"}, {"pause": {}}]}},
        }
    )
    assert (read.rollback_window, read.traffic.tolerance) == ("1h", 5)
    assert read.strategy.canary is not None
    assert read.strategy.canary.steps[0].for_ == "1m"
