"""What an evaluation's Job says of itself: for which run it was started, and whether anybody waits for it."""

from __future__ import annotations

from modelrollout.api.names import ATTEMPT_ANNOTATION, REVISION_LABEL, RUN_ANNOTATION
from modelrollout.api.objects import Object
from modelrollout.engine.evaluations.job_end import condition
from modelrollout.engine.snapshot import Snapshot
from modelrollout.rollout.gate import is_standing, run_of


def asked(job: Object) -> tuple[str, str, int]:
    """Revision, run and attempt of a Job."""
    metadata = job["metadata"]
    annotations = metadata.get("annotations") or {}
    attempt = annotations.get(ATTEMPT_ANNOTATION, "1")
    return (
        metadata["labels"].get(REVISION_LABEL, ""),
        annotations.get(RUN_ANNOTATION, ""),
        int(attempt) if attempt.isdigit() else 1,
    )


def age(job: Object) -> tuple[str, int]:
    return job["metadata"]["creationTimestamp"], asked(job)[2]


def awaited(view: Snapshot, job: Object) -> bool:
    """Whether the rollout is still at the step that the Job was started for, or its revision still serves."""
    step, canary, stable = view.status.step, view.status.canary, view.status.stable
    revision, run, _ = asked(job)
    if is_standing(run):
        return stable is not None and stable.revision == revision
    return step is not None and canary is not None and (canary.revision, run_of(step)) == (revision, run)


def owned(job: Object, rollout: Object) -> bool:
    owners = job["metadata"].get("ownerReferences") or ()
    return any(owner["uid"] == rollout["metadata"]["uid"] for owner in owners)


def left(job: Object) -> bool:
    """Whether a pod of the Job has ended."""
    status = job.get("status") or {}
    return condition(job) is not None or bool(status.get("failed") or status.get("succeeded"))
