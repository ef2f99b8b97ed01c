"""A rollout in the middle of its second step, as the API server would give it, and its pods."""

NOW = 1795856400.0  # 2026-11-28T09:00:00Z
MODEL = "hf://Qwen/Qwen3-8B@4c44 on vllm/vllm-openai:v0.32.0"


def pod(name, revision, *, ready=True, state=None, started=True):
    status = {"name": "server", "image": "vllm", "restartCount": 0, "ready": ready, "started": started}
    status["state"] = state or {"running": {"startedAt": "2026-11-28T08:30:00Z"}}
    return {
        "metadata": {
            "name": name,
            "namespace": "ml",
            "labels": {"modelrollout.io/rollout": "chat", "modelrollout.io/revision": revision},
            "creationTimestamp": "2026-11-28T08:30:00Z",
        },
        "status": {
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [status],
        },
    }


PODS = [
    pod("chat-bbbbbbbbbb-1", "bbbbbbbbbb"),
    pod("chat-bbbbbbbbbb-2", "bbbbbbbbbb"),
    pod("chat-cccccccccc-1", "cccccccccc"),
    pod(
        "chat-cccccccccc-2",
        "cccccccccc",
        ready=False,
        state={"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image vllm"}},
    ),
]


def condition(kind, status, reason, message=""):
    said = {"type": kind, "status": status, "reason": reason, "message": message}
    return said | {"lastTransitionTime": "2026-11-28T08:50:00Z", "observedGeneration": 2}


JUDGING = "Step 2/4: revision cccccccccc has 25 % of requests; more looks are needed"


def judging(**changes):
    """The rollout, with changes of its status; a change to None takes the field away."""
    status = {
        "phase": "Progressing",
        "phaseSince": "2026-11-28T08:40:00Z",
        "message": JUDGING,
        "stable": {"revision": "bbbbbbbbbb", "model": MODEL, "replicas": 2, "ready": 2},
        "canary": {
            "revision": "cccccccccc",
            "model": "hf://Qwen/Qwen3-14B on vllm/vllm-openai:v0.32.0",
            "changed": "model uri: hf://Qwen/Qwen3-8B → hf://Qwen/Qwen3-14B; args: + --max-model-len=8192",
            "replicas": 2,
            "ready": 1,
        },
        "plan": [
            {"weight": 5, "for": "10m"},
            {"weight": 25, "for": "10m"},
            {"pause": {}},
            {"weight": 100},
        ],
        "step": {
            "index": 1,
            "progress": "2/4",
            "enteredAt": "2026-11-28T08:48:00Z",
            "startedAt": "2026-11-28T08:50:00Z",
        },
        "weight": {"canary": 25, "desired": 25, "observed": 25, "measured": "24.6%"},
        "verdict": "Insufficient",
        "ready": "2/2",
        "analysis": {
            "verdict": "Insufficient",
            "reason": "MoreLooksNeeded",
            "message": "Not decided after 12 looks of this step.",
            "looks": 32,
            "eta": "2026-11-28T09:06:00Z",
            "metrics": [
                {
                    "name": "vllm/time-to-first-token",
                    "verdict": "Undecided",
                    "message": "canary 16 of 320 (5 %) above 0.4 seconds, control 44 of 960 (4.58 %)",
                    "toPass": "63%",
                    "toRevert": "4%",
                },
                {
                    "name": "vllm/errors",
                    "verdict": "Proven",
                    "message": "canary 0 of 320, control 1 of 960",
                    "toPass": "100%",
                    "toRevert": "0%",
                },
            ],
        },
        "history": [
            {
                "revision": "bbbbbbbbbb",
                "outcome": "Promoted",
                "reason": "Promoted",
                "message": "Revision bbbbbbbbbb serves all users",
                "startedAt": "2026-11-27T08:00:00Z",
                "at": "2026-11-27T09:30:00Z",
            }
        ],
        "conditions": [
            condition("Accepted", "True", "Accepted"),
            condition("Progressing", "True", "Judging", JUDGING),
        ],
    }
    status |= changes
    return {
        "apiVersion": "modelrollout.io/v1alpha1",
        "kind": "ModelRollout",
        "metadata": {
            "name": "chat",
            "namespace": "ml",
            "creationTimestamp": "2026-11-20T09:00:00Z",
            "annotations": {},
            "managedFields": [{"manager": "kubectl"}],
        },
        "spec": {},
        "status": {key: value for key, value in status.items() if value is not None},
    }
