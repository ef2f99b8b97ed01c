"""The records of a JSONL file: feedback, results of a run, or plain numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modelrollout.api.mistakes import Mistaken, readable


def records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, record) pairs, without the header and the end of a run's results. Raises Mistaken."""
    return ((place, each) for place, each in whole(path) if each.get("kind") not in ("header", "end"))


def whole(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The same with them."""
    with readable(path), path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                place = f"{path.name}, line {number}"
                yield place, parsed(line, place)


def parsed(line: str, place: str) -> dict[str, Any]:
    """One line. Raises Mistaken."""
    try:
        given = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Mistaken([f"{place}: It is no JSON: {error}."]) from error
    if not isinstance(given, dict):
        raise Mistaken([f"{place}: A record is a JSON object."])
    return given
