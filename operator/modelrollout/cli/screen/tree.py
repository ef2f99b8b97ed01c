"""One rollout as a tree: revisions with their pods, steps, and the evidence on its way to both limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from modelrollout.api.contest import ContestStatus
from modelrollout.api.names import REVISION_LABEL
from modelrollout.api.objects import Body, Object, labels_of, name_of
from modelrollout.api.printable import printable
from modelrollout.api.stages import stage_of
from modelrollout.api.status import AnalysisStatus, MetricStatus, RevisionStatus, Status
from modelrollout.api.stored import status_in_part
from modelrollout.api.times import unix
from modelrollout.cli.screen.lines import Line, Marks, Span, bar, spell, wrapped
from modelrollout.serving.trouble import is_ready, trouble
from modelrollout.traffic.requirements import as_matches

GOOD = ("Stable", "Watching", "Promoting")
BAD = ("Invalid", "Reverting", "Reverted", "Killed")
HELD = ("Paused",)
VERDICTS = {"Pass": "green", "Fail": "red", "ProviderError": "yellow", "Insufficient": "yellow"}
LABEL = 11
"""Columns of the names of the lines at the top."""
MOST_PODS = 8
"""Pods of one revision that are listed; those with trouble come first."""


@dataclass(frozen=True)
class Page:
    """Where and when a rollout is shown."""

    now: float
    """Unix seconds."""
    width: int
    marks: Marks


def tree(body: Body, pods: Sequence[Object], page: Page) -> list[Line]:
    """Everything that a person looks for first, of a ModelRollout and its pods."""
    status = status_in_part(body.get("status") or {})
    return [
        *_head(body, status, page),
        *_revisions(status, pods, page),
        *_steps(status, page),
        *_evidence(status.analysis, page),
    ]


def phase_style(phase: str | None) -> str:
    styles = ((GOOD, "green"), (BAD, "red"), (HELD, "yellow"))
    return next((style for phases, style in styles if phase in phases), "cyan")


def weight_words(status: Status) -> str:
    """What was asked for, what the route says, and what was counted."""
    weight = status.weight
    if weight.canary is None and not (weight.desired or weight.mirror or weight.matches):
        return ""
    parts = [f"asked {weight.desired} %"]
    parts.append(f"route {weight.observed} %" if weight.observed is not None else "route not read")
    parts.append(f"counted {weight.measured}" if weight.measured else "not counted yet")
    if weight.mirror:
        parts.append(f"a copy of {weight.mirror} %")
    if weight.matches:
        some = f"{weight.share} % of those" if weight.share is not None else "requests"
        parts.append(f"{some} with " + " or ".join(map(str, as_matches(weight.matches))))
    return ", ".join(parts)


def _field(name: str, text: str, page: Page, style: str = "") -> list[Line]:
    return wrapped((Span(f"{name:<{LABEL}}", "bold"),), " " * 4, text, page.width, style) if text else []


def _head(body: Body, status: Status, page: Page) -> Iterator[Line]:
    where = f"{body['metadata'].get('namespace', '')}/{name_of(body)}".lstrip("/")
    yield from _field("Rollout", where, page)
    since = f" for {spell(page.now - unix(status.phase_since))}" if status.phase_since else ""
    phase = f"{status.phase}{since}" if status.phase else "not seen by an operator yet"
    yield from _field("Phase", phase, page, phase_style(status.phase))
    yield from _field("Message", status.message, page)
    for condition in status.conditions:
        if (condition.type, condition.status) in (("Stalled", "True"), ("Managed", "False")):
            said = f"{condition.reason}: {condition.message}"
            yield from _field(condition.type, said, page, "red")
    if status.step is not None and status.plan:
        yield from _field("Step", status.step.progress, page)
    yield from _field("Weight", weight_words(status), page)
    if status.canary is not None and status.verdict is not None and status.analysis is not None:
        said = ": ".join(part for part in (status.verdict, status.analysis.reason) if part)
        yield from _field("Verdict", said, page, VERDICTS[status.verdict])
        if status.analysis.eta:
            left = spell(unix(status.analysis.eta) - page.now)
            yield from _field("Decided by", f"{status.analysis.eta}, in {left} at this pace", page)
    if status.phase == "Watching" and status.keep_warm_until:
        left = spell(unix(status.keep_warm_until) - page.now)
        yield from _field("Warm until", f"{status.keep_warm_until}, for {left}", page)


# ── revisions and pods ──────────────────────────────────────────────────────────────────────────────


def _revisions(status: Status, pods: Sequence[Object], page: Page) -> Iterator[Line]:
    named = (("stable", status.stable), ("canary", status.canary), ("previous", status.previous))
    shown = [(role, revision) for role, revision in named if revision is not None]
    others = [RevisionStatus(revision=each) for each in status.draining]
    every = [*shown, *(("draining", each) for each in others)]
    if not every:
        return
    yield ()
    yield (Span("Revisions", "bold"),)
    for place, (role, revision) in enumerate(every):
        last = place == len(every) - 1
        yield from _revision(role, revision, pods, page, last)


def _revision(
    role: str, revision: RevisionStatus, pods: Sequence[Object], page: Page, last: bool
) -> Iterator[Line]:
    marks = page.marks
    under = "   " if last else marks.trunk
    count = f" {revision.ready}/{revision.replicas} ready" if role != "draining" else ""
    yield (
        Span(marks.last if last else marks.branch, "dim"),
        Span(f"{role} ", "bold"),
        Span(revision.revision, "cyan"),
        Span(count, "green" if revision.ready >= revision.replicas else "yellow"),
    )
    if revision.model:
        yield from wrapped((Span(under, "dim"),), under + "  ", revision.model, page.width)
    if revision.changed and role == "canary":
        yield from wrapped((Span(under, "dim"),), under + "  ", f"changed: {revision.changed}", page.width)
    own = [pod for pod in pods if labels_of(pod).get(REVISION_LABEL) == revision.revision]
    own.sort(key=lambda pod: (is_ready(pod), name_of(pod)))
    for pod in own[:MOST_PODS]:
        yield from _pod(pod, under, page)
    if len(own) > MOST_PODS:
        ready = sum(is_ready(pod) for pod in own[MOST_PODS:])
        yield (Span(under, "dim"), Span(f"and {len(own) - MOST_PODS} more pods, {ready} of them ready"))


def _pod(pod: Object, under: str, page: Page) -> list[Line]:
    marks, meta = page.marks, pod["metadata"]
    age = spell(page.now - unix(meta["creationTimestamp"])) if meta.get("creationTimestamp") else ""
    if meta.get("deletionTimestamp"):
        mark, words, style = marks.waits, f"ends, {age} old", "dim"
    elif is_ready(pod):
        mark, words, style = marks.done, f"ready, {age} old", "green"
    else:
        found = trouble({}, [pod])
        early = found is None or found.early
        mark, style = (marks.waits, "yellow") if early else (marks.bad, "red")
        words = "loads" if found is None else f"{found.reason}: {found.message}"
    first = (Span(under, "dim"), Span(f"{mark} ", style), Span(f"{name_of(pod)} "))
    return wrapped(first, under + "    ", words, page.width, style)


# ── steps and evidence ──────────────────────────────────────────────────────────────────────────────


def _steps(status: Status, page: Page) -> Iterator[Line]:
    if status.step is None or not status.plan:
        return
    yield ()
    yield (Span("Steps", "bold"),)
    marks = page.marks
    for index, step in enumerate(status.plan):
        stage = stage_of(step)
        stay = "until a person passes it" if stage.stay is None else f"for {spell(stage.stay)}"
        words = f"{index + 1}. {stage.title} {stay if stage.stay != 0 else ''}".rstrip()
        if index < status.step.index:
            yield (Span(f"{marks.done} {words}", "green"),)
        elif index > status.step.index:
            yield (Span(f"{marks.waits} {words}", "dim"),)
        else:
            begun = status.step.started_at
            now = f", {spell(page.now - unix(begun))} so far" if begun else ", not begun"
            yield (Span(f"{marks.now} {words}{now}", "cyan bold"),)
            yield from _contest(status.step.contest, page)


def _contest(contest: ContestStatus | None, page: Page) -> Iterator[Line]:
    """What an experiment or a bandit takes, and how it ended."""
    if contest is None:
        return
    weight = f", {contest.weight} % now" if contest.weight is not None else ""
    said = f"{contest.result}: {contest.message}" if contest.result else f"{contest.planned}{weight}"
    yield from wrapped((Span("     "),), " " * 5, printable(said), page.width)


def _evidence(analysis: AnalysisStatus | None, page: Page) -> Iterator[Line]:
    if analysis is None or not analysis.metrics:
        return
    yield ()
    looks = f"{analysis.looks} look{'' if analysis.looks == 1 else 's'}"
    yield (Span("Evidence", "bold"), Span(f" after {looks}", "dim"))
    for metric in analysis.metrics:
        yield from _metric(metric, page)


def _metric(metric: MetricStatus, page: Page) -> Iterator[Line]:
    style = {"Proven": "green", "Worse": "red"}.get(metric.verdict, "yellow")
    yield (Span(f"{printable(metric.name)} "), Span(metric.verdict, style))
    cells = 20 if page.width >= 72 else 8
    line: list[Span] = [Span("  ")]
    for name, text, colour in (("pass", metric.to_pass, "green"), ("revert", metric.to_revert, "red")):
        if text is not None:
            share = _share(text)
            line += [Span(f"{name} "), Span(bar(share, cells, page.marks), colour), Span(f" {text:<6}")]
    if len(line) > 1:
        yield tuple(line)
    yield from wrapped((Span("  "),), "  ", metric.message, page.width, "dim")


def _share(percent: str) -> float:
    try:
        return float(percent.rstrip("%")) / 100
    except ValueError:
        return 0.0
