"""Scorers of structured answers: JSON, JSON by a schema, tool calls."""

from __future__ import annotations

import json
import re
from typing import Any

from modelrollout.api.mistakes import Mistaken
from modelrollout.evaluate import scorer_specs as specs
from modelrollout.evaluate.answers import Answer
from modelrollout.evaluate.cases import Case
from modelrollout.evaluate.scorers.scoring import Scorer, library

_FENCED = re.compile(r"^\s*```[a-zA-Z]*\s*\n(.*?)\n?\s*```\s*$", re.DOTALL)


def valid_json(_spec: specs.Json) -> Scorer:
    def score(_case: Case, answer: Answer) -> float | None:
        return float(_parsed(answer.text) is not _BROKEN)

    return score


def json_schema(spec: specs.JsonSchema) -> Scorer:
    """Refuse a reference that leads out of the schema: a schema is data, and nothing is fetched for it."""
    jsonschema = library("jsonschema", "json-schema", "scorers")
    if spec.schema_ is not None:
        _check(jsonschema, spec.schema_, f'The schema of the scorer "{spec.name}"')

    def score(case: Case, answer: Answer) -> float | None:
        schema = spec.schema_ if spec.schema_ is not None else case.schema_
        if schema is None:
            return None
        if spec.schema_ is None:
            _check(jsonschema, schema, f'The schema of the case "{case.id}"')
        given = _parsed(answer.text)
        if given is _BROKEN:
            return 0.0
        return float(jsonschema.validators.validator_for(schema)(schema).is_valid(given))

    return score


def _check(jsonschema: Any, schema: dict[str, Any], what: str) -> None:
    try:
        jsonschema.validators.validator_for(schema).check_schema(schema)
    except jsonschema.SchemaError as error:
        raise Mistaken([f"{what} is no JSON schema: {error.message}."]) from error
    if outside := _outside(schema):
        raise Mistaken(
            [f"{what} refers to {outside}; only references inside of the schema (#/…) are followed."]
        )


def _outside(schema: Any) -> str | None:
    if isinstance(schema, dict):
        reference = schema.get("$ref")
        if isinstance(reference, str) and not reference.startswith("#"):
            return reference
        return next((found for part in schema.values() if (found := _outside(part))), None)
    if isinstance(schema, list):
        return next((found for part in schema if (found := _outside(part))), None)
    return None


class _Broken:
    """The text is no JSON."""


_BROKEN = _Broken()


def _parsed(text: str) -> Any:
    fenced = _FENCED.match(text)
    try:
        return json.loads(fenced.group(1) if fenced else text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return _BROKEN


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def tool_call(spec: specs.ToolCall) -> Scorer:
    """1 when exactly the expected calls were made; without expected ones, when each call fits its tool."""

    def score(case: Case, answer: Answer) -> float | None:
        if case.calls is None and not case.tools:
            return None
        made = [_call(call) for call in answer.tool_calls]
        if any(call is None for call in made):
            return 0.0
        calls = [call for call in made if call is not None]
        if case.calls is None:
            return float(all(_fits(case, name, given) for name, given in calls)) if calls else None
        wanted = [(str(call.get("name")), call.get("arguments") or {}) for call in case.calls]
        if not spec.arguments:
            return float(sorted(name for name, _ in calls) == sorted(name for name, _ in wanted))
        return float(_sorted(calls) == _sorted(wanted))

    return score


def _call(call: dict[str, Any]) -> tuple[str, Any] | None:
    """(name, arguments), or None where the arguments are no JSON object."""
    given = call.get("arguments") or "{}"
    parsed = _parsed(given) if isinstance(given, str) else given
    return (str(call.get("name")), parsed) if isinstance(parsed, dict) else None


def _fits(case: Case, name: str, given: dict[str, Any]) -> bool:
    """Whether the tool is known and its required arguments are there, and no others."""
    for tool in case.tools:
        function = tool.get("function", tool)
        if function.get("name") == name:
            schema = function.get("parameters") or {}
            known = schema.get("properties")
            return set(schema.get("required") or ()) <= set(given) and (
                known is None or set(given) <= set(known)
            )
    return False


def _sorted(calls: list[tuple[str, Any]]) -> list[str]:
    return sorted(json.dumps(call, sort_keys=True) for call in calls)
