"""Finds the rollouts that want to move the same traffic, by what they claim, so that no pass has to ask all
others."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from modelrollout.api.names import RolloutKey
from modelrollout.api.stored import understood
from modelrollout.api.strategy import Strategy
from modelrollout.api.traffic import Traffic
from modelrollout.traffic.registry import router_for

Place = tuple[str, str]
"""Namespace and target, such as `httproutes/chat#completions`."""


Known = tuple[tuple[str, int, str], frozenset[Place]]
"""Uid and generation of the rollout, what it holds, and what it claims."""
_NOTHING: Known = (("", 0, ""), frozenset())


class Claims:
    def __init__(self) -> None:
        self._of: dict[RolloutKey, Known] = {}
        self._at: dict[Place, set[RolloutKey]] = {}

    def learn(self, key: RolloutKey, body: Mapping[str, Any]) -> set[RolloutKey]:
        """Take in a rollout as it was seen; its targets are read once per generation.

        Returns the rollouts that may go on now, because it no longer claims what they do.
        """
        taken = (body.get("status") or {}).get("taken")
        version = (body["metadata"]["uid"], body["metadata"]["generation"], json.dumps(taken))
        known = self._of.get(key)
        if known is not None and known[0] == version:
            return set()
        waiting = self.forget(key)
        places = frozenset((key.namespace, target) for target in _targets(body))
        self._of[key] = version, places
        for place in places:
            self._at.setdefault(place, set()).add(key)
        return waiting - self.rivals(key).keys()

    def forget(self, key: RolloutKey) -> set[RolloutKey]:
        """Forget a rollout that is gone. Returns the rollouts that claim what it did."""
        waiting = set(self.rivals(key))
        _, places = self._of.pop(key, _NOTHING)
        for place in places:
            self._at[place].discard(key)
            if not self._at[place]:
                del self._at[place]
        return waiting

    def rivals(self, key: RolloutKey) -> dict[RolloutKey, str]:
        """Other rollouts, and the first target that both claim."""
        _, places = self._of.get(key, _NOTHING)
        found: dict[RolloutKey, str] = {}
        for place in sorted(places):
            for other in self._at[place] - {key}:
                found.setdefault(other, place[1])
        return found


def _targets(body: Mapping[str, Any]) -> frozenset[str]:
    """What its spec names, and what it has not given back since the spec named something else."""
    taken = (body.get("status") or {}).get("taken")
    found: set[str] = set()
    with contextlib.suppress(ValueError):
        spec, _ = understood(body)
        found |= _named(spec.traffic, spec.strategy)
    with contextlib.suppress(ValueError):
        if taken is not None:
            found |= _named(Traffic.model_validate(taken), Strategy())
    return frozenset(found)


def _named(traffic: Traffic, strategy: Strategy) -> frozenset[str]:
    return router_for(traffic, strategy).claims() | {f"services/{traffic.service}"}
