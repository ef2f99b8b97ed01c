"""Scorers that compare texts: exact, contains, regex, numbers, lengths, keywords and phrases."""

from __future__ import annotations

import math
import re
import string

from modelrollout.evaluate import scorer_specs as specs
from modelrollout.evaluate.answers import Answer
from modelrollout.evaluate.cases import Case
from modelrollout.evaluate.phrases import SETS
from modelrollout.evaluate.scorers.scoring import Scorer

_NUMBER = re.compile(r"[-+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_QUOTES = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"'})


def exact(spec: specs.Exact) -> Scorer:
    def form(text: str) -> str:
        text = text.lower() if spec.ignore_case else text
        text = text.translate(_PUNCTUATION) if spec.ignore_punctuation else text
        return " ".join(text.split()) if spec.ignore_space else text

    def score(case: Case, answer: Answer) -> float | None:
        if not case.expected:
            return None
        return float(form(answer.text) in {form(expected) for expected in case.expected})

    return score


def contains(spec: specs.Contains) -> Scorer:
    def score(case: Case, answer: Answer) -> float | None:
        if not case.expected:
            return None
        text = answer.text.lower() if spec.ignore_case else answer.text
        found = [(one.lower() if spec.ignore_case else one) in text for one in case.expected]
        return float(all(found) if spec.match == "all" else any(found))

    return score


def regex(spec: specs.Regex) -> Scorer:
    pattern = specs.compiled(spec.pattern)

    def score(_case: Case, answer: Answer) -> float | None:
        return float(pattern.search(answer.text) is not None)

    return score


def numeric(spec: specs.Numeric) -> Scorer:
    """The last number of the answer against the expected one: reasoning comes first, the result last."""

    def score(case: Case, answer: Answer) -> float | None:
        expected = [number for text in case.expected if (number := _last_number(text)) is not None]
        if not expected:
            return None
        said = _last_number(answer.text)
        if said is None:
            return 0.0
        return float(
            any(math.isclose(said, one, rel_tol=spec.relative, abs_tol=spec.absolute) for one in expected)
        )

    return score


def _last_number(text: str) -> float | None:
    found = _NUMBER.findall(text)
    try:
        return float(found[-1].replace(",", "")) if found else None
    except ValueError:
        return None


def length(spec: specs.Length) -> Scorer:
    def score(_case: Case, answer: Answer) -> float | None:
        size = len(answer.text.split()) if spec.unit == "words" else len(answer.text)
        return float(spec.least <= size and (spec.most is None or size <= spec.most))

    return score


def keywords(spec: specs.Keywords) -> Scorer:
    """The share of the keywords that the answer holds."""

    def score(case: Case, answer: Answer) -> float | None:
        words = spec.words or case.keywords
        if not words:
            return None
        text = answer.text.lower()
        return sum(word.lower() in text for word in words) / len(words)

    return score


def phrases(spec: specs.Phrases) -> Scorer:
    """1 when the answer holds one of the phrases."""
    listed = tuple(word.lower() for word in (*SETS.get(spec.set_ or "", ()), *spec.words))

    def score(_case: Case, answer: Answer) -> float | None:
        text = " ".join(answer.text.lower().translate(_QUOTES).split())
        return float(any(phrase in text for phrase in listed))

    return score


def perplexity(_spec: specs.Perplexity) -> Scorer:
    def score(_case: Case, answer: Answer) -> float | None:
        return None if answer.logprob is None else math.exp(min(-answer.logprob, 50.0))

    return score
