"""Likeness of meaning, by the small static embeddings that ship inside wordllama: no model is downloaded."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from modelrollout.evaluate import scorer_specs as specs
from modelrollout.evaluate.answers import Answer
from modelrollout.evaluate.cases import Case
from modelrollout.evaluate.scorers.scoring import Scorer, library


def similarity(_spec: specs.Similarity) -> Scorer:
    """The greatest cosine with an expected answer; below 0 counts as 0."""
    embeddings = _embeddings()

    def score(case: Case, answer: Answer) -> float | None:
        if not case.expected:
            return None
        if not answer.text.strip():
            return 0.0
        return max(
            min(max(float(embeddings.similarity(one, answer.text)), 0.0), 1.0) for one in case.expected
        )

    return score


@lru_cache(maxsize=1)
def _embeddings() -> Any:
    wordllama = library("wordllama", "similarity", "similarity")
    inside = Path(str(wordllama.__file__)).parent  # its own folder holds the weights and the tokenizer
    return wordllama.WordLlama.load(disable_download=True, cache_dir=inside)
