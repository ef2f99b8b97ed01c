"""What stands against a rollout is a sentence, whatever is wrong: an obstacle leaves the way back open."""

from types import SimpleNamespace

import pytest

from modelrollout.api.evaluations import Evaluation
from modelrollout.api.names import RolloutKey
from modelrollout.api.problem import Problem
from modelrollout.engine.observing.obstacles import obstacle
from modelrollout.engine.snapshot import Snapshot
from modelrollout.rollout.revision import revision_of
from modelrollout.traffic.registry import router_for
from modelrollout.traffic.router import Site
from tests.unit.serving import given


def view(spec, **facts):
    return Snapshot(
        key=RolloutKey("ml", "chat"),
        resource=given.ROLLOUT,
        spec=spec,
        status=None,
        revision=revision_of(spec),
        router=router_for(spec.traffic, spec.strategy),
        site=Site("chat", "ml", "chat", None, None),
        objects={},
        **{"service": given.service()} | facts,
    )


def test_a_rollout_that_can_be_has_no_obstacle():
    assert obstacle(view(given.spec())) is None


@pytest.mark.parametrize(
    "pod",
    [{"containers": None}, {"$patch": "replace"}, {"volumes": [{"name": {}}]}, "x", [], 7],
    ids=str,
)
def test_a_slip_in_the_pod_template_is_an_obstacle_and_no_crash(pod):
    found = obstacle(view(given.spec(runtime={"podTemplate": {"spec": pod}})))
    assert found.reason == "ImpossiblePod"
    assert "runtime.podTemplate" in found.message


def test_a_spec_that_is_not_understood_is_an_obstacle():
    found = obstacle(view(given.spec(), misread="spec.replicas is not understood"))
    assert found == Problem("SpecNotUnderstood", "spec.replicas is not understood")


def test_a_fault_of_the_operator_in_looking_for_obstacles_is_one():
    broken = SimpleNamespace(spec=SimpleNamespace(traffic=None), misread="", key=None)
    assert obstacle(broken).reason == "NotChecked"


PRIVILEGED = {"spec": {"hostNetwork": True, "serviceAccountName": "admin-sa"}}


def test_the_administrators_policy_refuses_a_template_with_all_that_it_asks_for():
    found = obstacle(view(given.spec(runtime={"podTemplate": PRIVILEGED})), "baseline")
    assert found.reason == "PodNotAllowed"
    assert "hostNetwork, serviceAccountName admin-sa" in found.message
    assert obstacle(view(given.spec(runtime={"podTemplate": PRIVILEGED})), "any") is None
    assert obstacle(view(given.spec()), "baseline") is None


@pytest.mark.parametrize(("when", "reason"), [("99 2 * * *", "BadSchedule"), ("0 2 * * *", None)])
def test_a_schedule_that_cannot_be_read_is_an_obstacle_with_what_to_write(when, reason):
    nightly = {"name": "nightly", "policy": {"configMap": "quality"}, "when": when}
    evaluations = [Evaluation.model_validate(nightly)]
    found = obstacle(view(given.spec().model_copy(update={"evaluations": evaluations})))
    assert (found.reason if found is not None else None) == reason
    assert found is None or "such as 0 2 * * *" in found.message
