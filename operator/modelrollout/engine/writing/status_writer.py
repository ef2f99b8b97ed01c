"""Writing status: what a pass decided, and what it could not do.

A status is written only when it differs, only on what was read, and rarely for the sake of numbers alone.
What a pass could not do is a condition: people look there and not into the operator's log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from modelrollout.api.conditions import STALLED
from modelrollout.api.names import RolloutKey
from modelrollout.api.problem import Problem
from modelrollout.api.status import Status
from modelrollout.cluster.cache import See
from modelrollout.cluster.port import Cluster
from modelrollout.engine.snapshot import Snapshot

CHECKPOINT = 240.0
"""Seconds between two writes that carry nothing but newer numbers and evidence. What a restart must count
again from Prometheus is at most this long."""
LONGEST_MESSAGE = 1024
"""Characters of a condition's message."""


class StatusWriter:
    def __init__(self, cluster: Cluster, see: See, clock: Callable[[], float]) -> None:
        """`see` is shown the resource as it was written."""
        self._cluster = cluster
        self._see = see
        self._clock = clock
        self._written_at: dict[RolloutKey, float] = {}

    async def write(
        self, view: Snapshot, status: Status, evidence: Callable[[], dict[str, Any] | None]
    ) -> Mapping[str, Any]:
        """Write this status to the resource, and return the resource as it is then.

        The brain says what is worth a write. `evidence` rides along with each, so that the engine's
        cursor and its sums are always stored in one piece; alone it is written only every few minutes.

        Raises:
            Conflict: the resource is no longer the one that was decided on.
        """
        unchanged = status is view.status or status == view.status
        if unchanged and not self._due(view.key):
            return view.resource
        if (state := evidence()) is not None:
            status = status.model_copy(update={"evidence": state})
        if status == view.status:
            return view.resource
        wanted = dumped(status)
        version = view.resource["metadata"]["resourceVersion"]
        written = await self._cluster.patch_status(view.key.ref, view.key.namespace, version, wanted)
        self._written_at[view.key] = self._clock()
        self._see(view.key.ref, view.key.namespace, written)
        return written

    def forget(self, key: RolloutKey) -> None:
        self._written_at.pop(key, None)

    def _due(self, key: RolloutKey) -> bool:
        """Numbers alone are due when they have not been written for a while; the first wait starts now."""
        return self._clock() - self._written_at.setdefault(key, self._clock()) >= CHECKPOINT


def dumped(status: Status) -> dict[str, Any]:
    """Status as the API stores it: no nulls, which a structural schema would refuse."""
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)


def stalled(resource: Mapping[str, Any], problem: Problem, at: str) -> dict[str, Any] | None:
    """The resource's status with the condition Stalled; None when it says so already.

    Works on the status as it is stored. A pass that failed may have failed because of what is stored.
    """
    status = resource.get("status") or {}
    conditions = [each for each in status.get("conditions") or [] if each.get("type") != STALLED]
    known = next((each for each in status.get("conditions") or [] if each.get("type") == STALLED), None)
    message = problem.message[:LONGEST_MESSAGE]
    if known is not None and (known["reason"], known["message"]) == (problem.reason, message):
        return None
    new = {
        "type": STALLED,
        "status": "True",
        "reason": problem.reason,
        "message": message,
        "lastTransitionTime": known["lastTransitionTime"] if known is not None else at,
        "observedGeneration": resource["metadata"]["generation"],
    }
    return {**status, "message": message, "conditions": [*conditions, new]}


def pass_failed(error: Exception) -> Problem:
    """A fault of the operator's own."""
    return Problem(
        "PassFailed",
        "A pass over this rollout failed inside the operator and is tried again. Please report it with the "
        f"operator's log: {error!r}",
    )


def not_understood(error: ValidationError, deleting: bool) -> Problem:
    """A part of the stored resource without which no pass can be made."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    text = f"{where} of the {error.title} is not understood by this version of the operator: {first['msg']}."
    if deleting:
        text += (
            " So it is not known which route was moved, and nothing was given back: see whether your route "
            "still names Services of this rollout."
        )
    else:
        text += " Write it as the ModelRollout CRD of this version describes it."
    return Problem("NotUnderstood", text)
