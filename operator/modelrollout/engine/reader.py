"""ModelRollouts as our models, read once per version: most passes begin with one that has not changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelrollout.api.spec import Spec
from modelrollout.api.status import Status
from modelrollout.engine.keys import RolloutKey

Body = Mapping[str, Any]
"""The resource as the API server gives it; never changed in place."""


class Reader:
    def __init__(self) -> None:
        self._specs: dict[RolloutKey, tuple[tuple[str, int], Spec]] = {}
        self._statuses: dict[RolloutKey, tuple[Body, Status]] = {}

    def spec(self, at: RolloutKey, body: Body) -> Spec:
        """
        Raises:
            ValueError: the stored spec is not one that this version understands.
        """
        generation = (body["metadata"]["uid"], body["metadata"]["generation"])
        known = self._specs.get(at)
        if known is None or known[0] != generation:
            known = self._specs[at] = (generation, Spec.model_validate(body["spec"]))
        return known[1]

    def status(self, at: RolloutKey, body: Body) -> Status:
        known = self._statuses.get(at)
        if known is None or known[0] is not body:
            known = self._statuses[at] = (body, Status.model_validate(body.get("status") or {}))
        return known[1]

    def forget(self, at: RolloutKey) -> None:
        """The rollout is gone."""
        self._specs.pop(at, None)
        self._statuses.pop(at, None)
