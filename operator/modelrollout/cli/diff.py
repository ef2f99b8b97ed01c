"""`modelrollout diff`: what the revision on trial changes, or what the last promoted one changed."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from modelrollout.api.objects import Body, Object, name_of
from modelrollout.api.stored import status_in_part
from modelrollout.cli.one_rollout import answer, parser_of
from modelrollout.cli.screen.lines import Line, Span
from modelrollout.cli.screen.output import show, write


@dataclass(frozen=True)
class Change:
    """Two revisions, and what is different in the later one."""

    before: str
    before_model: str
    after: str
    after_model: str
    changes: tuple[str, ...]
    """As status says them: `args: + --max-num-seqs=1`. Empty: the operator does not know."""
    on_trial: bool


def parser() -> argparse.ArgumentParser:
    return parser_of(
        "diff",
        "Show what the revision on trial changes of the one that serves; when none is on trial, what the "
        "serving one changed of the one that is still warm. Exit code 0: shown, 1: there are no two "
        "revisions to compare, 2: it could not be asked for.",
    )


def main(argv: Sequence[str]) -> int:
    return answer(parser(), argv, _tell)


def _tell(body: Body, output: str | None) -> int:
    found = change_of(body)
    if output:
        write(asdict(found) | {"changes": list(found.changes)} if found else None, output)
    elif found is None:
        name = name_of(body)
        print(f"No revision of {name} is on trial, and none before the serving one is still warm.")
    else:
        show(lines(found))
    return 0 if found else 1


def change_of(body: Object) -> Change | None:
    status = status_in_part(body.get("status") or {})
    before, after = (
        (status.stable, status.canary) if status.canary is not None else (status.previous, status.stable)
    )
    if before is None or after is None:
        return None
    changes = tuple(part for part in after.changed.split("; ") if part)
    return Change(
        before.revision, before.model, after.revision, after.model, changes, status.canary is not None
    )


def lines(change: Change) -> list[Line]:
    role = "on trial" if change.on_trial else "serves; the one before is still warm"
    unknown = () if change.changes else ((Span("The operator does not know what is different.", "yellow"),),)
    return [
        (Span("- ", "red"), Span(change.before, "cyan"), Span(f"  {change.before_model}", "red")),
        (Span("+ ", "green"), Span(change.after, "cyan"), Span(f"  {change.after_model} ({role})", "green")),
        *((Span(f"  {each}"),) for each in change.changes),
        *unknown,
    ]
