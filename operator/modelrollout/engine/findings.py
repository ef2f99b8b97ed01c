"""What the looks say about one rollout now; the part of `Observed` that does not come from the cluster."""

from __future__ import annotations

from dataclasses import dataclass

from modelrollout.api.status import AnalysisStatus


@dataclass(frozen=True)
class Findings:
    analysis: AnalysisStatus | None = None
    quiet: bool = False
    split_mismatch: str | None = None


NOTHING = Findings()
