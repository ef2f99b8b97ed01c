"""Which pods count as ready, and what is said of those that are not."""

import pytest

from modelrollout.serving.deployment import deployment
from modelrollout.serving.readiness import fleet
from modelrollout.serving.trouble import GRAVEST_FIRST, last_words, of_pod, trouble, waits_silently
from tests.unit.serving.given import REVISION, ROLLOUT, spec

LABELS = {"modelrollout.io/rollout": "chat", "modelrollout.io/revision": REVISION}


def of_cluster(conditions=()):
    body = deployment(ROLLOUT, spec(), REVISION, 2, None)
    body["metadata"]["creationTimestamp"] = "2026-11-21T09:00:00Z"
    body["status"] = {"conditions": list(conditions)}
    return body


def pod(name="chat-1", *, ready=False, labels=None, phase="Running", deleted=False, status=None):
    """A pod as the API server gives it."""
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    metadata = {"name": name, "labels": labels or LABELS}
    if deleted:
        metadata["deletionTimestamp"] = "2026-11-21T09:10:00Z"
    return {"metadata": metadata, "status": {"phase": phase, "conditions": [condition], **(status or {})}}


def server(state, restarts=0, last=None, started=False, ready=False):
    """A pod's status whose server container is in this state."""
    container = {
        "name": "server",
        "image": "vllm/vllm-openai:v0.32.0",
        "ready": ready,
        "started": started,
        "restartCount": restarts,
        "state": state,
        "lastState": {"terminated": last} if last else {},
    }
    return {"containerStatuses": [container]}


def unready_since(moment):
    """A pod's conditions while it is not ready."""
    return {"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": moment}]}


def slices(*endpoints, ports=({"name": "http", "port": 8000},)):
    """One EndpointSlice with (pod name, ready) endpoints."""
    return [
        {
            "ports": list(ports),
            "endpoints": [
                {"targetRef": {"kind": "Pod", "name": name}, "conditions": {"ready": ready}}
                for name, ready in endpoints
            ],
        }
    ]


BOTH = [pod("a", ready=True), pod("b", ready=True)]


@pytest.mark.parametrize(
    ("pods", "listed", "ready", "count"),
    [
        pytest.param([], {}, 0, 0, id="no pod yet"),
        pytest.param(BOTH, {}, 2, 2, id="no Service selects them yet"),
        pytest.param(BOTH, {"chat-canary": []}, 0, 2, id="the Service lists none"),
        pytest.param(BOTH, {"chat-canary": slices(("a", True))}, 1, 2, id="the Service lists one"),
        pytest.param(
            BOTH, {"chat-canary": slices(("a", True), ("b", False))}, 1, 2, id="one is listed unready"
        ),
        pytest.param(BOTH, {"chat-canary": slices(("a", None), ("b", True))}, 2, 2, id="unknown means ready"),
        pytest.param(
            BOTH,
            {"chat-canary": slices(("a", True), ("b", True)), "chat-stable": slices(("b", True))},
            1,
            2,
            id="both Services must list a pod",
        ),
        pytest.param(
            BOTH,
            {"chat-canary": slices(("a", True), ("b", True), ports=())},
            0,
            2,
            id="a slice without ports",
        ),
        pytest.param(
            BOTH,
            {"chat-canary": slices(("a", True)) + slices(("b", True))},
            2,
            2,
            id="a Service may have several slices",
        ),
        pytest.param(
            [pod("a"), pod("b", ready=True)],
            {"chat-canary": slices(("a", True), ("b", True))},
            1,
            2,
            id="the slice is behind the pod",
        ),
        pytest.param([pod("a", ready=True, deleted=True)], {}, 0, 0, id="a pod on its way out"),
        pytest.param([pod("a", phase="Failed")], {}, 0, 0, id="an evicted pod"),
        pytest.param(
            [pod("a", ready=True, labels=LABELS | {"modelrollout.io/revision": "other"})],
            {},
            0,
            0,
            id="another revision's pod",
        ),
        pytest.param(
            [pod("a", ready=True, labels=LABELS | {"modelrollout.io/rollout": "search"})],
            {},
            0,
            0,
            id="another rollout's pod",
        ),
    ],
)
def test_a_pod_is_ready_when_it_says_so_and_every_service_that_selects_it_lists_it(
    pods, listed, ready, count
):
    seen = fleet(of_cluster(), pods, listed)
    assert (seen.revision, seen.wanted, seen.ready, seen.pods) == (REVISION, 2, ready, count)


STARTED = {"running": {"startedAt": "2026-11-21T09:03:00Z"}}
REMOVED_FLAG = {
    "exitCode": 2,
    "reason": "Error",
    "message": "usage: vllm serve [model_tag]\nvllm serve: error: unrecognized arguments: --swap-space\n",
}
ENGINE_DIED = {
    "exitCode": 0,
    "reason": "Completed",
    "message": "The server listens but did not answer a request: /v1/completions: no status, "
    "the connection broke (RemoteDisconnected('Remote end closed connection without response')).",
}


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        pytest.param(
            server(
                {
                    "waiting": {
                        "reason": "ImagePullBackOff",
                        "message": 'Back-off pulling image "vllm/vllm-openai:v0.32.0"',
                    }
                }
            ),
            "ImagePullBackOff",
            'cannot get its image vllm/vllm-openai:v0.32.0: Back-off pulling image "vllm/',
            id="an image that does not exist",
        ),
        pytest.param(
            server({"waiting": {"reason": "InvalidImageName"}}),
            "InvalidImageName",
            "cannot get its image vllm/vllm-openai:v0.32.0: InvalidImageName.",
            id="an image name that is none",
        ),
        pytest.param(
            server({"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "hf" not found'}}),
            "CreateContainerConfigError",
            'cannot be created: secret "hf" not found.',
            id="a secret that does not exist",
        ),
        pytest.param(
            server({"waiting": {"reason": "CrashLoopBackOff"}}, restarts=3, last=REMOVED_FLAG),
            "CrashLoopBackOff",
            "saying: vllm serve: error: unrecognized arguments: --swap-space (3 restarts).",
            id="a flag that the new image dropped",
        ),
        pytest.param(
            server({"waiting": {"reason": "CrashLoopBackOff"}}, restarts=1, last=ENGINE_DIED),
            "CrashLoopBackOff",
            "exited with code 0, saying: The server listens but did not answer a request",
            id="an engine that dies of its first request",
        ),
        pytest.param(
            server(
                {"waiting": {"reason": "CrashLoopBackOff"}},
                restarts=1,
                last={"exitCode": 137, "reason": "OOMKilled"},
            ),
            "OOMKilled",
            "ran out of memory and was killed (raise its memory limit, or let the model",
            id="too little memory",
        ),
        pytest.param(
            server(
                {
                    "terminated": {
                        "exitCode": 1,
                        "reason": "Error",
                        "message": "ValueError: no such model\nbye",
                    }
                }
            ),
            "ContainerExited",
            "exited with code 1, saying: ValueError: no such model. More: `kubectl logs chat-1 -c server`.",
            id="between two starts",
        ),
        pytest.param(
            server(STARTED),
            "NotAnsweredYet",
            "runs since 2026-11-21T09:03:00Z and has not answered a first request yet.",
            id="loading",
        ),
        pytest.param(
            server(STARTED, restarts=1, last=REMOVED_FLAG),
            "NotAnsweredYet",
            "Before, it exited with code 2, saying: vllm serve: error: unrecognized",
            id="loading again after a crash",
        ),
        pytest.param(
            server(STARTED, started=True) | unready_since("2026-11-21T09:09:00Z"),
            "Unhealthy",
            "fails its readiness probe now.",
            id="healthy no longer",
        ),
        pytest.param(
            server(STARTED, started=True) | unready_since("2026-11-21T09:02:58Z"),
            "NotProbedYet",
            "has answered a first request and was not yet asked whether it is ready.",
            id="about to be ready for the first time",
        ),
        pytest.param(
            server({"waiting": {"reason": "ContainerCreating"}}),
            "ContainerCreating",
            "waits for its image",
            id="being created",
        ),
        pytest.param(
            {
                "conditions": [
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
                    }
                ]
            },
            "Unschedulable",
            "Pod chat-1 has no node yet: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
            id="no free GPU",
        ),
    ],
)
def test_what_keeps_a_pod_is_said_in_a_sentence(status, reason, words):
    found = fleet(of_cluster(), [pod(status=status)], {}).trouble
    assert found is not None
    assert found.reason == reason
    assert words in found.message
    assert found.message.startswith("Pod chat-1")
    assert found.message.endswith(".")


@pytest.mark.parametrize(
    "status",
    [{}, server({}), server({"terminated": {"exitCode": 0, "reason": "Completed"}})],
    ids=["nothing reported yet", "no state yet", "an init container that is done"],
)
def test_nothing_is_said_of_a_pod_of_which_nothing_is_known(status):
    assert trouble(of_cluster(), [pod(status=status)]) is None


def test_a_quota_that_allows_no_pod_is_reported():
    failed = {
        "type": "ReplicaFailure",
        "status": "True",
        "message": 'pods "chat-1" is forbidden: exceeded quota',
    }
    found = trouble(of_cluster([failed]), [])
    assert found is not None
    assert found.reason == "FailedCreate"
    assert found.message == 'No pod could be made: pods "chat-1" is forbidden: exceeded quota.'


def test_the_gravest_of_several_troubles_is_reported():
    loading = pod("a", status=server(STARTED))
    crashing = pod(
        "b", status=server({"waiting": {"reason": "CrashLoopBackOff"}}, restarts=3, last=REMOVED_FLAG)
    )
    found = trouble(of_cluster(), [loading, crashing])
    assert found is not None
    assert found.message.startswith("Pod b,")
    assert GRAVEST_FIRST.index("CrashLoopBackOff") < GRAVEST_FIRST.index("NotAnsweredYet")


def test_a_ready_pod_has_no_trouble():
    assert (
        trouble(of_cluster(), [pod(ready=True, status=server(STARTED, restarts=2, last=REMOVED_FLAG))])
        is None
    )


def test_a_long_log_is_quoted_in_part():
    last = {"exitCode": 1, "message": "x" * 2000}
    found = trouble(
        of_cluster(), [pod(status=server({"waiting": {"reason": "CrashLoopBackOff"}}, last=last))]
    )
    assert found is not None
    assert len(found.message) < 500


POINTS_UP = (
    "(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above. "
    "Failed core proc(s): {}"
)


ENGINE_DIED = f"""\
(EngineCore pid=77) ERROR 11-28 01:02:03 [core.py:1100] EngineCore failed to start.
(EngineCore pid=77) ERROR 11-28 01:02:03 [core.py:1100] Traceback (most recent call last):
(EngineCore pid=77) ERROR 11-28 01:02:03 [core.py:1100]   File "core.py", line 1091, in run_engine_core
(EngineCore pid=77) ERROR 11-28 01:02:03 [core.py:1100]     raise SafetensorError(
(EngineCore pid=77) ERROR 11-28 01:02:03 [core.py:1100] safetensors_rust.SafetensorError: \
Error while deserializing header: incomplete metadata
(APIServer pid=1) Traceback (most recent call last):
(APIServer pid=1)   File "utils.py", line 903, in launch_core_engines
(APIServer pid=1)     wait_for_engine_startup(
(APIServer pid=1)   File "utils.py", line 960, in wait_for_engine_startup
(APIServer pid=1)     raise RuntimeError(
{POINTS_UP}
"""


def test_which_restart_the_pods_had_last_is_read_from_their_template():
    body = of_cluster()
    assert fleet(body, [], {}).restarted_at is None
    annotations = body["spec"]["template"]["metadata"]["annotations"]
    annotations["modelrollout.io/restarted-at"] = "2026-11-21T10:00:00Z"
    assert fleet(body, [], {}).restarted_at == "2026-11-21T10:00:00Z"


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (POINTS_UP, ""),
        (
            f"torch.OutOfMemoryError: CUDA out of memory.\n{POINTS_UP}",
            "torch.OutOfMemoryError: CUDA out of memory",
        ),
        (
            ENGINE_DIED,
            "safetensors_rust.SafetensorError: Error while deserializing header: incomplete metadata",
        ),
        (ENGINE_DIED[ENGINE_DIED.index("(APIServer") :], ""),
        ("(EngineCore pid=7) ERROR 11-28 01:02:03 [core.py:9] EngineCore failed to start.", ""),
        ("ConnectionError: retrying\nValueError: no such model", "ValueError: no such model"),
        ("ERROR 11-28 01:02:03 [x.py:1] cannot bind port 8000\nbye", "cannot bind port 8000"),
        ("ValueError: bad flag\nbye", "ValueError: bad flag"),
        ("loading\nkilled", "killed"),
        ("", ""),
    ],
    ids=[
        "it points up",
        "the reason before it",
        "the engine's own error",
        "the front end's traceback alone",
        "that the engine died",
        "one error after another",
        "a log line",
        "the last error",
        "no error",
        "nothing",
    ],
)
def test_the_last_words_are_a_reason_and_not_where_one_stands(log, said):
    assert last_words(log) == said


def crashed(log):
    status = server(
        {"waiting": {"reason": "CrashLoopBackOff"}}, restarts=2, last={"exitCode": 1, "message": log}
    )
    (found,) = of_pod({"metadata": {"name": "chat-x-1", "namespace": "ml"}, "status": status})
    return found.message


def test_a_message_that_only_points_elsewhere_says_where_to_read():
    message = crashed(POINTS_UP)
    assert "See root cause above" not in message
    assert "stands further up in its log" in message
    assert message.endswith("More: `kubectl logs -n ml chat-x-1 -c server --previous`.")


def test_a_pod_that_waits_for_a_volume_is_reported_with_its_last_warning_once_that_is_known():
    status = server({"waiting": {"reason": "ContainerCreating"}})
    pod = {"metadata": {"name": "chat-x-1", "namespace": "ml"}, "status": status}
    (early,) = of_pod(pod)
    assert early.early
    assert early.message.endswith("Its Events say why: `kubectl describe pod -n ml chat-x-1`.")
    known, _ = of_pod(pod, "FailedAttachVolume: Multi-Attach error for volume pvc-1")
    assert (known.reason, known.early) == ("PodWarning", False)
    assert "cannot start: FailedAttachVolume: Multi-Attach error for volume pvc-1." in known.message


def test_only_a_pod_that_waits_in_silence_is_asked_for_its_events():
    def waits(status):
        return waits_silently({"status": status})

    assert waits(server({"waiting": {"reason": "ContainerCreating"}}))
    assert not waits(server({"waiting": {"reason": "CrashLoopBackOff"}}))
    assert not waits(server(STARTED))
    assert not waits({})
