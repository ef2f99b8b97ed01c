"""Writing status: only when it differs, only on what was read, and rarely for the sake of numbers alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from modelrollout.api.names import RolloutKey
from modelrollout.api.status import Status
from modelrollout.cluster.cache import See
from modelrollout.cluster.client import Cluster
from modelrollout.engine.view import View

CHECKPOINT = 240.0
"""Seconds between two writes that carry nothing but newer numbers and evidence. What a restart must count
again from Prometheus is at most this long."""


class Recorder:
    def __init__(self, cluster: Cluster, see: See, clock: Callable[[], float]) -> None:
        """`see` is shown the resource as it was written."""
        self._cluster = cluster
        self._see = see
        self._clock = clock
        self._written_at: dict[RolloutKey, float] = {}

    async def record(
        self, view: View, status: Status, evidence: Callable[[], dict[str, Any] | None]
    ) -> Mapping[str, Any]:
        """Make the resource's status so, and return the resource as it is then.

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

    def forget(self, at: RolloutKey) -> None:
        self._written_at.pop(at, None)

    def _due(self, at: RolloutKey) -> bool:
        """Numbers alone are due when they have not been written for a while; the first wait starts now."""
        return self._clock() - self._written_at.setdefault(at, self._clock()) >= CHECKPOINT


def dumped(status: Status) -> dict[str, Any]:
    """Status as the API stores it: no nulls, which a structural schema would refuse."""
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)
