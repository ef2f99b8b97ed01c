"""Lines of styled text that fit a width, with marks that every terminal can show."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from modelrollout.api.printable import printable

NARROWEST = 32
"""Columns. On a narrower terminal lines are broken by the terminal itself."""


class Span(NamedTuple):
    text: str
    style: str = ""
    """As rich names it: bold, dim, red, green, yellow, cyan. Empty: plain."""


Line = tuple[Span, ...]


@dataclass(frozen=True)
class Marks:
    """The symbols that a page uses in addition to words."""

    branch: str
    last: str
    trunk: str
    done: str
    now: str
    waits: str
    bad: str
    full: str
    empty: str


UNICODE = Marks("├─ ", "└─ ", "│  ", "✔", "▶", "·", "✖", "█", "░")
ASCII = Marks("|- ", "`- ", "|  ", "+", ">", ".", "x", "#", "-")


def marks_for(encoding: str | None) -> Marks:
    """The marks that this encoding can write."""
    try:
        "".join(vars(UNICODE).values()).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


def plain(lines: Iterable[Line]) -> str:
    """The text without its styles."""
    return "\n".join("".join(span.text for span in line).rstrip() for line in lines)


def wrapped(first: Line, rest: str, text: str, width: int, style: str = "") -> list[Line]:
    """`text` behind `first`, and its further lines behind `rest`; words longer than a line are broken."""
    lead = sum(len(span.text) for span in first)
    room = max(width, NARROWEST)
    parts = textwrap.wrap(
        printable(text),
        room,
        initial_indent=" " * min(lead, room - 8),
        subsequent_indent=rest,
        break_on_hyphens=False,
    )
    if not parts:
        return [first]
    head = (*first, Span(parts[0].lstrip(), style))
    return [head, *((Span(rest), Span(part.removeprefix(rest), style)) for part in parts[1:])]


def bar(share: float, cells: int, marks: Marks) -> str:
    """A bar of so many cells. A bar looks full only when it is full, however near the end it is."""
    filled = cells if share >= 1 else min(int(max(share, 0.0) * cells), cells - 1)
    return marks.full * filled + marks.empty * (cells - filled)


def spell(seconds: float) -> str:
    """A length of time as kubectl writes it: `45s`, `12m`, `3h20m`, `4d`."""
    whole = max(int(seconds), 0)
    if whole < 120:
        return f"{whole}s"
    if whole < 7200:
        return f"{whole // 60}m"
    if whole < 172800:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d"
