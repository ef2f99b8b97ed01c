"""The report as a comment on a pull request: the verdict first, then the numbers, then the worst cases."""

from __future__ import annotations

from modelrollout.analysis.evidence.decision import VerdictKind
from modelrollout.evaluate.findings import Arm, WorstCase
from modelrollout.evaluate.readings import Reading
from modelrollout.evaluate.reports.report import Report
from modelrollout.evaluate.verdict import GateResult

LONGEST = 60_000
"""Characters; GitHub takes a comment of 65,536."""
_SIGN = {
    VerdictKind.PASS: "✅",
    VerdictKind.FAIL: "❌",
    VerdictKind.INSUFFICIENT: "⚠️",
    VerdictKind.PROVIDER_ERROR: "🔌",
}
_STATE = {"Proven": "✅ proven", "Worse": "❌ worse", "Undecided": "⚠️ undecided", "NoCases": "⚠️ no case"}
_CELL, _ANSWER = 300, 1500


def render(report: Report) -> str:
    verdict = report.verdict
    parts = [f"## {_SIGN[verdict.kind]} {verdict.kind.value}: {report.policy_name}", verdict.message]
    parts += [
        _versions(report),
        _gates(report),
        _tags(report),
        _worst(report),
        _cost(report),
        _judges(report),
    ]
    parts += [_ratings(report), _problems(report), *report.remarks]
    text = "\n\n".join(part for part in parts if part) + "\n"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}\n\n(The report was cut here.)\n"


def _versions(report: Report) -> str:
    return "  \n".join(f"{side.capitalize()}: {_plain(what)}" for side, what in report.versions.items())


def _gates(report: Report) -> str:
    if not report.verdict.gates:
        return ""
    rows = [_row(result.score, result) for result in report.verdict.gates]
    return _table(("Gate", "Baseline", "Candidate", "Difference", "95 % interval", "Demanded", ""), rows)


def _row(name: str, result: GateResult) -> list[str]:
    reading = result.reading
    state = _STATE[result.state] if result.must_prove or result.state == "Worse" else "– not to be proven"
    return [name, *_numbers(reading), result.demands, state]


def _numbers(reading: Reading) -> list[str]:
    if reading.candidate is None:
        return ["–", "–", "–", "–"]
    baseline = "–" if reading.baseline is None else reading.shown(reading.baseline)
    difference = "–" if reading.difference is None else reading.gap(reading.difference)
    between = "–"
    if reading.low is not None and reading.high is not None:
        between = f"{reading.gap(reading.low)} … {reading.gap(reading.high)}"
    return [baseline, reading.shown(reading.candidate), difference, between]


def _tags(report: Report) -> str:
    rows = [
        [
            result.tag or "",
            result.score,
            str(result.reading.cases),
            *_numbers(result.reading)[:3],
            _tag_state(result),
        ]
        for result in report.verdict.tags
        if result.reading.cases
    ]
    if not rows:
        return ""
    table = _table(("Tag", "Score", "Cases", "Baseline", "Candidate", "Difference", ""), rows)
    return f"<details><summary>By tag</summary>\n\n{table}\n\n</details>"


def _tag_state(result: GateResult) -> str:
    return _STATE["Worse"] if result.state == "Worse" else ""


def _worst(report: Report) -> str:
    worst = report.findings.worst
    if not worst:
        return ""
    shown = "\n\n".join(_case(case) for case in worst)
    return f"<details><summary>The {len(worst)} cases that got worst</summary>\n\n{shown}\n\n</details>"


def _case(case: WorstCase) -> str:
    scores = ", ".join(
        f"{_plain(name)} {_value(base)} → {_value(candidate)}"
        if base is not None
        else f"{name} {_value(candidate)}"
        for name, (candidate, base) in case.scores.items()
        if candidate is not None and candidate != base
    )
    tags = f" ({_plain(', '.join(case.tags))})" if case.tags else ""
    parts = [f"**{_plain(case.id)}**{tags}: {scores}", _quoted("Question", case.question)]
    if case.baseline is not None:
        parts.append(_quoted("Baseline", case.baseline))
    parts.append(_quoted("Candidate", case.candidate))
    return "\n\n".join(parts)


def _value(number: float | None) -> str:
    return "–" if number is None else f"{number:.3g}"


def _quoted(title: str, text: str) -> str:
    """The text as a code block whose fence is longer than any in it: nothing in an answer becomes markup."""
    cut = text if len(text) <= _ANSWER else f"{text[:_ANSWER]} […]"
    longest = max((len(run) for run in _runs(cut)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{title}:\n{fence}text\n{cut}\n{fence}"


def _runs(text: str) -> list[str]:
    return [run for run in "".join(c if c == "`" else " " for c in text).split() if run]


def _cost(report: Report) -> str:
    arms = report.findings.arms
    if not arms:
        return ""
    priced = report.policy.prices is not None
    head = ["", "Answers", "Retries", "Prompt tokens", "Output tokens", "Seconds of asking"]
    rows = [_arm(side, arm, priced) for side, arm in arms.items()]
    return _table((*head, "Cost") if priced else tuple(head), rows)


def _arm(side: str, arm: Arm, priced: bool) -> list[str]:
    counts = (arm.answers, arm.retries, arm.prompt_tokens, arm.completion_tokens)
    row = [side, *(f"{count:,}" for count in counts), f"{arm.seconds:,.1f}"]
    return [*row, f"{arm.cost:,.4g}"] if priced else row


def _judges(report: Report) -> str:
    lines = [f"- {name}: {_plain(what)}." for name, what in report.prompts.items()]
    lines += [f"- {name} against itself, {made.text}." for name, made in report.findings.noise().items()]
    lines += [f"- {name} against people, {made.text}." for name, made in report.findings.people().items()]
    return "\n".join(["Judges:", *lines]) if lines else ""


def _ratings(report: Report) -> str:
    if not report.ratings:
        return ""
    rows = [[_plain(name), f"{rating:.0f}"] for name, rating in report.ratings.items()]
    return _table(("Version", "Elo"), rows)


def _problems(report: Report) -> str:
    lines = [
        f"- {side}, {count} times: {_plain(problem)}"
        for side, arm in report.findings.arms.items()
        for problem, count in arm.problems.most_common(3)
    ]
    return "\n".join(["Unanswered:", *lines]) if lines else ""


def _table(head: tuple[str, ...], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(_plain(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _plain(text: str) -> str:
    """One line without markup: names and messages come from files and servers."""
    flat = " ".join(text.split())
    cut = flat if len(flat) <= _CELL else f"{flat[:_CELL]}…"
    for sign in ("\\", "|", "`", "<", "*", "["):
        cut = cut.replace(sign, f"\\{sign}")
    return cut.replace("@", "@\u200b")  # mentions nobody
