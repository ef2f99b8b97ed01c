"""Stored runs: their answers as a baseline, their comparisons as matches for ratings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modelrollout.evaluate.answers import Answer
from modelrollout.evaluate.elo import Match
from modelrollout.sources.quality import results


def answers_of(file: Path) -> dict[str, Sequence[Answer]]:
    """From each case to the candidate's answers of a stored run. Raises Mistaken."""
    return {
        str(record["case"]): [Answer.load(answer) for answer in record["candidate"]]
        for record in results.read(file)
        if record.get("candidate")
    }


def matches_of(files: Sequence[Path]) -> list[Match]:
    """The pairwise comparisons of stored runs, under the names that the runs gave their versions."""
    matches: list[Match] = []
    for file in files:
        records = results.read(file)
        names = next(records).get("names") or {}
        one, other = str(names.get("candidate", file.stem)), str(names.get("baseline", "baseline"))
        for record in records:
            matches += [(one, other, float(share)) for share in (record.get("wins") or {}).values()]
    return matches
