"""Two rollouts that want to move the same traffic know of each other."""

import pytest

from modelrollout.api.names import RolloutKey
from modelrollout.traffic.claims import Claims
from tests.apiserver.scene import rollout

OLD, NEW, ELSEWHERE = RolloutKey("ns", "old"), RolloutKey("ns", "new"), RolloutKey("other", "old")


def body(at, service="chat", generation=1, uid=None):
    manifest = rollout(at.name, service=service)
    return {**manifest, "metadata": {"uid": uid or f"{at}", "generation": generation}}


@pytest.fixture
def claims():
    return Claims()


def test_who_names_the_same_route_or_service_is_a_rival(claims):
    claims.learn(OLD, body(OLD))
    claims.learn(NEW, body(NEW))
    assert claims.rivals(OLD) == {NEW: "httproutes/chat#completions"}
    assert claims.rivals(NEW) == {OLD: "httproutes/chat#completions"}


def test_other_services_and_other_namespaces_are_not_claimed(claims):
    claims.learn(OLD, body(OLD))
    claims.learn(NEW, body(NEW, service="other"))
    claims.learn(ELSEWHERE, body(ELSEWHERE))
    assert claims.rivals(OLD) == claims.rivals(NEW) == claims.rivals(ELSEWHERE) == {}


def test_when_one_goes_the_others_hear_that_its_target_is_free(claims):
    claims.learn(OLD, body(OLD))
    claims.learn(NEW, body(NEW))
    assert claims.forget(OLD) == {NEW}
    assert claims.rivals(NEW) == {}


def test_when_one_turns_to_another_target_the_others_hear_of_it_too(claims):
    claims.learn(OLD, body(OLD))
    claims.learn(NEW, body(NEW))
    assert claims.learn(OLD, body(OLD, generation=1)) == set()
    assert claims.learn(OLD, body(OLD, service="other", generation=2)) == {NEW}
    assert claims.rivals(NEW) == {}


def test_a_rollout_made_anew_under_the_same_name_is_read_again(claims):
    claims.learn(OLD, body(OLD))
    claims.learn(OLD, body(OLD, service="other", uid="another"))
    claims.learn(NEW, body(NEW))
    assert claims.rivals(NEW) == {}


def test_a_spec_that_nobody_understands_claims_nothing(claims):
    claims.learn(OLD, {**body(OLD), "spec": {"strategy": "hope"}})
    claims.learn(NEW, body(NEW))
    assert claims.rivals(NEW) == {}
