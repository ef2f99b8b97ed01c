"""The packs as Markdown; `python -m tests.packs_page FILE` writes them into FILE."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from modelrollout.analysis.counters.recipe import Known, Part, Recipe
from modelrollout.analysis.counters.recipe import Sum as Terms
from modelrollout.analysis.inputs.metric import Direction, Kind, Metric
from modelrollout.analysis.packs.pack import Entry, Pack, packs

BEGIN, END = "<!-- packs -->", "<!-- /packs -->"
_HARM = {
    Direction.INCREASE_IS_BAD: "",
    Direction.DECREASE_IS_BAD: "less is worse",
    Direction.CHANGE_IS_BAD: "any change is worse",
}


def page(text: str) -> str:
    """The page with its packs written anew. ValueError without the two markers."""
    before, found, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not (found and ended):
        raise ValueError(f"The page needs the lines {BEGIN} and {END}, between which the packs are written.")
    return "".join([before, BEGIN, "\n", *(f"\n{line}" for line in tables()), "\n\n", END, after])


def tables() -> Iterator[str]:
    for pack in packs().values():
        yield from _table(pack)


def _table(pack: Pack) -> Iterator[str]:
    yield from (f"### {pack.name}", "", f"{pack.about.strip()} Counted by the {pack.vantage}.", "")
    if pack.cannot:
        yield from (f"There is nothing to use in it: {pack.cannot[0].lower()}{pack.cannot[1:].strip()}", "")
        return
    yield "| metric | judged | tolerated unless you say otherwise | unit | counted from |"
    yield "|---|---|---|---|---|"
    for name, entry in pack.entries.items():
        metric = entry.metric
        cells = (
            f"`{pack.name}/{name}`",
            _judged(entry),
            _tolerated(metric),
            metric.unit,
            _from(entry.recipe),
        )
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""
    for name, entry in pack.entries.items():
        if entry.notes:
            yield f"- `{name}`: {entry.notes.strip()}"
    yield ""


def _judged(entry: Entry) -> str:
    metric = entry.metric
    remarks = [remark for remark in (_HARM[metric.direction],) if remark]
    if not metric.is_critical:
        remarks.append("may object" if metric.reverts else "may hold")
    return f"{metric.sentence} ({', '.join(remarks)})" if remarks else metric.sentence


def _tolerated(metric: Metric) -> str:
    rho, delta = metric.tolerance.ratio, metric.tolerance.absolute
    share = metric.kind is Kind.RATIO
    parts = []
    if rho != 1:
        parts.append(f"{rho - 1:.0%} more" if metric.kind is Kind.COUNTING else f"{rho - 1:.0%}")
    if delta:
        parts.append(f"{100 * delta:g} points" if share or metric.kind is Kind.HISTOGRAM else f"{delta:g}")
    return " + ".join(parts)


def _from(recipe: Recipe) -> str:
    parts = [f"{name}: {_part(part)}" for name, part in recipe.parts.items()]
    return "; ".join([*parts, f"running: {_part(recipe.running)}"] if recipe.running else parts)


def _part(part: Part) -> str:
    return part.value if isinstance(part, Known) else " or ".join(f"`{_terms(terms)}`" for terms in part)


def _terms(terms: Terms) -> str:
    written = []
    for term in terms:
        matchers = ",".join(map(str, term.selector.matchers))
        selector = f"{term.selector.family}{{{matchers}}}" if matchers else term.selector.family
        written.append(f"{'-' if term.sign < 0 else '+'} {selector}")
    return " ".join(written).removeprefix("+ ")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        file = Path(name)
        file.write_text(page(file.read_text("utf-8")), "utf-8")
