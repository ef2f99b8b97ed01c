"""`modelrollout drift`: two JSONL files of numbers, or of results, compared field by field."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from modelrollout.api.mistakes import Mistaken, meant
from modelrollout.cli.records import records
from modelrollout.evaluate.drift import Drift, drift

_LEAST = 10


def main(argv: Sequence[str]) -> int:
    """0: no drift, 1: drift, 2: too few values, 3: a file cannot be used."""
    parser = argparse.ArgumentParser(
        prog="modelrollout drift",
        description="Compare the distributions of the numbers in two JSONL files. Exit code 0: no drift, 1: "
        "drift, 2: too few values to say, 3: a file cannot be used.",
    )
    parser.add_argument("baseline", metavar="BASELINE")
    parser.add_argument("current", metavar="CURRENT")
    parser.add_argument("--field", metavar="NAME", action="append", help="only this one; may be repeated")
    parser.add_argument("--json", action="store_true", help="print one JSON object per field")
    options = parser.parse_args(argv)
    try:
        before, after = _numbers(Path(options.baseline)), _numbers(Path(options.current))
        found = _compared(before, after, options.field)
    except Mistaken as error:
        for sentence in error.sentences:
            print(f"modelrollout drift: {sentence}", file=sys.stderr)
        return 3
    for one in found:
        print(json.dumps(asdict(one) | {"drifted": one.drifted}) if options.json else one.text)
    if not found:
        print(f"No field has {_LEAST} numbers in both files.", file=sys.stderr)
        return 2
    return int(any(one.drifted for one in found))


def _compared(
    before: dict[str, list[float]], after: dict[str, list[float]], fields: Sequence[str] | None
) -> list[Drift]:
    both = set(before) & set(after)
    for name in fields or ():
        if name not in both:
            raise Mistaken([f'No number is called "{name}" in both files{meant(name, both) or "."}'])
    enough = [name for name in fields or sorted(both) if min(len(before[name]), len(after[name])) >= _LEAST]
    return [drift(name, before[name], after[name]) for name in enough]


def _numbers(path: Path) -> dict[str, list[float]]:
    """All numbers by their place in the records, such as candidate.seconds; of each text its length."""
    found: dict[str, list[float]] = {}
    for _, record in records(path):
        record.pop("n", None)  # the position in a run says nothing of the case
        _gather(record, "", found)
    return found


def _gather(value: Any, name: str, found: dict[str, list[float]]) -> None:
    if isinstance(value, dict):
        for key, part in value.items():
            _gather(part, f"{name}.{key}" if name else str(key), found)
    elif isinstance(value, list):
        for part in value:
            _gather(part, name, found)
    elif isinstance(value, str):
        found.setdefault(f"{name}.length", []).append(float(len(value)))
    elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        found.setdefault(name, []).append(float(value))
