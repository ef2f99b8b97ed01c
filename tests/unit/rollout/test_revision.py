"""What is a new revision and what is not."""

from __future__ import annotations

import re
from typing import Any

import pytest

from modelrollout.api.model import Model, Runtime
from modelrollout.api.spec import Spec
from modelrollout.rollout.revision import content_hash, describe, revision_of
from tests.unit.rollout.world import spec_of

FULL: dict[str, Any] = {
    "model": {
        "uri": "hf://Qwen/Qwen3-8B",
        "revision": "4c446470ba0a",
        "servedName": "chat",
        "adapters": [{"name": "support", "uri": "hf://acme/support-lora"}],
    },
    "runtime": {
        "image": "vllm/vllm-openai:v0.32.0",
        "command": ["vllm", "serve"],
        "args": ["--max-model-len=8192"],
        "env": [{"name": "VLLM_LOGGING_LEVEL", "value": "INFO"}],
        "resources": {"limits": {"nvidia.com/gpu": 1}},
        "port": 9000,
        "podTemplate": {"spec": {"nodeSelector": {"gpu": "h100"}}},
    },
}


def full(**changes: Any) -> Spec:
    return spec_of(**{**FULL, **changes})


def test_the_hash_of_a_full_spec_is_what_it_always_was() -> None:
    """A golden value: if this fails, upgrading the operator would start a rollout in every cluster."""
    assert revision_of(full(), content_hash({"system": "Be kind."})) == "mjnlhqbzvf"


def test_the_hash_of_a_small_spec_is_what_it_always_was() -> None:
    assert revision_of(spec_of()) == "cv8dw7dhfv"


CHANGED = {
    "the model's uri": full(model={**FULL["model"], "uri": "hf://Qwen/Qwen3-4B"}),
    "the model's revision": full(model={**FULL["model"], "revision": "main"}),
    "the served name": full(model={**FULL["model"], "servedName": "talk"}),
    "the adapters": full(model={**FULL["model"], "adapters": []}),
    "the image": full(runtime={**FULL["runtime"], "image": "vllm/vllm-openai:v0.33.0"}),
    "the command": full(runtime={**FULL["runtime"], "command": []}),
    "an argument": full(runtime={**FULL["runtime"], "args": ["--max-model-len=4096"]}),
    "the order of arguments": full(runtime={**FULL["runtime"], "args": ["-a", "-b"]}),
    "the order of arguments, turned": full(runtime={**FULL["runtime"], "args": ["-b", "-a"]}),
    "a variable": full(runtime={**FULL["runtime"], "env": []}),
    "a resource": full(runtime={**FULL["runtime"], "resources": {"limits": {"nvidia.com/gpu": 2}}}),
    "the port": full(runtime={**FULL["runtime"], "port": 8000}),
    "the pod template": full(runtime={**FULL["runtime"], "podTemplate": {}}),
}


def test_whatever_makes_pods_answer_differently_is_a_new_revision() -> None:
    hashes = {what: revision_of(spec) for what, spec in CHANGED.items()} | {"nothing": revision_of(full())}
    assert len(set(hashes.values())) == len(hashes), hashes


def test_other_prompts_are_a_new_revision() -> None:
    kind, curt = content_hash({"system": "Be kind."}), content_hash({"system": "Be curt."})
    assert len({revision_of(full()), revision_of(full(), kind), revision_of(full(), curt)}) == 3


SAME = {
    "replicas": full(replicas=9),
    "the startup deadline": full(runtime={**FULL["runtime"], "startupDeadline": "1h"}),
    "how pods drain": full(runtime={**FULL["runtime"], "drain": {"timeout": "10m"}}),
    "the strategy": full(strategy={"blueGreen": {}}),
    "the rollback window": full(rollbackWindow="2h"),
    "an amount written as text": full(
        runtime={**FULL["runtime"], "resources": {"limits": {"nvidia.com/gpu": "1"}}}
    ),
    "defaults written out": full(
        runtime={**FULL["runtime"], "resources": {"limits": {"nvidia.com/gpu": 1}}, "startupDeadline": "30m"}
    ),
}


@pytest.mark.parametrize("what", SAME)
def test_it_is_not_a_new_revision_when_only_this_changes(what: str) -> None:
    assert revision_of(SAME[what]) == revision_of(full())


def test_a_field_written_as_its_default_is_as_if_it_were_absent() -> None:
    written = spec_of(
        model={"uri": "hf://Qwen/Qwen3-8B", "adapters": []}, runtime={"image": "vllm:1", "port": 8000}
    )
    assert revision_of(written) == revision_of(spec_of())


def test_every_field_of_model_and_runtime_is_in_the_revision_or_named_as_not() -> None:
    """A field added to the spec must be added to the hash, or said not to matter."""
    hashed = {"uri", "revision", "served_name", "served_names", "adapters", "server", "probe"}
    hashed |= {"image", "command", "args", "env", "resources", "port", "pod_template"}
    how_pods_come_and_go = {"startup_deadline", "drain"}
    assert set(Model.model_fields) | set(Runtime.model_fields) == hashed | how_pods_come_and_go


def test_a_revision_is_fit_for_names_labels_and_unquoted_yaml() -> None:
    for number in range(200):
        assert re.fullmatch(
            r"[b-df-hj-np-tv-xz][b-df-hj-np-tv-xz2-9]{9}", revision_of(spec_of(f"vllm:{number}"))
        )


def test_the_prompts_hash_is_of_the_content_not_of_the_order() -> None:
    assert content_hash({"a": "1", "b": "2"}) == content_hash({"b": "2", "a": "1"})
    assert content_hash({"a": "1"}) != content_hash({"a": "1"}, {"b": "AA=="})


def test_a_revision_is_described_by_model_and_image() -> None:
    assert describe(full()) == "hf://Qwen/Qwen3-8B@4c446470ba0a on vllm/vllm-openai:v0.32.0"
