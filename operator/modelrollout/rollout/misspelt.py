"""Finds annotations that look like a command without being one: a typo in an abort must not pass in
silence."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from modelrollout.api.names import LAST_ORDER, PREFIX
from modelrollout.api.printable import printable
from modelrollout.api.reasons.order import COMMAND_UNKNOWN
from modelrollout.rollout.commands import NAMES
from modelrollout.rollout.notes import Note, note
from modelrollout.rollout.view import Change, View

OURS = frozenset({LAST_ORDER, *(PREFIX + name for name in NAMES)})
LIFTS = {"unkill": "kill", "unpause": "pause", "resume": "pause"}
"""What people write for the end of a state. It ends when its annotation is taken off."""
MOST = 8
LONGEST = 128


def see_unknown(view: View) -> Change | None:
    """Says once of each such annotation what was perhaps meant."""
    unknown = _unknown(view.observed.annotations)
    known = view.status.unknown_annotations
    if unknown == known:
        return None
    notes = [_told(name) for name in unknown if name not in known]
    return view.change(*notes, unknown_annotations=unknown)


def _unknown(annotations: Mapping[str, str]) -> list[str]:
    names = (name for name in annotations if name not in OURS)
    return sorted(printable(name)[:LONGEST] for name in names if name.startswith(PREFIX) or meant(name))[
        :MOST
    ]


def meant(annotation: str) -> str | None:
    """The command that an annotation resembles: one under our prefix, or a command's name under a prefix that
    is missing or nearly ours."""
    prefix, slash, name = annotation.rpartition("/")
    near = difflib.get_close_matches(name.lower(), NAMES, n=1, cutoff=0.6)
    if prefix + slash == PREFIX:
        return near[0] if near else None
    ours = not slash or difflib.get_close_matches(prefix.lower(), [PREFIX.rstrip("/")], cutoff=0.8)
    return name.lower() if ours and name.lower() in NAMES else None


def _told(annotation: str) -> Note:
    lifts = LIFTS.get(annotation.rpartition("/")[2].lower())
    if lifts is not None:
        guess = f"take the annotation {PREFIX}{lifts} off instead ({PREFIX}{lifts}-)"
        return note(COMMAND_UNKNOWN, annotation=annotation, guess=guess)
    near = meant(annotation)
    guess = f"{PREFIX}{near} was perhaps meant" if near else f"the commands are {', '.join(NAMES)}"
    return note(COMMAND_UNKNOWN, annotation=annotation, guess=guess)
