"""Addresses that have to be looked up, and what is put in their place."""

import pytest

from modelrollout.api.registry import Pin
from modelrollout.api.spec import Spec
from modelrollout.registry.address import Alias, Branch, Version, asked_by, question_of, weights_at
from modelrollout.registry.pinning import pin_for, pinned
from modelrollout.rollout.revision import describe, form_of, revision_of
from tests.apiserver.scene import rollout

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def spec(uri, **registry):
    given = {"registry": registry} if registry else {}
    return Spec.model_validate(rollout(model={"uri": uri}, **given)["spec"])


def pin(number=1, uri="mlflow://chatbot@challenger", registry="http://mlflow:5000", source="s3://b/one"):
    version = f"mlflow://chatbot/{number}"
    return Pin(uri=uri, registry=registry, version=version, source=source, at="2026-11-28T00:00:00Z")


def asked(follow=True, address="http://mlflow:5000", uri="mlflow://chatbot@challenger"):
    return question_of(spec(uri, address=address, follow=follow))


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        ("mlflow://chatbot@challenger", Alias("chatbot", "challenger")),
        ("mlflow://chatbot/7", Version("chatbot", "7")),
        ("mlflow://my%20bot/7", Version("my bot", "7")),
        ("hf://org/model@main", Branch("org/model", "main")),
        ("hf://org/model@refs/pr/1", Branch("org/model", "refs/pr/1")),
        ("hf://org/model", None),
        ("s3://bucket/a@b", None),
        ("pvc://claim/a@b", None),
        ("file:///models/a@b", None),
    ],
)
def test_an_address_says_what_is_to_be_looked_up(uri, found):
    assert asked_by(uri) == found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("s3://bucket/path", ("s3://bucket/path", None)),
        ("gs://bucket/path", ("gs://bucket/path", None)),
        ("pvc://claim/path", ("pvc://claim/path", None)),
        ("hf://org/model", ("hf://org/model", None)),
        (f"hf://org/model@{COMMIT}", ("hf://org/model", COMMIT)),
        ("hf://org/model@main", None),
        ("mlflow-artifacts:/1/m/artifacts", ("mlflow-artifacts:/1/m/artifacts", None)),
        ("mlflow-artifacts://other:5000/1/m", None),
        ("file:///mlruns/1/artifacts", None),
        ("/mlruns/1/artifacts", None),
        ("dbfs:/models/1", None),
        ("http://server/weights", None),
        ("s3://bucket/a path", None),
        ("s3://bucket/a\npath", None),
        ("hf://org/model/extra", None),
        ("s3://", None),
        ("", None),
    ],
)
def test_only_weights_that_a_pod_can_load_are_taken_from_a_registry(source, found):
    assert weights_at(source) == found


def test_what_is_pinned_stays_unless_it_is_followed():
    assert pin_for(asked(follow=False), pin(1), pin(2)) == pin(1)
    assert pin_for(asked(follow=True), pin(1), pin(2)) == pin(2)


def test_a_pinned_version_outlives_a_registry_that_says_nothing():
    assert pin_for(asked(), pin(1), None) == pin(1)


@pytest.mark.parametrize("other", [{"uri": "mlflow://chatbot@next"}, {"registry": "http://other:5000"}])
def test_a_pin_of_another_address_or_registry_counts_for_nothing(other):
    assert pin_for(asked(), pin(1, **other), None) is None
    assert pin_for(asked(), None, pin(1, **other)) is None


def test_a_version_is_no_alias_and_is_never_followed():
    question = asked(uri="mlflow://chatbot/1")
    assert not question.moves


def test_two_versions_are_two_revisions_also_where_their_weights_lie_at_one_address():
    given = spec("mlflow://chatbot@challenger", address="http://mlflow:5000")
    assert revision_of(pinned(given, pin(1))) != revision_of(pinned(given, pin(2)))


def test_the_same_version_by_alias_and_by_number_is_one_revision():
    by_alias = pinned(spec("mlflow://chatbot@challenger", address="http://mlflow:5000"), pin(1))
    by_number = pinned(spec("mlflow://chatbot/1", address="http://mlflow:5000"), pin(1, "mlflow://chatbot/1"))
    assert revision_of(by_alias) == revision_of(by_number)
    assert describe(by_alias).startswith("mlflow://chatbot/1 (s3://b/one) on ")


def test_a_branch_and_the_commit_that_it_stands_for_are_one_revision():
    found = Pin(
        uri="hf://org/model@main",
        registry="https://huggingface.co",
        version=f"hf://org/model@{COMMIT}",
        source="hf://org/model",
        revision=COMMIT,
        at="2026-11-28T00:00:00Z",
    )
    by_hand = Spec.model_validate(rollout(model={"uri": "hf://org/model", "revision": COMMIT})["spec"])
    assert form_of(pinned(spec("hf://org/model@main"), found)) == form_of(by_hand)


def test_the_names_that_clients_ask_for_stay():
    given = Spec.model_validate(
        rollout(
            model={"uri": "mlflow://chatbot/1", "servedName": "bot", "servedNames": ["b"]},
            registry={"address": "http://mlflow:5000"},
        )["spec"]
    )
    model = pinned(given, pin(1, "mlflow://chatbot/1")).model
    assert (model.uri, model.served_name, model.served_names) == ("s3://b/one", "bot", ["b"])
