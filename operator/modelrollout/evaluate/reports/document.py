"""The report as JSON, whole or as a summary that fits into a container's termination message."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from modelrollout.evaluate.findings import Arm
from modelrollout.evaluate.readings import Reading
from modelrollout.evaluate.reports.report import Report
from modelrollout.evaluate.trial import Trial
from modelrollout.evaluate.verdict import GateResult, Verdict

VERSION = 1
MOST_BYTES = 4096
"""What Kubernetes keeps of a termination message."""
_PLACES = 5


def whole(report: Report) -> dict[str, Any]:
    verdict, findings = report.verdict, report.findings
    made = {
        **_head(verdict),
        "policy": {"name": report.policy_name, "digest": report.policy.digest},
        "versions": dict(report.versions),
        "judges": dict(report.prompts),
        "gates": [_gate(result) for result in verdict.gates],
        "tags": [_gate(result) for result in verdict.tags],
        "forecasts": [asdict(forecast) for forecast in report.forecasts],
        "arms": {side: _arm(arm) for side, arm in findings.arms.items()},
        "noise": {name: asdict(made) for name, made in findings.noise().items()},
        "people": {name: asdict(made) for name, made in findings.people().items()},
        "elo": dict(report.ratings),
        "worst": [asdict(case) for case in findings.worst],
        "remarks": list(report.remarks),
    }
    return {name: _finite(value) for name, value in made.items()}


def render(report: Report) -> str:
    return json.dumps(whole(report), ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def summary(verdict: Verdict, policy_digest: str) -> str:
    """The verdict and its gates in at most 4096 bytes; gates are left out from the end, then the message is
    cut, and `cut` says so."""
    head = {**_head(verdict), "policy": policy_digest}
    gates = [_finite(_small(result)) for result in verdict.gates]
    worse = [_finite(_small(result)) for result in verdict.tags if result.state == "Worse"]
    kept = [*worse, *gates]
    for number in range(len(kept), -1, -1):
        text = _line({**head, "gates": kept[:number], **({"cut": True} if number < len(kept) else {})})
        if len(text.encode()) <= MOST_BYTES:
            return text
    message = str(head["message"])
    while len(message) > 100:
        message = message[: len(message) * 3 // 4]
        text = _line({**head, "message": f"{message}…", "gates": [], "cut": True})
        if len(text.encode()) <= MOST_BYTES:
            break
    return text


def progress(trial: Trial) -> str:
    """The same while it runs: what was asked, and the means so far."""
    means = {
        line.claim.score: [_rounded(tally.candidate / tally.weight), _rounded(tally.baseline / tally.weight)]
        for line in trial.main_lines
        if (tally := trial.tallies[line.claim.score]).cases
    }
    made = {"version": VERSION, "running": True, "asked": trial.asked, "total": trial.total}
    text = _line(_finite({**made, "unanswered": trial.unanswered, "means": means}))
    return text if len(text.encode()) <= MOST_BYTES else _line({**made, "cut": True})


def failed(sentences: Sequence[str]) -> str:
    """The summary of an evaluation that could not be run."""
    message = " ".join(sentences)
    made = {"version": VERSION, "verdict": "ProviderError", "reason": "NotRun", "gates": []}
    return _line({**made, "message": message if len(message) <= 800 else f"{message[:800]}…"})


def _head(verdict: Verdict) -> dict[str, Any]:
    return {
        "version": VERSION,
        "verdict": verdict.kind.value,
        "reason": verdict.reason,
        "message": verdict.message,
        "asked": verdict.asked,
        "total": verdict.total,
        "unanswered": verdict.unanswered,
        "unjudged": verdict.unjudged,
    }


def _gate(result: GateResult) -> dict[str, Any]:
    reading = result.reading
    return {**_small(result), "cases": reading.cases, "text": result.text, "mustProve": result.must_prove}


def _small(result: GateResult) -> dict[str, Any]:
    return {
        "score": result.score,
        **({"tag": result.tag} if result.tag else {}),
        "demands": result.demands,
        "state": result.state,
        **_numbers(result.reading),
    }


def _numbers(reading: Reading) -> dict[str, Any]:
    values = {name: getattr(reading, name) for name in ("candidate", "baseline", "difference", "low", "high")}
    return {name: _rounded(value) for name, value in values.items() if value is not None}


def _arm(arm: Arm) -> dict[str, Any]:
    return {
        "answers": arm.answers,
        "retries": arm.retries,
        "promptTokens": arm.prompt_tokens,
        "completionTokens": arm.completion_tokens,
        "seconds": arm.seconds,
        "cost": arm.cost,
        "finish": dict(arm.finish),
        "problems": dict(arm.problems.most_common(5)),
    }


def _rounded(value: float) -> float:
    return float(f"{value:.{_PLACES}g}")


def _finite(value: Any) -> Any:
    """JSON knows no infinity: null stands for it."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return value


def _line(made: dict[str, Any]) -> str:
    return json.dumps(made, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
