"""Scorers for answers from contexts: citations, a proxy of faithfulness, hit rate and reciprocal rank."""

from __future__ import annotations

import re

from modelrollout.evaluate import scorer_specs as specs
from modelrollout.evaluate.answers import Answer
from modelrollout.evaluate.cases import Case
from modelrollout.evaluate.scorers.scoring import Scorer

_CITED = re.compile(
    r"\[((?:doc(?:ument)?|source|ctx)?[\s#:]*[\w.\-]{1,80}(?:\s*[,;]\s*[\w.\-]{1,80})*)\](?!\()", re.I
)
_PREFIX = re.compile(r"^(?:doc(?:ument)?|source|ctx)[\s#:]+", re.I)
_LINK = re.compile(r"https?://[^\s)\]>\"']+")
_WORD = re.compile(r"[^\W_]{4,}|\d+")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_SUPPORTED = 0.6
"""The share of a sentence's words that must stand in one context."""


def retrieval(spec: specs.Retrieval) -> Scorer:
    return _citations if spec.kind == "citations" else _faithfulness


def _citations(case: Case, answer: Answer) -> float | None:
    """The share of cited sources that are among the contexts; a link counts when a context holds it. An
    answer without any citation says nothing here."""
    if not case.contexts:
        return None
    ids = {context.id.lower() for context in case.contexts}
    texts = "\n".join(context.text for context in case.contexts)
    named = [name in ids for name in _names(answer.text) if name in ids or any(c.isdigit() for c in name)]
    links = [
        link.rstrip(".,;") in texts or link.rstrip(".,;").lower() in ids
        for link in _LINK.findall(answer.text)
    ]
    cited = named + links
    return sum(cited) / len(cited) if cited else None


def _names(text: str) -> list[str]:
    """What stands in brackets, one name each: "[doc-1; 2]" are doc-1 and 2. A word, such as [sic], is taken
    for a citation only where a context has that name."""
    parts = [part.strip().lower() for found in _CITED.findall(text) for part in re.split("[,;]", found)]
    return [_PREFIX.sub("", part) for part in parts]


def _faithfulness(case: Case, answer: Answer) -> float | None:
    """The share of sentences most of whose words and all of whose numbers stand in one context. A proxy: it
    sees invented facts with new words or numbers, and no wrong relation between known ones."""
    if not case.contexts:
        return None
    known = [set(_words(context.text)) for context in case.contexts]
    asked = set(_words(case.question))
    sentences = [words for part in _SENTENCE.split(answer.text) if (words := set(_words(part)))]
    if not sentences:
        return None
    return sum(any(_holds(context | asked, words) for context in known) for words in sentences) / len(
        sentences
    )


def _holds(context: set[str], words: set[str]) -> bool:
    numbers = {word for word in words if word.isdigit()}
    return numbers <= context and len(words & context) >= _SUPPORTED * len(words)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def ranking(spec: specs.Ranking) -> Scorer:
    """Over what the server says it retrieved, in a field `retrieved` beside `choices`: ids, best first."""

    def score(case: Case, answer: Answer) -> float | None:
        relevant = {context.id for context in case.contexts if context.relevant}
        if not relevant or not answer.retrieved:
            return None
        hits = [rank for rank, one in enumerate(answer.retrieved[: spec.k], 1) if one in relevant]
        if spec.kind == "hit-rate":
            return float(bool(hits))
        return 1 / hits[0] if hits else 0.0

    return score
