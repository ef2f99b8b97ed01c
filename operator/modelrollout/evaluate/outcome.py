"""What a run says to those who watch it from outside: a line while it goes on, a verdict at its end.

The line is the last one of its log, the verdict the summary that its container leaves behind. A summary that
is not exactly one of the verdicts, with the exit code that belongs to it, says nothing about the model.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from modelrollout.analysis.evidence.decision import VerdictKind
from modelrollout.evaluate.trial import Trial
from modelrollout.evaluate.verdict import EXIT_CODES

_SHOWN = 4
"""Scores in a line."""
_LINE = re.compile(r"[0-9,]+/[0-9,]+ cases(, .*)?")
_STATES: dict[VerdictKind, Literal["passed", "failed", "insufficient", "error"]] = {
    VerdictKind.PASS: "passed",
    VerdictKind.FAIL: "failed",
    VerdictKind.INSUFFICIENT: "insufficient",
    VerdictKind.PROVIDER_ERROR: "error",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a run."""

    state: Literal["passed", "failed", "insufficient", "error"]
    sentence: str


def line(trial: Trial) -> str:
    """How far it is: `142/300 cases, correct 91.2 % beside 92.0 %`."""
    parts = [f"{trial.asked:,}/{trial.total:,} cases"]
    for score in trial.scored:
        tally = trial.tallies[score]
        if tally.cases == 0:
            continue
        candidate = _shown(tally.candidate / tally.weight, tally.scale.high)
        baseline = _shown(tally.baseline / tally.weight, tally.scale.high)
        if tally.scale.paired:
            parts.append(f"{score} wins {candidate}")
        elif trial.single or tally.scale.joint:
            parts.append(f"{score} {candidate}")
        else:
            parts.append(f"{score} {candidate} beside {baseline}")
    return ", ".join(parts[: _SHOWN + 1])


def _shown(mean: float, high: float | None) -> str:
    return f"{100 * mean:.1f} %" if high == 1.0 else f"{mean:.3g}"


def last_line(log: str) -> str | None:
    """The last such line of a log; None where it has none."""
    found = (text.strip() for text in reversed(log.splitlines()))
    return next((text[:300] for text in found if _LINE.fullmatch(text)), None)


def outcome(summary: str, exit_code: int) -> Outcome | None:
    """What a summary says; None when it says no verdict, or another one than the exit code does."""
    given = _parsed(summary)
    try:
        kind = VerdictKind(str(given.get("verdict")))
    except ValueError:
        return None
    message = given.get("message")
    if given.get("running") or EXIT_CODES[kind] != exit_code or not isinstance(message, str) or not message:
        return None
    return Outcome(_STATES[kind], message)


def _parsed(summary: str) -> dict[str, Any]:
    try:
        given = json.loads(summary)
    except (ValueError, RecursionError):
        return {}
    return given if isinstance(given, dict) else {}
