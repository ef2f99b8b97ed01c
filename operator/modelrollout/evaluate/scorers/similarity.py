"""Likeness of meaning, by the small static embeddings that ship inside wordllama: no model is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from modelrollout.evaluate import scorer_specs as specs
from modelrollout.evaluate.answers import Answer
from modelrollout.evaluate.cases import Case
from modelrollout.evaluate.scorers.scoring import Scorer, library


def similarity(_spec: specs.Similarity) -> Scorer:
    """The greatest likeness with an expected answer."""
    alike = likeness()

    def score(case: Case, answer: Answer) -> float | None:
        return max((alike(one, answer.text) for one in case.expected), default=None)

    return score


def likeness() -> Callable[[str, str], float]:
    """The cosine of two texts; below 0 counts as 0. Two empty texts are alike."""
    embeddings = _embeddings()

    def alike(one: str, other: str) -> float:
        if one.strip() == other.strip():
            return 1.0
        if not (one.strip() and other.strip()):
            return 0.0
        return min(max(float(embeddings.similarity(one, other)), 0.0), 1.0)

    return alike


@lru_cache(maxsize=1)
def _embeddings() -> Any:
    wordllama = library("wordllama", "similarity", "similarity")
    inside = Path(str(wordllama.__file__)).parent  # its own folder holds the weights and the tokenizer
    return wordllama.WordLlama.load(disable_download=True, cache_dir=inside)
