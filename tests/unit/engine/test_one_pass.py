"""What a pass tells of others' acts."""

from types import SimpleNamespace

import pytest

from modelrollout.engine.one_pass import Kept, remade, scaled
from modelrollout.rollout.model import EnsureRevision, RestoreRevision, Scale
from modelrollout.rollout.notes import Note

STABLE = SimpleNamespace(revision="old")


def view(deployments=(), phase="Progressing"):
    return SimpleNamespace(
        status=SimpleNamespace(phase=phase, stable=STABLE, previous=None),
        deployments={name: {"metadata": metadata} for name, metadata in deployments},
    )


@pytest.mark.parametrize(
    ("action", "seen", "told"),
    [
        (RestoreRevision("old", 4), view(), True),
        (EnsureRevision("old", 4), view(phase="Stable"), True),
        (EnsureRevision("old", 4), view(phase="Installing"), False),
        (EnsureRevision("new", 1), view(), False),
        (EnsureRevision("old", 4), view([("old", {})]), False),
        (Scale("old", 4), view(), False),
    ],
    ids=["in mid-rollout", "at rest", "the first", "the canary's", "one that is there", "another act"],
)
def test_that_somebody_deleted_the_deployment_that_serves_is_announced(action, seen, told):
    notes = remade(seen, action)
    assert [note.reason for note in notes] == (["DeploymentRemade"] if told else [])


def test_another_who_scales_our_deployment_is_named_with_what_to_do():
    (note,) = scaled(view([("old", {"scaledBy": "keda"})]), Scale("old", 2))
    assert (note.reason, note.warning) == ("ScaledByAnother", True)
    assert note.message.startswith("keda scales the Deployment of revision old")
    assert "scale the ModelRollout" in note.message
    assert scaled(view([("old", {})]), Scale("old", 2)) == []


def test_the_same_is_announced_once():
    kept, note = Kept(), Note("ScaledByAnother", "keda scales it", warning=True)
    assert kept.first_time([note]) == [note]
    assert kept.first_time([note, Note("Other", "x")]) == [Note("Other", "x")]
