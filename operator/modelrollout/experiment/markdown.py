"""The report as Markdown: the result first, then what it rests on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from modelrollout.experiment.report import Guarded, Report, Result, Segment, lift, told

TITLES = {
    Result.BETTER: "The canary is better",
    Result.WORSE: "The canary is worse",
    Result.NO_DIFFERENCE: "No difference is shown",
    Result.EARLY: "Too early to say",
    Result.INVALID: "The arms cannot be compared",
}


def render(report: Report, picture: str | None = None) -> str:
    """`picture` is the address of the image, when there is one."""
    experiment, metric = report.experiment, report.experiment.metric
    lines = [f"# {experiment.name}: {TITLES[report.result]}", "", report.sentence, ""]
    if report.primary is not None:
        both = (report.primary.stable, report.primary.canary)
        lines += _table(
            ["", "stable", "canary"],
            [
                ["users who count", *map(str, report.primary.users)],
                [metric.name, *(_value(report, value) for value in both)],
            ],
        )
        lines += [
            f"{report.primary.test}, two-sided; the interval is at {100 * (1 - experiment.risk):g} %.",
            f"Planned for a change of {experiment.metric.effect}, power {100 * experiment.power:g} %.",
            *_lift(report),
            "",
        ]
    if picture is not None and report.course:
        lines += [f"![The effect, with its interval, over the users so far]({picture})", ""]
    if report.guarded:
        lines += ["## Guardrails", "", *_guardrails(report.guarded)]
    if report.segments:
        lines += ["## By segment", "", *_segments(report, report.segments)]
    lines += ["## The split", "", *_split(report)]
    if report.early_and_late is not None:
        early, late = report.early_and_late
        lines += ["## Early and late users", "", f"First half: {told(metric, early)}.", ""]
        lines += [f"Second half: {told(metric, late)}.", ""]
        lines += [
            "They differ by more than chance: what is new may wear off, or users may still be learning."
            if report.novelty
            else "They do not differ by more than chance.",
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


def _lift(report: Report) -> list[str]:
    """Only of what adds up over users."""
    metric = report.experiment.metric
    if report.primary is None or metric.kind == "ratio" or metric.test == "ranks":
        return []
    more, low, high = lift(report.primary)
    return [
        f"Together the {report.primary.users[1]} users of the canary have {more:+.4g} {metric.name} beside "
        f"what stable's users would have ({low:.4g} to {high:.4g})."
    ]


def _value(report: Report, value: float) -> str:
    return f"{100 * value:.2f} %" if report.experiment.metric.kind == "share" else f"{value:.4g}"


def _guardrails(guarded: Sequence[Guarded]) -> list[str]:
    rows = []
    for found in guarded:
        change = found.compared
        rows.append(
            [
                found.guardrail.name,
                f"{change.stable:.4g}",
                f"{change.canary:.4g}",
                f"{change.effect:+.3g} ({change.low:.3g} to {change.high:.3g})",
                f"at most {found.limit:.3g} worse",
                "broken" if found.broken else "held",
            ]
        )
    return _table(["guardrail", "stable", "canary", "change", "limit", ""], rows)


def _segments(report: Report, segments: Sequence[Segment]) -> list[str]:
    rows = []
    for segment in segments:
        found = segment.compared
        rows.append(
            [
                f"{segment.field} = {segment.value}",
                f"{segment.users[0]} and {segment.users[1]}",
                told(report.experiment.metric, found) if found is not None else "too few users",
                f"{segment.adjusted:.2g}" if found is not None else "",
            ]
        )
    note = "The p-values are adjusted for the number of segments (Holm)."
    return [*_table(["segment", "users", "effect", "p"], rows), note, ""]


def _split(report: Report) -> list[str]:
    stable, canary = report.users
    total = max(1, stable + canary)
    lines = [
        f"{stable} users of stable and {canary} of the canary ({100 * canary / total:.1f} %; "
        f"{report.experiment.split} % was asked for; p = {report.mismatch:.2g})."
    ]
    outcomes = report.outcomes
    if outcomes.both_arms:
        lines.append(
            _count(outcomes.both_arms, "user was", "users were") + " seen in both arms and left out."
        )
    if outcomes.elsewhere:
        where = "in another arm than the hash of the name gives."
        lines.append(f"{_count(outcomes.elsewhere, 'user was', 'users were')} {where}")
    if outcomes.young:
        lines.append(
            f"{_count(outcomes.young, 'user', 'users')} came too lately for their outcomes to count."
        )
    if outcomes.late:
        what = _count(outcomes.late, "outcome", "outcomes")
        lines.append(f"Left out: {what} after the window of the user.")
    if outcomes.repeated:
        lines.append(f"Left out: {_count(outcomes.repeated, 'repetition', 'repetitions')} of a row.")
    return [" ".join(lines), ""]


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    cells = [list(head), ["---"] * len(head), *(list(row) for row in rows)]
    return [*("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells), ""]
