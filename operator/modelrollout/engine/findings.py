"""What the looks say about one rollout now; the part of `Observed` that does not come from the cluster."""

from __future__ import annotations

from dataclasses import dataclass

from modelrollout.api.status import AnalysisStatus
from modelrollout.api.times import stamp


@dataclass(frozen=True)
class Findings:
    analysis: AnalysisStatus | None = None
    quiet: bool = False
    split_mismatch: str | None = None
    measured: str | None = None
    """The share of arrivals counted so far."""


NOTHING = Findings()


def failed(why: str, now: float) -> Findings:
    """Nothing can be said of the looks; a verdict that holds. `now` in unix seconds."""
    return Findings(
        AnalysisStatus(verdict="ProviderError", reason="ProviderError", message=why, last_look=stamp(now))
    )
