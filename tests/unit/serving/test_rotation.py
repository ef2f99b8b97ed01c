"""Which pods rest, and the patches that say so."""

import pytest

from modelrollout.api.objects import DELETION_COST as COST
from modelrollout.serving.deployment import pod_labels
from modelrollout.serving.labels import identity, in_rotation
from modelrollout.serving.readiness import fleet
from modelrollout.serving.rotation import marks, narrowed, selecting
from tests.unit.serving.given import REVISION, spec
from tests.unit.serving.test_readiness import of_cluster, pod, slices

IDENTITY = identity("chat", REVISION)
SERVICE = {"spec": {"selector": IDENTITY}}
NARROW = {"spec": {"selector": in_rotation("chat", REVISION)}}


def marked(name, rotation, **state):
    """A ready pod with this label; None: without one."""
    labels = IDENTITY | ({"modelrollout.io/rotation": rotation} if rotation else {})
    return pod(name, ready=True, labels=labels, **state)


def said(pods, count):
    """Name of each pod that is patched -> what its label becomes."""
    return {each.name: each.operations[0]["value"] for each in marks(pods, IDENTITY, count)}


def test_a_pod_is_born_in_rotation_and_no_overlay_takes_it_out():
    overlay = {"metadata": {"labels": {"modelrollout.io/rotation": "out"}}}
    assert (
        pod_labels("chat", spec(runtime={"podTemplate": overlay}), REVISION)["modelrollout.io/rotation"]
        == "in"
    )


@pytest.mark.parametrize(
    ("before", "count", "patched"),
    [
        ("in in in in", 2, {"0": "out", "1": "out"}),
        ("in out in out", 2, {}),
        ("in out in out", 1, {"3": "in"}),
        ("in out in in", 2, {"0": "out"}),
        ("out out in in", 0, {"0": "in", "1": "in"}),
        ("in in", 5, {"0": "out", "1": "out"}),
        ("- in in -", 1, {"0": "out", "3": "in"}),
        ("- in - -", 0, {}),
    ],
)
def test_so_many_rest_and_those_that_rest_already_go_on(before, count, patched):
    pods = [marked(str(i), None if each == "-" else each) for i, each in enumerate(before.split())]
    assert said(pods, count) == patched


def test_a_pod_that_is_not_ready_never_rests():
    pods = [
        pod("a", labels=IDENTITY | {"modelrollout.io/rotation": "out"}),
        marked("b", "in"),
        marked("c", "in"),
    ]
    assert said(pods, 1) == {"a": "in", "b": "out"}


def test_pods_of_other_revisions_and_pods_that_leave_are_left_alone():
    other = pod("other", ready=True, labels=IDENTITY | {"modelrollout.io/revision": "x"})
    assert said([other, marked("gone", "in", deleted=True), marked("a", "in")], 3) == {"a": "out"}


def test_a_pod_that_rests_is_the_first_to_go_when_the_deployment_shrinks_and_no_longer_once_it_serves():
    bare, kept = marked("a", "in"), marked("b", "in")
    kept["metadata"]["annotations"] = {"mine": "1"}
    first, second = marks([bare, kept], IDENTITY, 2)
    assert first.operations[1] == {"op": "add", "path": "/metadata/annotations", "value": {COST: "-1"}}
    assert second.operations[1]["path"].endswith("controller.kubernetes.io~1pod-deletion-cost")
    resting = marked("a", "out")
    resting["metadata"]["annotations"] = {COST: "-1"}
    assert marks([resting], IDENTITY, 0)[0].operations[1]["op"] == "remove"
    resting["metadata"]["annotations"] = {COST: "7"}
    assert len(marks([resting], IDENTITY, 0)[0].operations) == 1, "a cost of somebody else stays"


def test_the_selector_is_narrowed_and_widened_only_on_the_revision_that_it_leads_to():
    *tests, replaced = selecting(SERVICE, "chat", REVISION, all_pods=False)
    assert {test["value"] for test in tests} == {"chat", REVISION}
    assert replaced["value"] == in_rotation("chat", REVISION)
    assert narrowed(NARROW)
    assert not narrowed(SERVICE)
    assert selecting(NARROW, "chat", REVISION, all_pods=True)[-1]["value"] == IDENTITY
    assert selecting(SERVICE, "chat", REVISION, all_pods=True) == []


def test_a_pod_that_rests_is_ready_though_the_stable_service_does_not_list_it():
    pods = [marked("a", "in"), marked("b", "out"), marked("c", None), pod("d", labels=IDENTITY)]
    found = fleet(of_cluster(), pods, {"chat-stable": slices(("a", True))})
    assert (found.ready, found.out, found.resting, found.unmarked) == (2, 1, 1, 1)


def test_a_pod_that_is_listed_again_rests_no_more():
    found = fleet(of_cluster(), [marked("b", "out")], {"chat-stable": slices(("b", True))})
    assert (found.ready, found.out, found.resting) == (1, 1, 0)
