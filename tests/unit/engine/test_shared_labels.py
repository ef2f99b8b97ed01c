"""Which labels a selector may ask for without leaving a revision's pods out."""

import pytest

from modelrollout.engine.observing.observe import shared_labels


def deployment(**labels):
    return {"spec": {"template": {"metadata": {"labels": labels}}}}


@pytest.mark.parametrize(
    ("why", "deployments", "shared"),
    [
        ("nothing is known before the first Deployment", [], {}),
        (
            "one revision alone shares all of its labels",
            [deployment(app="chat", revision="a")],
            {"app": "chat", "revision": "a"},
        ),
        (
            "revisions differ in theirs",
            [deployment(app="chat", revision="a"), deployment(app="chat", revision="b")],
            {"app": "chat"},
        ),
        (
            "a label that the new pods lost selects only the old ones",
            [deployment(app="chat", team="ml"), deployment(app="chat")],
            {"app": "chat"},
        ),
    ],
)
def test_labels_are_shared_when_all_pods_have_them(why, deployments, shared):
    assert shared_labels(deployments) == shared
