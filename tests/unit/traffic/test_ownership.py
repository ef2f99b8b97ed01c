"""Patches that rest on what was read, and the name of whoever wrote in between."""

import json

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrollout.api.objects import Ref
from modelrollout.traffic.ownership import changes, pointer, writer

REF = Ref("v1", "things", "thing")

SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab/~", max_size=3)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("ab/~", max_size=2), inner, max_size=3)
        | st.lists(st.fixed_dictionaries({"name": st.sampled_from("abc"), "weight": inner}), max_size=4)
    ),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from(["spec", "rules", "a/b", "m~n"]), VALUES, max_size=3)


def patched(before, after, guards=()):
    operations = [dict(op) for patch in changes(REF, before, after, guards) for op in patch.operations]
    return jsonpatch.apply_patch(before, operations)


@given(OBJECTS, OBJECTS)
def test_the_patch_leads_from_any_object_to_any_other(before, after):
    assert strict(patched(before, after)) == strict(after)


@given(OBJECTS)
def test_equal_objects_need_no_patch(thing):
    assert changes(REF, thing, thing, [()]) == ()


@given(OBJECTS, OBJECTS)
def test_tests_come_before_edits_and_hold_for_what_was_read(before, after):
    for patch in changes(REF, before, after):
        kinds = [operation["op"] for operation in patch.operations]
        assert kinds == sorted(kinds, key=lambda kind: kind != "test")
        tests = [dict(op) for op in patch.operations if op["op"] == "test"]
        assert tests
        assert jsonpatch.apply_patch(before, tests) == before


@given(OBJECTS, OBJECTS, st.data())
def test_whoever_wrote_first_where_we_edit_makes_the_patch_fail(before, after, data):
    operations = [dict(op) for patch in changes(REF, before, after) for op in patch.operations]
    edits = [op["path"] for op in operations if op["op"] != "test"]
    if not edits:
        return
    theirs = {"op": "add", "path": data.draw(st.sampled_from(edits)), "value": "someone else's"}
    with pytest.raises((jsonpatch.JsonPatchTestFailed, jsonpatch.JsonPatchConflict)):
        jsonpatch.apply_patch(jsonpatch.apply_patch(before, [theirs]), operations)


def strict(value):
    """Equality that tells true from 1."""
    return json.dumps(value, sort_keys=True)


def test_a_key_is_added_only_while_its_neighbours_are_as_read():
    before = {"spec": {"mirror": {"host": "a"}}}
    (patch,) = changes(REF, before, {"spec": {"mirror": {"host": "a"}, "share": 5}})
    operations = [dict(op) for op in patch.operations]
    with pytest.raises(jsonpatch.JsonPatchTestFailed):
        jsonpatch.apply_patch({"spec": {"mirror": {"host": "a"}, "share": 80}}, operations)


def test_a_list_gains_and_loses_entries_only_while_it_is_as_read():
    before = {"rules": [{"name": "a"}, {"name": "b"}]}
    (patch,) = changes(REF, before, {"rules": [{"name": "a"}, {"name": "mine"}, {"name": "b"}]})
    operations = [dict(op) for op in patch.operations]
    with pytest.raises(jsonpatch.JsonPatchTestFailed):
        jsonpatch.apply_patch({"rules": [{"name": "new"}, {"name": "a"}, {"name": "b"}]}, operations)


def test_one_weight_is_one_small_edit():
    before = {"rules": [{"name": "a", "refs": [{"name": "x", "weight": 1}, {"name": "y", "weight": 0}]}]}
    after = {"rules": [{"name": "a", "refs": [{"name": "x", "weight": 1}, {"name": "y", "weight": 5}]}]}
    (patch,) = changes(REF, before, after)
    assert patch.operations == (
        {"op": "test", "path": "/rules/0/refs/1/weight", "value": 0},
        {"op": "replace", "path": "/rules/0/refs/1/weight", "value": 5},
    )


def test_the_first_annotation_rests_on_the_version_of_the_object():
    before = {"metadata": {"name": "x", "resourceVersion": "7"}}
    (patch,) = changes(
        REF, before, {"metadata": {"name": "x", "resourceVersion": "7", "annotations": {"a": "b"}}}
    )
    assert patch.operations[0] == {"op": "test", "path": "/metadata/resourceVersion", "value": "7"}


def test_paths_escape_slashes_and_tildes():
    assert pointer(["metadata", "annotations", "modelrollout.io/x~y", 0]) == (
        "/metadata/annotations/modelrollout.io~1x~0y/0"
    )


# ── who wrote ────────────────────────────────────────────────────────────────────────────────────


def entry(manager, time, fields, **more):
    return {"manager": manager, "operation": "Update", "time": time, "fieldsV1": fields, **more}


def written(*entries):
    return {"metadata": {"managedFields": list(entries)}}


RULES = {"f:spec": {"f:rules": {}}}


@pytest.mark.parametrize(
    ("why", "found", "name"),
    [
        ("nobody is known to have written", written(), None),
        ("the API server kept no record", {"metadata": {}}, None),
        ("it was another", written(entry("argocd", "2026-01-01T00:00:00Z", RULES)), "argocd"),
        (
            "it was the later of two others",
            written(
                entry("kubectl", "2026-01-02T00:00:00Z", RULES),
                entry("argocd", "2026-01-01T00:00:00Z", RULES),
            ),
            "kubectl",
        ),
        (
            "we still own it, so nobody has changed it since",
            written(
                entry("modelrollout", "2026-01-01T00:00:00Z", RULES),
                entry("argocd", "2026-01-02T00:00:00Z", RULES),
            ),
            None,
        ),
        (
            "others wrote elsewhere or only the status",
            written(
                entry("argocd", "2026-01-01T00:00:00Z", {"f:metadata": {"f:labels": {}}}),
                entry("gateway", "2026-01-01T00:00:00Z", RULES, subresource="status"),
            ),
            None,
        ),
        (
            "it wrote inside our part",
            written(entry("flux", "2026-01-01T00:00:00Z", {"f:spec": {"f:rules": {"f:x": {}}}})),
            "flux",
        ),
    ],
)
def test_the_writer_is_named_when(why, found, name):
    assert writer(found, ("spec", "rules")) == name
