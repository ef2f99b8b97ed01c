"""An object of somebody else has the name of one of ours."""

import pytest

from modelrollout.engine.observing.obstacles import taken


def test_a_service_that_users_are_on_can_be_handed_over_and_the_sentence_says_how():
    body = {"kind": "Service", "metadata": {"name": "chat-stable", "namespace": "ml"}}
    said = taken(body, "chat").message
    assert "label it modelrollout.io/rollout=chat" in said
    assert "keeps the pods that it selects until this rollout's can serve everybody" in said


@pytest.mark.parametrize("kind", ["Deployment", "ConfigMap"])
def test_what_nobody_calls_is_renamed_or_deleted(kind):
    said = taken({"kind": kind, "metadata": {"name": "chat-x", "namespace": "ml"}}, "chat").message
    assert said.endswith("touches no others.")
