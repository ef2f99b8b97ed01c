"""`modelrollout explain`: why a rollout is where it is, what would move it, and what a person can do."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from modelrollout.api.names import PREFIX
from modelrollout.api.objects import Body, Object, annotations_of, name_of
from modelrollout.api.status import Condition, Status
from modelrollout.api.stored import status_in_part
from modelrollout.cli.one_rollout import answer, parser_of
from modelrollout.cli.screen.lines import Line, Span, wrapped
from modelrollout.cli.screen.output import page, show, write
from modelrollout.cli.screen.tree import Page, phase_style
from modelrollout.rollout.commands import given

ON_TRIAL = ("Starting", "Progressing", "Paused")
TELLING = {
    "Managed": "False",
    "Stalled": "True",
    "Accepted": "False",
    "Killed": "True",
    "Paused": "True",
    "Reverted": "True",
    "TrafficSplit": "False",
    "Available": "False",
}
"""Conditions that say why nothing moves, while they have this status; the gravest first."""


@dataclass(frozen=True)
class Why:
    """One reason why the rollout is where it is."""

    about: str
    """The condition that says it, or the metric."""
    reason: str
    said: str
    """The operator's sentence."""
    means: str
    """What docs/reasons.md says of the reason."""
    do: str
    """What would move it."""


@dataclass(frozen=True)
class Choice:
    """Something that a person can do now."""

    command: str
    does: str


@dataclass(frozen=True)
class Explanation:
    name: str
    phase: str
    message: str
    why: tuple[Why, ...]
    can: tuple[Choice, ...]


def parser() -> argparse.ArgumentParser:
    return parser_of(
        "explain",
        "Say why a rollout is where it is, what would move it, and what a person can do now. Exit code 0: "
        "explained, 2: it could not be asked for.",
    )


def main(argv: Sequence[str]) -> int:
    return answer(parser(), argv, _tell)


def _tell(body: Body, output: str | None) -> int:
    found = explanation(body)
    if output:
        write(asdict(found) | {part: [*asdict(found)[part]] for part in ("why", "can")}, output)
    else:
        show(lines(found, page()))
    return 0


@cache
def catalogue() -> Mapping[str, Mapping[str, str]]:
    """What each reason means and what to do, as docs/reasons.md has it."""
    folder = files("modelrollout.cli") / "reasons"
    read: dict[str, Any] = {}
    for file in folder.iterdir():
        if file.name.endswith(".yaml"):
            read |= yaml.load(file.read_text("utf-8"), yaml.CSafeLoader)["reasons"]
    return read


def explanation(body: Object) -> Explanation:
    status = status_in_part(body.get("status") or {})
    if status.phase is None:
        wait = "See whether an operator runs that serves this namespace: kubectl get lease -A"
        why: tuple[Why, ...] = (Why("Managed", "", "No operator has seen it yet.", "", wait),)
        return Explanation(name_of(body), "", "No operator has seen it yet", why, ())
    return Explanation(
        name_of(body),
        status.phase,
        status.message,
        tuple(_reasons(status)),
        tuple(_choices(body, status)),
    )


def _reasons(status: Status) -> Iterator[Why]:
    conditions = {each.type: each for each in status.conditions}
    told = [
        conditions[kind]
        for kind, truth in TELLING.items()
        if kind in conditions and conditions[kind].status == truth
    ]
    if (progressing := conditions.get("Progressing")) is not None:
        told.append(progressing)
    seen: set[str] = set()
    for condition in told:
        if condition.reason not in seen:
            seen.add(condition.reason)
            yield _why(condition.type, condition)
    if status.canary is not None and status.analysis is not None and status.analysis.reason:
        entry = catalogue().get(status.analysis.reason, {})
        yield Why(
            f"Verdict {status.analysis.verdict}",
            status.analysis.reason,
            status.analysis.message,
            entry.get("means", ""),
            entry.get("do", ""),
        )


def _why(about: str, condition: Condition) -> Why:
    entry = catalogue().get(condition.reason, {})
    return Why(about, condition.reason, condition.message, entry.get("means", ""), entry.get("do", ""))


def _choices(body: Object, status: Status) -> Iterator[Choice]:
    name = name_of(body)
    if "kill" in given(annotations_of(body)):
        yield Choice(
            f"modelrollout unkill {name}", "take the kill switch off, so that new revisions may begin"
        )
    if status.canary is not None and status.phase in ON_TRIAL:
        canary, at = status.canary.revision, status.step.progress if status.step is not None else "1"
        yield Choice(f"modelrollout promote {name}", f"pass step {at} without waiting for its verdict")
        yield Choice(f"modelrollout promote {name} --full", "pass every step that is left")
        yield Choice(f"modelrollout abort {name}", f"send everybody back, and refuse revision {canary}")
        yield Choice(f"modelrollout kill {name}", "the same, and let no other revision begin either")
    elif status.previous is not None and status.phase in ("Watching", "Promoting"):
        back = status.previous.revision
        yield Choice(f"modelrollout rollback {name}", f"send everybody back to {back}, which is warm")
    if status.refused_revision is not None and status.phase == "Reverted":
        yield Choice(f"modelrollout retry {name}", f"try revision {status.refused_revision} again")
    if PREFIX + "pause" in annotations_of(body):
        yield Choice(f"modelrollout resume {name}", "take the pause off")
    elif status.phase in (*ON_TRIAL, "Stable", "Watching"):
        held = (
            "hold it where it is" if status.phase in ON_TRIAL else "hold the next revision before any traffic"
        )
        yield Choice(f"modelrollout pause {name}", held)


def lines(found: Explanation, page: Page) -> list[Line]:
    first = (
        Span(f"{found.name} ", "bold"),
        Span(found.phase or "is new", phase_style(found.phase)),
        Span(": "),
    )
    out: list[Line] = wrapped(first, "  ", found.message, page.width)
    head: Line
    for heading, rows in (("Why", found.why), ("What would move it", found.why)):
        told = [row for row in rows if (row.do if heading != "Why" else True)]
        out += [(), (Span(heading, "bold"),)] if told else []
        for row in told:
            head = (Span("  "), Span(f"{row.reason or row.about}", "cyan"), Span(": "))
            text = (
                row.do
                if heading != "Why"
                else " ".join(part for part in (row.means, _sentence(row.said)) if part)
            )
            out += wrapped(head, "    ", text, page.width)
    if found.can:
        out += [(), (Span("What you can do", "bold"),)]
        widest = max(len(choice.command) for choice in found.can)
        for choice in found.can:
            wide = page.width >= widest + 44
            head = (Span("  "), Span(f"{choice.command:<{widest + 2 if wide else 0}}", "green"))
            if wide:
                out += wrapped(head, " " * (widest + 4), choice.does, page.width)
            else:
                out += [head, *wrapped((Span("    "),), "    ", choice.does, page.width)]
    return out


def _sentence(text: str) -> str:
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."
