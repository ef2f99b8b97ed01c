"""A report as stores take it: files, and the numbers and words that a store can show and search by itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from modelrollout.analysis.evidence.decision import VerdictKind
from modelrollout.api.names import GROUP
from modelrollout.evaluate.reports.report import Report

_LONGEST = 2000
"""Characters of a word; MLflow takes 5,000 bytes on every backend."""


@dataclass(frozen=True, slots=True)
class Bundle:
    name: str
    """Of this evaluation, with its time; files are kept below it."""
    files: Mapping[str, bytes]
    numbers: Mapping[str, float]
    words: Mapping[str, str]
    note: str
    """The verdict's sentence."""
    judged: bool
    """Whether the verdict says anything about the model."""


def bundle(report: Report, name: str, files: Mapping[str, bytes]) -> Bundle:
    verdict = report.verdict
    judged = verdict.kind is not VerdictKind.PROVIDER_ERROR
    return Bundle(
        name, files, _numbers(report), _words(report), f"{verdict.kind.value}: {verdict.message}", judged
    )


def _numbers(report: Report) -> dict[str, float]:
    """`asked`, `unanswered`, `total`, and of each gate such as `correct/candidate`."""
    verdict = report.verdict
    made: dict[str, float] = {
        "asked": verdict.asked,
        "unanswered": verdict.unanswered,
        "total": verdict.total,
    }
    for result in verdict.gates:
        for name in ("candidate", "baseline", "difference", "low", "high"):
            value = getattr(result.reading, name)
            if value is not None and math.isfinite(value):
                made[f"{result.score}/{name}"] = float(value)
    return made


def _words(report: Report) -> dict[str, str]:
    """What a run is searched by: `modelrollout.io/verdict`, and of each gate its state."""
    verdict = report.verdict
    made = {
        "verdict": verdict.kind.value,
        "reason": verdict.reason,
        "policy": report.policy_name,
        "policy-digest": report.policy.digest,
        "revision": report.names.get("candidate", ""),
        **report.versions,
        **{f"gate/{result.score}": result.state for result in verdict.gates},
    }
    return {f"{GROUP}/{name}": value[:_LONGEST] for name, value in made.items() if value}
