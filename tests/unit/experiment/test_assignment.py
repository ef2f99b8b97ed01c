"""A user's arm is the same wherever it is asked for, and stays while the weight grows."""

from __future__ import annotations

import re

import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext

from modelrollout.experiment import outcomes
from modelrollout.experiment.assignment import arm_of, cohort, header_value
from modelrollout.openfeature import ModelRolloutProvider
from modelrollout.traffic.cohorts import below
from tests.unit.experiment.given import experiment

USERS = [f"user-{number}" for number in range(10_000)]


@pytest.mark.parametrize("weight", [1, 5, 25, 50, 99])
def test_the_gateways_expression_and_the_hash_name_the_same_arm(weight):
    expression = re.compile(below(weight))
    for user in USERS[:2000]:
        at_the_gateway = "canary" if expression.match(header_value(user, "chat")) else "stable"
        assert at_the_gateway == arm_of(user, "chat", weight)


def test_10_000_users_are_in_the_same_arm_by_route_provider_and_log_while_the_weight_grows():
    before: set[str] = set()
    for weight in (25, 50):
        expression, provider = re.compile(below(weight)), ModelRolloutProvider(weight={"chat": weight}.get)
        rows = ((user, {"user": user, "time": 0}) for user in USERS)
        by_log = outcomes.read(rows, experiment(split=weight)).users
        canary = set()
        for user in USERS:
            by_route = "canary" if expression.match(header_value(user, "chat")) else "stable"
            context = EvaluationContext(targeting_key=user)
            by_provider = provider.resolve_string_details("chat", "stable", context).value
            assert by_route == by_provider == by_log[user].arm
            if by_route == "canary":
                canary.add(user)
        assert before < canary, "nobody leaves the canary"
        before = canary


def test_the_openfeature_provider_names_the_same_arm_as_the_hash_while_the_weight_grows():
    weights = {"chat": 0}
    api.set_provider(ModelRolloutProvider(weight=weights.get), domain="arms")
    client = api.get_client("arms")
    before: set[str] = set()
    for weight in (5, 25, 50, 100):
        weights["chat"] = weight
        canary = set()
        for user in USERS[:500]:
            context = EvaluationContext(targeting_key=user)
            told = client.get_string_value("chat", "nobody", context)
            assert told == arm_of(user, "chat", weight)
            assert client.get_boolean_value("chat", False, context) == (told == "canary")
            if told == "canary":
                canary.add(user)
        assert before <= canary
        before = canary


def test_what_the_provider_cannot_say_leaves_the_applications_default():
    api.set_provider(ModelRolloutProvider(weight={"chat": 50}.get), domain="mistakes")
    client = api.get_client("mistakes")
    unknown = client.get_string_details("other", "stable", EvaluationContext(targeting_key="u"))
    assert (unknown.value, unknown.error_message) == ("stable", 'No rollout is called "other".')
    nameless = client.get_string_details("chat", "stable")
    assert (nameless.value, nameless.error_message) == (
        "stable",
        "The user's name is needed as the targeting key.",
    )
    number = client.get_integer_details("chat", 3, EvaluationContext(targeting_key="u"))
    assert number.value == 3


def test_cohorts_are_even_and_another_salt_deals_them_out_anew():
    counts = [0] * 100
    for user in USERS:
        counts[cohort(user, "chat")] += 1
    assert min(counts) > 60
    assert max(counts) < 145
    both = sum(arm_of(user, "chat", 50) == arm_of(user, "other", 50) for user in USERS)
    assert 4800 < both < 5200


def test_the_hash_is_the_documented_one():
    assert [header_value(user, "chat") for user in ("u1", "u2", "ü")] == [
        documented(user) for user in ("u1", "u2", "ü")
    ]


def documented(user: str) -> str:
    import hashlib

    return f"{int(hashlib.sha256(f'chat:{user}'.encode()).hexdigest()[:16], 16) % 100:02}"
