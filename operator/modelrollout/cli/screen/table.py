"""Many rollouts, or many endings of one, a line each."""

from __future__ import annotations

from collections.abc import Sequence

from modelrollout.api.objects import Object, name_of
from modelrollout.api.printable import printable
from modelrollout.api.stored import status_in_part
from modelrollout.api.times import unix
from modelrollout.cli.screen.lines import Line, Span, spell
from modelrollout.cli.screen.tree import VERDICTS, Page, phase_style

Row = Sequence[Span]


def fleet(bodies: Sequence[Object], page: Page, *, namespaces: bool) -> list[Line]:
    """The columns of `kubectl get mr`, with rollouts that wait for a person in yellow."""
    heads = ["NAME", "PHASE", "STEP", "WEIGHT", "VERDICT", "READY", "REVISION", "CANARY", "AGE"]
    rows = [_row(body, page) for body in bodies]
    if namespaces:
        heads = ["NAMESPACE", *heads]
        rows = [
            [Span(str(body["metadata"].get("namespace", ""))), *row]
            for body, row in zip(bodies, rows, strict=True)
        ]
    return columns([[Span(head, "bold") for head in heads], *rows])


def _row(body: Object, page: Page) -> Row:
    status = status_in_part(body.get("status") or {})
    created = body["metadata"].get("creationTimestamp")
    return [
        Span(name_of(body)),
        Span(status.phase or "", phase_style(status.phase)),
        Span(status.step.progress if status.step is not None else ""),
        Span(str(status.weight.canary) if status.weight.canary is not None else ""),
        Span(status.verdict or "", VERDICTS.get(status.verdict or "", "")),
        Span(status.ready),
        Span(status.stable.revision if status.stable is not None else "", "cyan"),
        Span(status.canary.revision if status.canary is not None else "", "cyan"),
        Span(spell(page.now - unix(created)) if created else ""),
    ]


def endings(body: Object) -> list[Line]:
    """How the last rollouts ended, the newest first."""
    status = status_in_part(body.get("status") or {})
    heads = ["ENDED", "REVISION", "OUTCOME", "REASON", "TOOK", "MESSAGE"]
    rows: list[Row] = [[Span(head, "bold") for head in heads]]
    for each in reversed(status.history):
        took = spell(unix(each.at) - unix(each.started_at)) if each.started_at else ""
        style = "green" if each.outcome == "Promoted" else "yellow"
        rows.append(
            [
                Span(each.at),
                Span(each.revision, "cyan"),
                Span(each.outcome, style),
                Span(each.reason),
                Span(took),
                Span(each.message),
            ]
        )
    return columns(rows)


def columns(rows: Sequence[Row]) -> list[Line]:
    """The rows as lines, every column as wide as its longest text."""
    if not rows:
        return []
    clean = [[Span(printable(span.text), span.style) for span in row] for row in rows]
    widths = [max(len(row[i].text) for row in clean) for i in range(len(clean[0]))]
    return [
        tuple(Span(f"{span.text:<{width}}   ", span.style) for span, width in zip(row, widths, strict=True))
        for row in clean
    ]
