"""Scorers of one's own: a service asked over HTTP, or a Python function named by the policy."""

from __future__ import annotations

import importlib
import inspect
import math
from typing import Any

import httpx

from modelrollout.api.mistakes import Mistaken
from modelrollout.evaluate.answers import Answer
from modelrollout.evaluate.cases import Case
from modelrollout.evaluate.scorer_specs import Http, Python
from modelrollout.sources.quality.endpoint import headers


class ScorerFailed(Exception):
    """The scorer gave no score, though it should have; the message says what it did."""


class HttpScorer:
    """Posts {"case": …, "answer": …} and reads {"score": 0 to 1 or null}."""

    def __init__(self, spec: Http) -> None:
        self._spec = spec
        self._http = httpx.AsyncClient(timeout=spec.timeout, headers=headers(spec.api_key_env))

    async def close(self) -> None:
        await self._http.aclose()

    async def score(self, case: Case, answer: Answer) -> float | None:
        body = {
            "case": case.model_dump(mode="json", by_alias=True, exclude_defaults=True),
            "answer": answer.dump(),
        }
        try:
            response = await self._http.post(self._spec.url, json=body)
            response.raise_for_status()
            given = response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise ScorerFailed(f"{self._spec.url}: {error}") from error
        if not isinstance(given, dict) or "score" not in given:
            raise ScorerFailed(f'{self._spec.url} answered without a "score".')
        return checked(given["score"], self._spec.url)


class PythonScorer:
    def __init__(self, spec: Python) -> None:
        self._name = spec.entry_point
        module, _, name = spec.entry_point.partition(":")
        try:
            found: Any = importlib.import_module(module)
            for part in name.split("."):
                found = getattr(found, part)
        except (ImportError, AttributeError) as error:
            raise Mistaken(
                [f'The scorer "{spec.name}" names {spec.entry_point}, which cannot be loaded: {error}.']
            ) from error
        self._function = found

    async def close(self) -> None:
        return

    async def score(self, case: Case, answer: Answer) -> float | None:
        try:
            value = self._function(case, answer)
            if inspect.isawaitable(value):
                value = await value
        except Exception as error:
            raise ScorerFailed(f"{self._name} raised {type(error).__name__}: {error}") from error
        return checked(value, self._name)


def checked(value: Any, name: str) -> float | None:
    """A score between 0 and 1, or None. Raises ScorerFailed for anything else."""
    if value is None:
        return None
    if isinstance(value, bool):
        return float(value)
    if not isinstance(value, int | float) or not math.isfinite(value) or not 0 <= value <= 1:
        raise ScorerFailed(f"{name} gave {value!r}; a score lies between 0 and 1, or is null.")
    return float(value)
