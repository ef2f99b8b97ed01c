"""The rule that turns the evidence of an evaluation into a verdict. The order of its clauses matters."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

from modelrollout.analysis.evidence.decision import VerdictKind
from modelrollout.analysis.evidence.sentences import chance, names
from modelrollout.evaluate.readings import Reading, read, tolerated
from modelrollout.evaluate.trial import Line, Trial

EXIT_CODES = {
    VerdictKind.PASS: 0,
    VerdictKind.FAIL: 1,
    VerdictKind.INSUFFICIENT: 2,
    VerdictKind.PROVIDER_ERROR: 3,
}
_BLAME = 0.1
_HOPELESS = 50
"""Cases after which an endpoint or a judge that mostly fails is not asked any more."""


@dataclass(frozen=True, slots=True)
class GateResult:
    """One gate: what it demands, what was seen, and what follows: Proven, Worse, Undecided or NoCases."""

    score: str
    demands: str
    state: str
    reading: Reading
    must_prove: bool
    tag: str | None = None

    @property
    def text(self) -> str:
        return f"{self.reading.text}; {self.demands}"


@dataclass(frozen=True)
class Verdict:
    kind: VerdictKind
    reason: str
    message: str
    gates: tuple[GateResult, ...]
    asked: int
    total: int
    unanswered: int
    unjudged: dict[str, int]
    _trial: Trial = field(repr=False, compare=False)

    @cached_property
    def tags(self) -> tuple[GateResult, ...]:
        """The gates of single tags. The interval of each takes longer than the verdict, so they are computed
        only where they are shown."""
        return tuple(_result(self._trial, line) for line in self._trial.lines if line.tag is not None)

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.kind]


def judge(trial: Trial, ended: bool = False) -> Verdict:
    """The verdict now, with all its numbers; `ended`: no further case will come."""
    kind, reason = _rule(trial)
    return Verdict(
        kind,
        reason,
        f"{_message(trial, reason, ended)} {_asked(trial)}",
        tuple(_result(trial, line) for line in trial.main_lines),
        trial.asked,
        trial.total,
        trial.unanswered,
        dict(trial.unjudged),
        trial,
    )


def decided(trial: Trial) -> bool:
    """Whether a further case can be saved: asked after every case, so it computes no numbers for people.

    While something that needs no proof looks worse, such as a tag, a pass waits for the other cases.
    """
    kind, reason = _rule(trial)
    if reason in ("Unanswered", "Unjudged", "Unscored"):
        return trial.asked >= min(_HOPELESS, trial.total)
    return kind is VerdictKind.FAIL or (kind is VerdictKind.PASS and not _doubts(trial))


def _rule(trial: Trial) -> tuple[VerdictKind, str]:
    if trial.asked == 0 or not trial.main_lines:
        return VerdictKind.INSUFFICIENT, "NoCases" if trial.asked == 0 else "NoBaseline"
    if trial.too_many_unanswered():
        return VerdictKind.PROVIDER_ERROR, "Unanswered"
    if trial.too_often(trial.unjudged):
        return VerdictKind.PROVIDER_ERROR, "Unjudged"
    if trial.too_often(trial.unscored):
        return VerdictKind.PROVIDER_ERROR, "Unscored"
    if trial.log_worse >= -math.log(trial.policy.risk.false_fail):
        return VerdictKind.FAIL, "CandidateWorse"
    if not _open(trial):
        return VerdictKind.PASS, "NotWorse"
    return VerdictKind.INSUFFICIENT, "MoreCasesNeeded"


def _open(trial: Trial) -> list[Line]:
    """Claims that must be proven and are not. A claim that no case speaks of is never proven."""
    needed = -math.log(trial.policy.risk.miss)
    wanted = [line for line in trial.main_lines if line.claim.must_prove]
    if not wanted:  # nothing asks for proof: then each gate must at least have had cases
        return [line for line in trial.main_lines if line.bet.cases == 0]
    return [line for line in wanted if line.log_kept < needed]


def _message(trial: Trial, reason: str, ended: bool) -> str:
    match reason:
        case "NoCases":
            return "No case has been asked."
        case "NoBaseline":
            return "There is no baseline, and no gate has an absolute limit: nothing can be judged."
        case "CandidateWorse":
            return _worse(trial)
        case "NotWorse":
            return _not_worse(trial)
        case "MoreCasesNeeded":
            return _undecided(trial, ended)
        case _:
            return _missing(trial, reason)


def _missing(trial: Trial, reason: str) -> str:
    """Answers or marks are missing too often: what is left is a selection, and speaks for nobody."""
    rest = f"of {trial.asked} cases"
    if reason == "Unanswered":
        side = "candidate" if trial.unanswered_candidate >= trial.unanswered_baseline else "baseline"
        seen, most = f"The {side} did not answer {trial.unanswered} {rest}", trial.policy.max_unanswered
    else:
        counts = trial.unjudged if reason == "Unjudged" else trial.unscored
        name, most = trial.too_often(counts)[0], trial.policy.max_unjudged
        what = "The judge gave no mark" if reason == "Unjudged" else "The scorer failed"
        seen = f"{what} for {name} in {counts[name]} {rest}"
    return f"{seen} (at most {chance(most)} may be missing): nothing is judged from the others."


def _worse(trial: Trial) -> str:
    total = trial.log_worse
    blamed = [
        line
        for line in trial.lines
        if (line.tag is None or trial.policy.tags == "fail")
        and line.log_stake + line.log_worse >= total + math.log(_BLAME)
    ]
    blamed.sort(key=lambda line: -(line.log_stake + line.log_worse))
    listed = list(dict.fromkeys(_named(line) for line in blamed))
    details = _details(trial, blamed[:3])
    risk = chance(trial.policy.risk.false_fail)
    return f"The candidate is worse on {names(listed)} (risk of error {risk}). {details}."


def _not_worse(trial: Trial) -> str:
    proven = [line for line in trial.main_lines if line.claim.must_prove] or trial.main_lines
    listed = list(dict.fromkeys(line.claim.score for line in proven))
    details = _details(trial, proven[:4])
    risk = chance(trial.policy.risk.miss)
    return f"The candidate keeps every gate: {names(listed)} (risk of error {risk}). {details}."


def _undecided(trial: Trial, ended: bool) -> str:
    needed = -math.log(trial.policy.risk.miss)
    last = min(_open(trial), key=lambda line: line.log_kept)
    if last.bet.cases == 0:
        return f"No case says anything about {last.claim.score}: see what its scorer needs of a case."
    done = 100 * min(max(last.log_kept / needed, 0.0), 1.0)
    more = " Add cases, or tolerate more." if ended else ""
    return (
        f"Not decided: {last.claim.score} has {done:.0f} % of the evidence to pass. "
        f"{_result(trial, last).text}.{more}"
    )


def _details(trial: Trial, lines: list[Line]) -> str:
    """The numbers of each score once, with all its limits behind them."""
    demands: dict[str, list[str]] = {}
    for line in lines:
        result = _result(trial, line)
        demands.setdefault(result.reading.text, []).append(result.demands)
    return "; ".join(f"{text}; {names(wanted)}" for text, wanted in demands.items())


def _asked(trial: Trial) -> str:
    text = f"{trial.asked:,} of {trial.total:,} cases were asked"
    missing = [f"{trial.unanswered} unanswered"] if trial.unanswered else []
    missing += [f"{number} unjudged for {name}" for name, number in trial.unjudged.items()]
    return f"{text} ({', '.join(missing)})." if missing else f"{text}."


def _doubts(trial: Trial) -> bool:
    """Whether something looks worse although no proof of it is asked for: then the remaining cases are worth
    asking."""
    unproven = [line for line in trial.lines if line.tag is not None or not line.claim.must_prove]
    return any(line.looks_worse for line in unproven)


def _named(line: Line) -> str:
    return line.claim.score if line.tag is None else f"{line.claim.score} of {line.tag}"


def _result(trial: Trial, line: Line) -> GateResult:
    claim = line.claim
    tally = trial.tallies[claim.score] if line.tag is None else trial.tag_tallies[line.tag, claim.score]
    reading = read(claim.score if line.tag is None else _named(line), tally, trial.single)
    return GateResult(claim.score, tolerated(claim), _state(trial, line), reading, claim.must_prove, line.tag)


def _state(trial: Trial, line: Line) -> str:
    if line.bet.cases == 0:
        return "NoCases"
    if line.log_stake + line.log_worse >= -math.log(trial.policy.risk.false_fail):
        return "Worse"
    return "Proven" if line.log_kept >= -math.log(trial.policy.risk.miss) else "Undecided"
