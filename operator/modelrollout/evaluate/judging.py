"""What a judge is asked, and how its reply is read. The prompts are data with a version: `prompts/*.yaml`."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

import yaml

from modelrollout.api.mistakes import Mistaken
from modelrollout.evaluate.cases import Case
from modelrollout.evaluate.scorer_specs import Judge, PairwiseJudge

_LONGEST = 24_000
"""Characters of a question or an answer that a judge sees."""
_LONGEST_REASON = 300
_MOST_BRACES = 64
"""Characters. A longer reply is more than a mark with a word around it."""


@dataclass(frozen=True, slots=True)
class Prompt:
    version: str
    kind: str
    system: str
    user: str
    repair: str


@dataclass(frozen=True, slots=True)
class Mark:
    """What a judge said: a mark on the scale, or the first answer's share of the win (1, 0.5 or 0)."""

    value: float
    reason: str = ""


@lru_cache(maxsize=1)
def prompts() -> dict[str, Prompt]:
    """All prompts by their version."""
    folder = resources.files("modelrollout.evaluate") / "prompts"
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".yaml")), key=lambda file: file.name
    )
    made = [Prompt(**yaml.safe_load(file.read_text(encoding="utf-8"))) for file in files]
    return {prompt.version: prompt for prompt in made}


def prompt_of(spec: Judge | PairwiseJudge) -> Prompt:
    """The prompt that the policy names, or the newest of the kind. Raises Mistaken for an unknown one."""
    fit = [prompt for prompt in prompts().values() if prompt.kind == spec.kind]
    if spec.prompt is None:
        return fit[-1]
    for prompt in fit:
        if prompt.version == spec.prompt:
            return prompt
    listed = ", ".join(prompt.version for prompt in fit)
    raise Mistaken([f'The judge "{spec.name}" names the prompt "{spec.prompt}"; there are {listed}.'])


def pointwise(spec: Judge, case: Case, answer: str) -> list[dict[str, str]]:
    """The messages that ask for a mark."""
    low, high = spec.scale
    given = _given(spec, case) | {"answer": _cut(answer), "low": f"{low:g}", "high": f"{high:g}"}
    return _messages(prompt_of(spec), given)


def pairwise(spec: PairwiseJudge, case: Case, first: str, second: str) -> list[dict[str, str]]:
    """The messages that ask which of two answers is better; the first one is A."""
    return _messages(prompt_of(spec), _given(spec, case) | {"answer": _cut(first), "other": _cut(second)})


def repair(spec: Judge | PairwiseJudge, asked: Sequence[dict[str, str]], reply: str) -> list[dict[str, str]]:
    """The one further request after a reply that could not be read."""
    low, high = spec.bounds
    text = prompt_of(spec).repair.format(low=f"{low:g}", high=f"{high:g}")
    return [*asked, {"role": "assistant", "content": reply[:2000]}, {"role": "user", "content": text}]


def _given(spec: Judge | PairwiseJudge, case: Case) -> dict[str, str]:
    reference = ""
    if case.expected:
        reference = f"<reference>\n{_cut(' | '.join(case.expected))}\n</reference>\n"
    return {"rubric": spec.rubric, "question": _cut(case.question), "reference": reference}


def _messages(prompt: Prompt, given: dict[str, str]) -> list[dict[str, str]]:
    return [
        {"role": "system", "content": prompt.system},
        {"role": "user", "content": prompt.user.format(**given)},
    ]


def _cut(text: str) -> str:
    return (
        text if len(text) <= _LONGEST else f"{text[:_LONGEST]} [… {len(text) - _LONGEST:,} characters more]"
    )


def read_mark(reply: str, scale: tuple[float, float]) -> Mark | None:
    """The mark in a reply; None unless it holds one JSON object with a number on the scale. Nothing is
    guessed from prose: "4 out of 10" is no 4."""
    given = _object(reply)
    value = None if given is None else given.get("score")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    if not scale[0] <= value <= scale[1]:
        return None
    return Mark(float(value), _reason(given))


def read_winner(reply: str) -> Mark | None:
    """A's share of the win: 1 for A, 0 for B, 0.5 for a tie; None when the reply does not say."""
    given = _object(reply)
    winner = None if given is None else given.get("winner")
    share = {"a": 1.0, "b": 0.0, "tie": 0.5}.get(winner.strip().lower()) if isinstance(winner, str) else None
    return None if share is None else Mark(share, _reason(given))


def _reason(given: dict[str, Any] | None) -> str:
    return " ".join(str((given or {}).get("reason", "")).split())[:_LONGEST_REASON]


def _object(reply: str) -> dict[str, Any] | None:
    """The only JSON object in the reply. Fences around it, and what a model thinks aloud before it, are left
    out."""
    text = reply.rpartition("</think>")[2]
    decoder, found, at = json.JSONDecoder(), [], text.find("{")
    for _ in range(_MOST_BRACES):
        if at < 0:
            break
        try:
            given, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            found.append(given)
        at = text.find("{", end)
    return found[0] if len(found) == 1 and isinstance(found[0], dict) else None
