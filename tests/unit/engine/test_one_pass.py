"""What a pass tells of others' acts."""

import asyncio
from types import SimpleNamespace

import pytest

from modelrollout.cluster.errors import ClusterError, Conflict
from modelrollout.engine.one_pass import Kept, OnePass, remade, scaled
from modelrollout.rollout.actions import EnsureRevision, RestoreRevision, Scale, SetTraffic, Widen
from modelrollout.rollout.notes import Note
from modelrollout.traffic.router import Split

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


class Acting:
    """Does what is asked, but for what the API server refuses."""

    def __init__(self, refused=()):
        self.done, self.refused = [], refused

    async def do(self, view, action):
        if action in self.refused:
            raise Conflict("somebody wrote it")
        self.done.append(action)


CALL, MOVE = Widen("old"), SetTraffic(Split(), urgent=True)


def at_once(actor):
    names = (
        "observer",
        "writer",
        "looks",
        "evaluations",
        "registries",
        "announcer",
        "telemetry",
        "turn",
        "clock",
        "policy",
    )
    parts = dict.fromkeys(names)
    return asyncio.run(OnePass(actor=actor, **parts)._at_once(view(), [CALL, MOVE]))


def test_pods_are_called_back_before_the_users_are_sent_to_them():
    actor = Acting()
    at_once(actor)
    assert actor.done == [CALL, MOVE]


def test_users_leave_a_bad_revision_also_when_the_pods_cannot_be_called_back():
    actor = Acting(refused=[CALL])
    with pytest.raises(ClusterError):
        at_once(actor)
    assert actor.done == [MOVE]
