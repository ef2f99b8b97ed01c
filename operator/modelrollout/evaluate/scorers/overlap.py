"""Overlap with the expected answer: F1 and EM as SQuAD counts them, ROUGE-L; BLEU and chrF by sacrebleu."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable

from modelrollout.evaluate import scorer_specs as specs
from modelrollout.evaluate.answers import Answer
from modelrollout.evaluate.cases import Case
from modelrollout.evaluate.scorers.scoring import Scorer, library

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = {"a", "an", "the"}
_TOKEN = re.compile(r"[^\W_]+")
_MOST = 4000
"""Words; the comparison takes time in the product of both lengths."""


def overlap(spec: specs.Overlap) -> Scorer:
    compare = _comparisons()[spec.kind]()

    def score(case: Case, answer: Answer) -> float | None:
        return max((compare(expected, answer.text) for expected in case.expected), default=None)

    return score


def _comparisons() -> dict[str, Callable[[], Callable[[str, str], float]]]:
    return {"f1": lambda: _f1, "em": lambda: _em, "rouge-l": lambda: _rouge_l, "bleu": _bleu, "chrf": _chrf}


def _words(text: str) -> list[str]:
    plain = text.lower().translate(_PUNCTUATION)
    return [word for word in plain.split() if word not in _ARTICLES]


def _em(expected: str, said: str) -> float:
    return float(_words(expected) == _words(said))


def _f1(expected: str, said: str) -> float:
    wanted, found = _words(expected), _words(said)
    if not wanted or not found:
        return float(wanted == found)
    common = sum((Counter(wanted) & Counter(found)).values())
    return 2 * common / (len(wanted) + len(found))


def _rouge_l(expected: str, said: str) -> float:
    """F-measure of the longest common subsequence of words, as rouge-score counts it without stemming."""
    wanted, found = _TOKEN.findall(expected.lower())[:_MOST], _TOKEN.findall(said.lower())[:_MOST]
    if not wanted or not found:
        return 0.0
    row = [0] * (len(found) + 1)
    for word in wanted:
        corner = 0
        for place, other in enumerate(found, 1):
            above = row[place]
            row[place] = corner + 1 if word == other else max(above, row[place - 1])
            corner = above
    return 2 * row[-1] / (len(wanted) + len(found))


def _bleu() -> Callable[[str, str], float]:
    sacrebleu = library("sacrebleu", "bleu", "scorers")
    return lambda expected, said: min(float(sacrebleu.sentence_bleu(said, [expected]).score) / 100, 1.0)


def _chrf() -> Callable[[str, str], float]:
    sacrebleu = library("sacrebleu", "chrf", "scorers")
    return lambda expected, said: min(float(sacrebleu.sentence_chrf(said, [expected]).score) / 100, 1.0)
