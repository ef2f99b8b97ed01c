"""What is made of a Job and its pods: a verdict, or an error that holds."""

import json

import pytest

from modelrollout.api.names import RolloutKey
from modelrollout.api.objects import JOB, named
from modelrollout.api.times import unix
from modelrollout.cluster.cache import Cache
from modelrollout.cluster.kinds import owner_of, trim
from modelrollout.engine.evaluations.evaluations import LONGEST_PAUSE, Evaluations, pause
from modelrollout.engine.evaluations.job_end import waiting, what_became
from modelrollout.rollout.model import Gate
from modelrollout.serving.evaluation import JobSettings

AT = RolloutKey("team", "chat")
ENDED = "2026-11-28T01:00:00Z"
PASS = json.dumps({"verdict": "Pass", "message": "The candidate keeps every gate."})


def job(attempt=1, reason=None, created="2026-11-28T00:00:00Z", run="0@now", owner="uid-chat", **status):
    conditions = [{"type": "Failed", "status": "True", "reason": reason, "lastTransitionTime": ENDED}]
    return {
        "metadata": {
            "name": f"chat-golden-{attempt}",
            "namespace": "team",
            "uid": f"uid-{attempt}-{run}",
            "resourceVersion": "1",
            "creationTimestamp": created,
            "labels": {
                "modelrollout.io/rollout": "chat",
                "modelrollout.io/revision": "new",
                "modelrollout.io/evaluation": "golden",
            },
            "ownerReferences": [{"uid": owner}],
            "annotations": {"modelrollout.io/run": run, "modelrollout.io/attempt": str(attempt)},
        },
        "spec": {"activeDeadlineSeconds": 600},
        "status": status | ({"conditions": conditions} if reason else {}),
    }


def pod(terminated=None, name="evaluate", **status):
    state = {"terminated": terminated} if terminated is not None else {"running": {}}
    return {
        "metadata": {"name": "p"},
        "status": {"containerStatuses": [{"name": name, "state": state}]} | status,
    }


def ended(code, message="", **more):
    return {"exitCode": code, "message": message, "finishedAt": ENDED, **more}


def test_a_verdict_counts_from_when_its_container_ended_though_a_sidecar_goes_on():
    found = what_became(job(active=1), [pod(ended(0, PASS), phase="Running")], now=0.0)
    assert found is not None
    assert (found.outcome.state, found.outcome.sentence) == ("passed", "The candidate keeps every gate.")
    assert found.at == unix(ENDED)


def test_a_job_that_goes_on_has_no_outcome():
    assert what_became(job(active=1), [pod()], now=0.0) is None
    assert what_became(job(), [], now=0.0) is None


EVICTED = {"reason": "Evicted", "message": "The node was low on resource: memory.", "phase": "Failed"}
ERRORS = {
    "killed": (job(reason="BackoffLimitExceeded"), [pod(ended(137))], "exit code 137 and left no verdict"),
    "out of memory": (job(reason="X"), [pod(ended(137, reason="OOMKilled"))], "ran out of memory"),
    "passed, it says, and fell over": (job(reason="X"), [pod(ended(1, PASS))], "left no verdict"),
    "nothing said and exit code 0": (job(succeeded=1), [pod(ended(0))], "left no verdict"),
    "evicted": (job(reason="X"), [pod(**EVICTED)], "was evicted: The node was low on resource: memory"),
    "evicted, with a last word": (job(reason="X"), [pod(ended(137), **EVICTED)], "was evicted"),
    "too late": (job(reason="DeadlineExceeded"), [], "was not done after 600 s"),
    "too late, and killed": (job(reason="DeadlineExceeded"), [pod(ended(143))], "was not done after 600 s"),
    "gone": (job(reason="BackoffLimitExceeded"), [], "is gone and left no verdict"),
    "another container's word": (job(reason="X"), [pod(ended(0, PASS), name="proxy")], "left no verdict"),
}


@pytest.mark.parametrize(("seen", "pods", "said"), ERRORS.values(), ids=ERRORS.keys())
def test_silence_never_opens_a_gate(seen, pods, said):
    found = what_became(seen, pods, now=0.0)
    assert found is not None
    assert found.outcome.state == "error"
    assert said in found.outcome.sentence


def test_each_attempt_waits_twice_as_long_as_the_one_before_up_to_a_quarter_of_an_hour():
    assert [pause(attempt) for attempt in (1, 2, 3)] == [10.0, 20.0, 40.0]
    assert pause(1000) == LONGEST_PAUSE == 900.0


def waits(reason):
    return {"containerStatuses": [{"name": "evaluate", "state": {"waiting": {"reason": reason}}}]}


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (waits("ContainerCreating"), None),
        (waits("ErrImagePull"), "its pod does not start: ErrImagePull"),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes"}]},
            "its pod finds no node: 0/3 nodes",
        ),
        ({}, None),
    ],
)
def test_why_a_pod_does_not_run_is_said(status, said):
    assert waiting({"metadata": {}, "status": status}) == said


ROLLOUT = {
    "apiVersion": "modelrollout.io/v1alpha1",
    "kind": "ModelRollout",
    "metadata": {"name": "chat", "uid": "uid-chat", "resourceVersion": "1"},
}


@pytest.fixture
def evaluations():
    cache = Cache(owner_of, trim)
    cache.see(AT.ref, "team", ROLLOUT)
    made = Evaluations(None, cache, cache.see, JobSettings())
    made.seen = lambda body: cache.see(named(JOB, body["metadata"]["name"]), "team", body)
    return made


def test_of_several_attempts_the_newest_is_the_gate(evaluations):
    assert evaluations.gates(AT) == {}
    evaluations.seen(job(1))
    evaluations.seen(job(2))
    assert evaluations.gates(AT) == {
        "golden": Gate("new", "0@now", "running", "Job chat-golden-2 was started", 2, "chat-golden-2")
    }


def test_a_job_that_is_being_deleted_is_no_answer(evaluations):
    body = job(1)
    body["metadata"]["deletionTimestamp"] = ENDED
    evaluations.seen(body)
    assert evaluations.gates(AT) == {}


def test_a_job_of_a_deleted_rollout_of_the_same_name_is_no_answer(evaluations):
    evaluations.seen(job(1, owner="uid-before"))
    assert evaluations.gates(AT) == {}


def test_what_is_known_of_a_rollout_that_has_gone_is_forgotten(evaluations):
    evaluations.seen(job(1))
    assert evaluations.gates(AT)
    evaluations.forget(AT)
    assert not evaluations._ended
    assert not evaluations._progress
