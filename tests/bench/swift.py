"""What the operator's counting makes of a look, by subtraction of two scrapes.

The counting code reads each look out of hundreds of series, which takes most of the time of a rollout. Where
no process began again and each was scraped before, within and after the look, the answer is the last sample
less the one before the look; a test holds both equal. All other looks are counted by the operator's code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelrollout.analysis.evidence.load import shown
from modelrollout.analysis.inputs.observation import Arm, Histogram, Look, Ratio
from tests.bench.fleet import ENDS, FAMILIES, KEPT, SUMS, Array, Fleet

NEWBORN = 600.0
"""Seconds for which a process is counted by the operator's code alone."""
PLACES = {family: number for number, family in enumerate(FAMILIES)}
_EDGES = {family: tuple(float(f"{edge:g}") for edge in edges) for family, edges in FAMILIES.items()}
_FIRST = dict(
    zip(FAMILIES, np.cumsum([0, *(len(edges) + 1 for edges in FAMILIES.values())]).tolist(), strict=False)
)


@dataclass(frozen=True)
class Grown:
    """By how much the counters of both arms grew in a look."""

    canary: Array
    control: Array
    load: float | None
    """Requests per pod of the canary over those of the control."""

    @property
    def begun(self) -> float:
        """Requests of the canary that got their first token."""
        return float(_first_tokens(self.canary).sum())

    def arms(self, family: str | None) -> tuple[Arm, Arm]:
        """Of a histogram; None: the share of bad ends."""
        return _arm(self.canary, family), _arm(self.control, family)


def grown(fleet: Fleet, stable: Any, new: Any, look: Look) -> Grown | None:
    """`stable` and `new` are the lanes of the arms; None where the operator's code has to count."""
    lanes = np.concatenate([stable, new])
    scraped = fleet.scraped[lanes]
    first, last = ((scraped <= moment).sum(1) for moment in (look.start, look.end))
    young = fleet.begun[lanes] > look.start - NEWBORN
    if len(new) == 0 or np.isnan(scraped).any() or young.any():
        return None
    if not ((first > 0) & (first < last) & (last < KEPT)).all():
        return None
    rows = np.arange(len(lanes))
    samples, many = fleet.samples[lanes], len(stable)
    growth = samples[rows, last - 1] - samples[rows, first - 1]
    seconds = scraped[rows, last - 1] - scraped[rows, first - 1]
    requests = _first_tokens(growth)
    counts = requests[:many]
    busy = counts > 0 if counts.any() else np.ones(many, dtype=bool)
    load = shown(
        (float(requests[many:].sum()), float(seconds[many:].sum())),
        (float(counts.sum()), float(seconds[:many][busy].sum())),
    )
    return Grown(growth[many:].sum(0), growth[:many].sum(0), load)


def _first_tokens(growth: Array) -> Array:
    return np.asarray(growth[..., : len(FAMILIES["vllm:time_to_first_token_seconds"]) + 1].sum(-1))


def _arm(growth: Array, family: str | None) -> Arm:
    if family is None:
        good, bad = growth[ENDS : ENDS + 2].tolist()
        return Ratio(bad, good + bad)
    first, edges = _FIRST[family], _EDGES[family]
    counts = tuple(growth[first : first + len(edges) + 1].tolist())
    return Histogram(edges, counts, float(growth[SUMS + PLACES[family]]))


FAMILY_OF: Mapping[str, str | None] = {
    "vllm/time-to-first-token": "vllm:time_to_first_token_seconds",
    "vllm/time-per-output-token": "vllm:request_time_per_output_token_seconds",
    "vllm/success-rate": None,
}
"""The metrics that can be counted so."""
