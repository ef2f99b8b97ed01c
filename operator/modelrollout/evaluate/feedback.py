"""From what users and runs marked as bad to new golden cases: each once, without personal data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from modelrollout.api.mistakes import Mistaken
from modelrollout.evaluate.cases import Case, build
from modelrollout.evaluate.directions import Direction, assumed, read
from modelrollout.evaluate.measures import MEASURES
from modelrollout.evaluate.personal_data import redacted

Placed = tuple[str, Mapping[str, Any]]
"""A record, and where it stands."""
_BAD_WORDS = {"down", "bad", "thumbs_down", "thumbs-down", "negative", "dislike"}


def bad(records: Iterable[Placed], below: float) -> Iterator[Placed]:
    """The bad records of one file. The head of a run's results says which way its scores point."""
    directions: Mapping[str, Direction] | None = None
    for place, record in records:
        kind = record.get("kind")
        if kind == "header":
            directions = read(record)
        elif kind != "end" and is_bad(record, below, directions):
            yield place, record


def is_bad(
    record: Mapping[str, Any], below: float, directions: Mapping[str, Direction] | None = None
) -> bool:
    """Whether a record is badly rated (`rating`: a number, or up and down), or whether one of a run's scores
    of the candidate is worse than `below`, where 0 is the worst mark and 1 the best."""
    rating = record.get("rating")
    if isinstance(rating, str):
        return rating.strip().lower() in _BAD_WORDS
    if isinstance(rating, bool):
        return not rating
    if isinstance(rating, int | float):
        return rating < below
    for name, pair in (record.get("scores") or {}).items():
        direction = directions.get(name) if directions is not None else assumed(name)
        if name in MEASURES or direction is None or not isinstance(pair, list) or not pair:
            continue
        if isinstance(pair[0], int | float) and direction.goodness(pair[0]) < below:
            return True
    return False


def exported(records: Iterable[Placed], known: Iterable[str], region: str = "US") -> Iterator[dict[str, Any]]:
    """New cases from bad records, redacted and deduplicated against `known` fingerprints.

    A record has `messages` or `prompt`, as a gateway logs them, or `case` and `question`, as a run stores
    them. The bad answer goes to the metadata; a person writes what would have been right. Raises Mistaken for
    a record that asks nothing.
    """
    seen = set(known)
    for place, record in records:
        case = _case(record, place, region)
        if case.fingerprint in seen:
            continue
        seen.add(case.fingerprint)
        yield case.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _case(record: Mapping[str, Any], place: str, region: str) -> Case:
    made: dict[str, Any] = {}
    if isinstance(record.get("messages"), list):
        made["messages"] = _clean(record["messages"], region)
    else:
        asked = record.get("prompt", record.get("question"))
        if not isinstance(asked, str):
            raise Mistaken([f"{place}: The record has neither `messages` nor `prompt`."])
        made["prompt"] = redacted(asked, region)
    if isinstance(record.get("expected"), str):
        made["expected"] = redacted(record["expected"], region)
    answer = record.get("answer") or _answer(record)
    tags = [str(tag) for tag in record.get("tags") or ()]
    made["tags"] = sorted({*tags, "feedback"})
    made["metadata"] = {"answer": redacted(str(answer), region)} if answer else {}
    if (comment := record.get("comment")) is not None:
        made["metadata"]["comment"] = redacted(str(comment), region)
    case = build({**made, "id": "new"}, place)
    return case.model_copy(update={"id": f"feedback-{case.fingerprint}"})


def _answer(record: Mapping[str, Any]) -> str | None:
    answers = record.get("candidate")
    return answers[0].get("text") if isinstance(answers, list) and answers else None


def _clean(value: Any, region: str) -> Any:
    """The same value with every text in it redacted."""
    if isinstance(value, str):
        return redacted(value, region)
    if isinstance(value, list):
        return [_clean(part, region) for part in value]
    if isinstance(value, dict):
        return {key: part if key == "role" else _clean(part, region) for key, part in value.items()}
    return value
