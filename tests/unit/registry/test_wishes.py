"""What a registry is to say follows from status alone."""

import json

import pytest

from modelrollout.api.names import RolloutKey
from modelrollout.api.spec import Spec
from modelrollout.api.status import Status
from modelrollout.registry.address import Version
from modelrollout.registry.wishes import LONGEST_TAG, Name, Wishes, wishes
from tests.apiserver.scene import rollout

AT, ADDRESS = RolloutKey("prod", "chat"), "http://mlflow:5000"
KEY = "modelrollout.io/prod/chat"


def registered(number, registry=ADDRESS):
    return {"version": f"mlflow://chatbot/{number}", "registry": registry}


def outcome(number, outcome="Promoted", at="2026-11-28T01:00:00Z", **more):
    given = {"revision": f"r{number}", "outcome": outcome, "reason": outcome, "message": "Because.", "at": at}
    return {**given, "registered": registered(number), **more}


def wished(status, registry=None, reports=lambda _: (), **spec):
    given = {"address": ADDRESS} if registry is None else registry
    body = rollout(model={"uri": "mlflow://chatbot@challenger"}, registry=given, **spec)["spec"]
    return wishes(AT, Spec.model_validate(body), Status.model_validate(status), reports)


def serving(number, **more):
    return {"phase": "Stable", "stable": {"revision": "r", "registered": registered(number)}, **more}


def test_the_champion_is_the_version_that_serves():
    assert wished(serving(2)).name == Name("champion", Version("chatbot", "2"))


@pytest.mark.parametrize(
    "status",
    [
        {"phase": "Installing", "stable": {"revision": "r", "registered": registered(2)}},
        {"phase": "Stable", "stable": {"revision": "r"}},
        {"phase": "Stable", "stable": {"revision": "r", "registered": registered(2, "http://other:5000")}},
        {},
    ],
)
def test_no_alias_moves_before_a_version_of_this_registry_serves(status):
    assert wished(status) == Wishes()


def test_an_empty_champion_alias_moves_none():
    assert wished(serving(2), {"address": ADDRESS, "championAlias": ""}).name is None


def test_while_a_version_is_on_trial_the_one_that_serves_is_the_champion():
    on_trial = {"canary": {"revision": "r3", "registered": registered(3)}}
    assert wished(serving(2, **on_trial)).name == Name("champion", Version("chatbot", "2"))


def test_of_two_trials_of_a_version_the_newer_one_counts():
    history = [outcome(3, "Reverted"), outcome(3, "Promoted", at="2026-11-28T02:00:00Z")]
    (told,) = wished(serving(3, history=history)).accounts
    assert told.tags[f"{KEY}/outcome"] == "Promoted"
    assert told.seal == (f"{KEY}/at", "2026-11-28T02:00:00Z")


def test_the_last_trial_comes_with_its_evidence_and_its_evaluations():
    metrics = [{"name": "errors", "verdict": "Worse", "message": "5 % of 1,000, 1 % of 1,000"}]
    status = serving(
        2,
        history=[outcome(3, "Reverted", message="errors: worse")],
        analysis={"verdict": "Fail", "looks": 7, "metrics": metrics},
        evaluations=[
            {"name": "golden", "revision": "r3", "run": "x", "verdict": "Pass", "message": "90 of 100"},
            {"name": "other", "revision": "r2", "run": "x", "verdict": "Fail"},
        ],
    )
    (told,) = wished(status).accounts
    assert told.tags[f"{KEY}/why"] == "errors: worse"
    evidence = json.loads(told.tags[f"{KEY}/evidence"])
    assert (evidence["verdict"], evidence["metrics"]) == ("Fail", metrics)
    assert told.tags[f"{KEY}/evaluation.golden"] == "Pass: 90 of 100"
    assert f"{KEY}/evaluation.other" not in told.tags
    record = json.loads(told.record)
    assert record["analysis"]["metrics"][0]["name"] == "errors"
    assert told.path == "modelrollout/prod.chat/r3-2026-11-28T010000Z.json"


def test_evidence_of_a_trial_that_another_one_followed_is_not_taken_from_that_one():
    status = serving(
        2,
        canary={"revision": "r4"},
        history=[outcome(3, "Reverted")],
        analysis={"verdict": "Insufficient"},
    )
    (told,) = wished(status).accounts
    assert told.tags[f"{KEY}/evidence"].startswith("not kept")


def test_no_tag_is_longer_than_older_servers_take():
    metrics = [{"name": f"m{number}", "verdict": "Proven", "message": "x" * 1000} for number in range(32)]
    status = serving(
        2,
        history=[outcome(3, message="y" * 9000)],
        analysis={"verdict": "Pass", "message": "z" * 900, "metrics": metrics},
    )
    (told,) = wished(status).accounts
    assert all(len(value) <= LONGEST_TAG for value in told.tags.values())
    assert len(json.loads(told.tags[f"{KEY}/evidence"])["metrics"]) == 32


def test_nothing_is_wished_of_a_registry_without_an_address():
    assert wished(serving(2), {"follow": False}) == Wishes()


def test_the_record_of_the_last_trial_has_the_reports_of_its_experiments():
    tone = {"name": "tone", "markdown": "# tone"}
    status = serving(3, history=[outcome(3)], evidence={"tallies": ["one"]})
    (told,) = wished(
        status, reports=lambda evidence: [{**tone, "picture": str(evidence["tallies"])}]
    ).accounts
    assert json.loads(told.record)["reports"] == [{**tone, "picture": "['one']"}]
    on_trial = {**status, "canary": {"revision": "r4"}}
    (told,) = wished(on_trial, reports=lambda _: [tone]).accounts
    assert json.loads(told.record)["reports"] == [], "the evidence is that of the next trial"
