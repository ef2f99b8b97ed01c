"""A golden case, and how one is read from a line: our own JSON, OpenAI's evals, or the columns of a CSV."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from modelrollout.api.mistakes import Mistaken, sentences
from modelrollout.evaluate.wire import Written

MOST_CASES = 50_000
LONGEST_LINE = 4_000_000
"""Characters; a longer line is no case but a file without line ends."""

Format = Literal["cases", "openai-evals", "csv", "requests"]


class Message(Written):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Any = None
    """A text, or the list of parts that the server takes."""
    name: str | None = None
    tool_calls: tuple[dict[str, Any], ...] = Field(default=(), alias="tool_calls")
    tool_call_id: str | None = Field(default=None, alias="tool_call_id")

    def wire(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True) | {"role": self.role}


class Context(Written):
    id: str
    text: str = ""
    relevant: bool = True


class Judged(Written):
    """An answer that a person has marked: what the judge is calibrated on."""

    answer: str
    score: float


class Case(Written):
    id: str = Field(min_length=1, max_length=200)
    messages: tuple[Message, ...] = ()
    prompt: str | None = None
    expected: tuple[str, ...] = ()
    """Right answers, any of them."""
    contexts: tuple[Context, ...] = ()
    tags: tuple[str, ...] = Field(default=(), max_length=20)
    weight: float = Field(default=1.0, gt=0, le=1e6)
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    keywords: tuple[str, ...] = ()
    canaries: tuple[str, ...] = ()
    """Texts that an answer must not hold: it does when an injected instruction was followed."""
    tools: tuple[dict[str, Any], ...] = ()
    calls: tuple[dict[str, Any], ...] | None = None
    """The tool calls that are expected, each {name, arguments}; an empty list expects none."""
    tests: str | None = None
    """Python that is run behind the answer's code and fails when the code is wrong."""
    judged: tuple[Judged, ...] = ()
    metadata: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _plain_forms(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        made = dict(given)
        expected = made.get("expected")
        if expected is not None and not isinstance(expected, list | tuple):
            made["expected"] = [expected]
        if isinstance(made.get("expected"), list | tuple):
            made["expected"] = [_text(one) for one in made["expected"]]
        if isinstance(made.get("contexts"), list):
            made["contexts"] = [
                {"id": str(number), "text": one} if isinstance(one, str) else one
                for number, one in enumerate(made["contexts"], 1)
            ]
        for name in ("tags", "keywords", "canaries"):
            if isinstance(made.get(name), str):
                made[name] = [made[name]]
        if isinstance(made.get("id"), int):
            made["id"] = str(made["id"])
        return made

    @model_validator(mode="after")
    def _asks_something(self) -> Case:
        if bool(self.messages) == (self.prompt is not None):
            raise ValueError("a case has either `messages` or `prompt`")
        return self

    def conversation(self, system: str | None = None) -> list[dict[str, Any]]:
        """The messages of a chat request; `system` goes before a case that brings no system message."""
        said = [m.wire() for m in self.messages] or [{"role": "user", "content": self.prompt}]
        if system and said[0]["role"] not in ("system", "developer"):
            return [{"role": "system", "content": system}, *said]
        return said

    @property
    def question(self) -> str:
        """What is asked, as one text: for completions, for judges and for reports."""
        if self.prompt is not None:
            return self.prompt
        return "\n".join(f"{m.role}: {_text(m.content)}" for m in self.messages if m.content is not None)

    @property
    def fingerprint(self) -> str:
        """The same for two cases that ask the same, whatever their ids."""
        plain = " ".join(self.question.lower().split())
        return hashlib.sha256(plain.encode()).hexdigest()[:16]


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


_FIELDS = {field.alias or name for name, field in Case.model_fields.items()}


def from_json(line: str, place: str, form: Format = "cases") -> Case:
    """The case in a line of JSON. Raises Mistaken; `place` is the file and line for its sentences."""
    if len(line) > LONGEST_LINE:
        raise Mistaken([f"{place}: The line has {len(line):,} characters; one line holds one case."])
    try:
        given = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise Mistaken([f"{place}: It is no JSON: {error}."]) from error
    if not isinstance(given, dict):
        raise Mistaken([f"{place}: A case is a JSON object, this line is {_kind(given)}."])
    match form:
        case "openai-evals":
            return build(from_openai_evals(given, place), place)
        case "requests":
            return build(from_request(given, place), place)
        case _:
            return build(given, place)


def build(given: Mapping[str, Any], place: str) -> Case:
    """A case from its fields; without an id it is named after its place, such as "line-17"."""
    named = given if "id" in given else {"id": place.rpartition(", ")[2].replace(" ", "-"), **given}
    try:
        return Case.model_validate(named)
    except ValidationError as error:
        hint = " Fields of your own go below `metadata`."
        found = sentences(error, _FIELDS)
        raise Mistaken(
            [f"{place}: {text}{hint if 'There is no field' in text else ''}" for text in found]
        ) from error


def from_openai_evals(given: Mapping[str, Any], place: str) -> dict[str, Any]:
    """OpenAI's evals: `input` is a text or messages, `ideal` one answer or several."""
    if "input" not in given:
        raise Mistaken([f"{place}: A case of OpenAI's evals has `input`, this one has {_listed(given)}."])
    asked = given["input"]
    made: dict[str, Any] = {"prompt": asked} if isinstance(asked, str) else {"messages": asked}
    if "ideal" in given:
        made["expected"] = given["ideal"]
    if "id" in given:
        made["id"] = given["id"]
    made["metadata"] = {name: value for name, value in given.items() if name not in ("id", "input", "ideal")}
    return made


def from_request(given: Mapping[str, Any], place: str) -> dict[str, Any]:
    """A captured request to an OpenAI-compatible server, bare or below `request` or `body`. Its user and
    its sampling are left out."""
    body = next((given[name] for name in ("request", "body") if isinstance(given.get(name), dict)), given)
    made = {name: body[name] for name in ("messages", "prompt", "tools") if body.get(name)}
    if not made.keys() & {"messages", "prompt"}:
        raise Mistaken(
            [f"{place}: A captured request has `messages` or `prompt`, this one has {_listed(body)}."]
        )
    return made


def from_row(row: Mapping[str, str], columns: Mapping[str, str], place: str) -> Case:
    """A case from a CSV's row. Lists (tags, expected, keywords, contexts) are parted by "|"; `system` becomes
    a system message. `columns` goes from a case's field to the header that stands for it."""
    renamed = {header: field for field, header in columns.items()}
    made: dict[str, Any] = {}
    system = None
    for header, text in row.items():
        field = renamed.get(header, header)
        if header is None or text is None:
            raise Mistaken(
                [f"{place}: The row has {'more' if header is None else 'fewer'} cells than the header."]
            )
        if field == "system":
            system = text or None
        elif text and field in ("tags", "expected", "keywords", "canaries", "contexts"):
            made[field] = [part.strip() for part in text.split("|") if part.strip()]
        elif text and field == "weight":
            made[field] = _weight(text, place)
        elif text and field in _FIELDS:
            made[field] = text
        elif text:
            made.setdefault("metadata", {})[field] = text
    if system is not None and "prompt" in made:
        user = {"role": "user", "content": made.pop("prompt")}
        made["messages"] = [{"role": "system", "content": system}, user]
    return build(made, place)


def csv_rows(lines: Iterator[str]) -> csv.DictReader[str]:
    return csv.DictReader(lines)


def guessed(name: str, first_line: str) -> Format:
    """The format of a file by its name and its first line."""
    if name.lower().endswith(".csv"):
        return "csv"
    try:
        given = json.loads(first_line)
    except ValueError:
        return "cases"
    return (
        "openai-evals" if isinstance(given, dict) and "input" in given and "prompt" not in given else "cases"
    )


def _weight(text: str, place: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise Mistaken([f"{place}: weight: {text!r} is not a number."]) from None


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a text", int: "a number", float: "a number", bool: "a truth value"}
    return names.get(type(value), "null")


def _listed(names: Mapping[str, Any] | Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "no fields"
