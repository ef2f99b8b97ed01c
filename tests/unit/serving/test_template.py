"""Whatever is written into the overlay, it becomes a pod or a sentence; it never becomes a crash."""

import contextlib
import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelrollout.serving.deployment import deployment, pod_labels
from modelrollout.serving.services import port_problem
from tests.unit.serving.given import REVISION, ROLLOUT, service, spec

TEMPLATE = {
    "metadata": {"labels": {"team": "ml"}, "annotations": {"prometheus.io/scrape": "true"}},
    "spec": {
        "nodeSelector": {"accelerator": "h100"},
        "initContainers": [
            {"name": "sync", "image": "sync:1", "restartPolicy": "Always", "ports": [{"containerPort": 9100}]}
        ],
        "containers": [
            {
                "name": "server",
                "env": [{"name": "HF_TOKEN", "value": "x"}],
                "resources": {"limits": {"nvidia.com/gpu": 1}},
                "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
            },
            {"name": "auth", "image": "auth:1", "ports": [{"name": "https", "containerPort": 8443}]},
        ],
        "volumes": [{"name": "cache", "emptyDir": {}}],
    },
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 70000) | st.sampled_from(["", "server", "replace", "x"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["$patch", "name", "containers", "spec", "ports", "x"]), inner, max_size=2
        )
    ),
    max_leaves=4,
)


def places(value, path=()):
    """Every place of a JSON value, as the keys that lead to it."""
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*path, key))


def replaced(value, path, new):
    if not path:
        return new
    value = copy.copy(value)
    value[path[0]] = replaced(value[path[0]], path[1:], new)
    return value


def build(template):
    return deployment(ROLLOUT, spec(runtime={"podTemplate": template}), REVISION, 2, None)


@settings(deadline=None)
@given(st.sampled_from([place for place in places(TEMPLATE) if place]), JSON)
def test_a_template_with_any_part_replaced_is_a_pod_or_a_sentence(place, new):
    template = replaced(TEMPLATE, place, new)
    pod_labels("chat", spec(runtime={"podTemplate": template}), REVISION)
    with contextlib.suppress(ValueError):
        body = build(template)
        json.dumps(body)
        port_problem(service(), body)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ({"spec": {"containers": None}}, "leaves the pod without containers"),
        ({"spec": {"$patch": "replace", "restartPolicy": "Always"}}, "leaves the pod without containers"),
        ({"spec": None}, "leaves the pod without containers"),
        ({"spec": "x"}, "spec must be an object; got 'x'"),
        ({"spec": {"containers": 5}}, "containers must be a list; got 5"),
        ({"spec": {"volumes": [{"name": {"a": 1}}]}}, "each entry of volumes in runtime.podTemplate needs a"),
        ({"spec": {"containers": [{"name": "vllm"}]}}, "container vllm .* has no image.* name it server"),
        (
            {"spec": {"containers": [{"name": "server", "ports": [{"containerPort": "x"}]}]}},
            "ports of container server",
        ),
        ({"metadata": {"labels": {"team": 5}}}, "labels must map names to text"),
        ({"metadata": "x"}, "metadata must be an object"),
        (
            {"spec": {"containers": [{"name": "server", "args": ["--max-model-len=8192"]}]}},
            "--model, .*runtime.args",
        ),
        ({"spec": {"containers": [{"name": "server", "args": None}]}}, "--model, .*would be missing"),
    ],
)
def test_a_slip_is_refused_with_what_to_write(template, said):
    with pytest.raises(ValueError, match=said):
        build(template)


def test_args_that_hold_all_of_the_operators_flags_or_a_command_of_its_own_are_the_users_choice():
    [server] = build({})["spec"]["template"]["spec"]["containers"]
    for choice in ({"args": [*server["args"], "--seed=7"]}, {"command": ["serve"], "args": ["--all"]}):
        body = build({"spec": {"containers": [{"name": "server", **choice}]}})
        assert body["spec"]["template"]["spec"]["containers"][0]["args"] == choice["args"]


def test_deeper_than_anybody_writes_is_a_sentence_too():
    deep = {}
    for _ in range(5000):
        deep = {"spec": deep}
    with pytest.raises(ValueError, match="cannot be merged into the pod"):
        build(deep)


def test_the_labels_of_pods_are_known_without_building_one():
    template = {"metadata": {"labels": {"team": "ml", "modelrollout.io/rollout": "mine"}}}
    with_labels = spec(runtime={"podTemplate": template})
    made = deployment(ROLLOUT, with_labels, REVISION, 2, None)["spec"]["template"]["metadata"]["labels"]
    assert pod_labels("chat", with_labels, REVISION) == made
