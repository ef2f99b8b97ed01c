"""Strategic merge: its laws on made-up pods, and examples of what users write."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrollout.serving.overlay import HANDLERS, MERGE_KEYS, VALUES, overlay

NAMES = st.sampled_from(["server", "sidecar", "shm"])
LEAVES = st.one_of(st.integers(0, 9), NAMES, st.lists(NAMES, max_size=2))
FIELDS = ("image", "args", "labels", "httpGet", "exec", "value")


def objects(depth, leaves, directives):
    """Pod-like objects: plain fields, nested ones, and keyed lists in which each key stands once."""
    if depth == 0:
        return st.dictionaries(st.sampled_from(FIELDS), leaves, max_size=2)
    inner = objects(depth - 1, leaves, directives)
    fields = {field: st.one_of(leaves, inner) for field in FIELDS}
    lists = {field: entries(key, inner, directives) for field, key in MERGE_KEYS.items()}
    return st.fixed_dictionaries({}, optional=fields | {name: lists[name] for name in ("containers", "env")})


def entries(key, inner, directives):
    entry = st.builds(
        lambda name, rest, directive: rest | {key: name} | ({"$patch": directive} if directive else {}),
        NAMES,
        inner,
        directives,
    )
    return st.lists(entry, max_size=3, unique_by=lambda each: each[key])


BASES = objects(2, LEAVES, st.none())
PATCHES = objects(2, st.one_of(LEAVES, st.none()), st.sampled_from([None, None, "delete", "replace"]))


def values_in(node):
    yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from values_in(child)


@given(BASES, PATCHES)
def test_an_overlay_twice_is_the_same_as_once_and_an_empty_one_changes_nothing(base, patch):
    once = overlay(base, patch)
    assert overlay(once, patch) == once
    assert overlay(base, {}) == base


@given(BASES, PATCHES)
def test_neither_side_is_changed_and_nothing_of_the_patch_language_is_left(base, patch):
    before = copy.deepcopy((base, patch))
    merged = overlay(base, patch)
    assert (base, patch) == before
    for node in values_in(merged):
        assert node is not None
        assert not (isinstance(node, dict) and "$patch" in node)


@given(BASES, PATCHES)
def test_what_the_overlay_names_wins_and_what_it_does_not_name_stays(base, patch):
    merged = overlay(base, patch)
    for key in base.keys() - patch.keys() - HANDLERS - VALUES:
        assert merged[key] == base[key]
    for key, value in patch.items():
        if key not in MERGE_KEYS and not isinstance(value, dict) and value is not None:
            assert merged[key] == value
    for field in {key for key in patch.keys() & MERGE_KEYS.keys() if patch[key] is not None}:
        keys = [entry[MERGE_KEYS[field]] for entry in merged[field]]
        known = [entry[MERGE_KEYS[field]] for entry in base.get(field, [])]
        assert len(keys) == len(set(keys))
        if not any(entry.get("$patch") == "replace" for entry in patch[field]):
            assert [key for key in keys if key in known] == [key for key in known if key in keys]


SERVER = {"name": "server", "image": "vllm:1", "args": ["--model=m"], "env": [{"name": "A", "value": "1"}]}


@pytest.mark.parametrize(
    ("base", "patch", "merged"),
    [
        pytest.param(
            {"containers": [SERVER]},
            {"containers": [{"name": "server", "env": [{"name": "HF_HOME", "value": "/cache"}]}]},
            {"containers": [SERVER | {"env": [*SERVER["env"], {"name": "HF_HOME", "value": "/cache"}]}]},
            id="a variable is added to the server",
        ),
        pytest.param(
            {"containers": [SERVER]},
            {"containers": [{"name": "proxy", "image": "proxy:1"}]},
            {"containers": [SERVER, {"name": "proxy", "image": "proxy:1"}]},
            id="a sidecar is added",
        ),
        pytest.param(
            {"containers": [SERVER]},
            {"containers": [{"name": "server", "args": ["--port=1"]}]},
            {"containers": [SERVER | {"args": ["--port=1"]}]},
            id="args are replaced whole",
        ),
        pytest.param(
            {"startupProbe": {"exec": {"command": ["python3"]}, "periodSeconds": 2}},
            {"startupProbe": {"httpGet": {"path": "/health", "port": "http"}}},
            {"startupProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 2}},
            id="another way to probe displaces ours",
        ),
        pytest.param(
            {"env": [{"name": "HF_TOKEN", "value": "x"}]},
            {"env": [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}}]},
            {"env": [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}}]},
            id="a secret displaces a value",
        ),
        pytest.param(
            {"volumes": [{"name": "shm", "emptyDir": {"medium": "Memory"}}]},
            {"volumes": [{"name": "shm", "emptyDir": {"sizeLimit": "8Gi"}}]},
            {"volumes": [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}}]},
            id="the same kind of volume is merged",
        ),
        pytest.param(
            {"volumes": [{"name": "shm", "emptyDir": {"medium": "Memory"}}]},
            {"volumes": [{"name": "shm", "hostPath": {"path": "/dev/shm"}}]},
            {"volumes": [{"name": "shm", "hostPath": {"path": "/dev/shm"}}]},
            id="another kind of volume displaces ours",
        ),
        pytest.param(
            {
                "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],
                "livenessProbe": {"periodSeconds": 9},
            },
            {"volumeMounts": [{"mountPath": "/dev/shm", "$patch": "delete"}], "livenessProbe": None},
            {"volumeMounts": []},
            id="entries and fields are deleted",
        ),
        pytest.param(
            {"containers": [SERVER], "nodeSelector": {"a": "1"}, "affinity": {"nodeAffinity": {}}},
            {
                "affinity": {"$patch": "delete"},
                "containers": [{"$patch": "replace"}, {"name": "only", "image": "other:1"}],
                "nodeSelector": {"$patch": "replace", "b": "2"},
            },
            {"containers": [{"name": "only", "image": "other:1"}], "nodeSelector": {"b": "2"}},
            id="lists and objects are replaced or deleted whole",
        ),
    ],
)
def test_what_users_write(base, patch, merged):
    assert overlay(base, patch) == merged


@pytest.mark.parametrize("entry", ["--flag", {"image": "vllm:2"}])
def test_an_entry_without_its_key_is_refused_with_the_field_it_stands_in(entry):
    with pytest.raises(ValueError, match=r"each entry of containers in runtime.podTemplate needs a name"):
        overlay({"containers": [SERVER]}, {"containers": [entry]})
