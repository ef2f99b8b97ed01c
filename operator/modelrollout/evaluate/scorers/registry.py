"""Makes the function that scores answers from what a policy says of a scorer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modelrollout.evaluate.scorer_specs import ScorerSpec
from modelrollout.evaluate.scorers import overlap, retrieval, safety, similarity, structure, texts
from modelrollout.evaluate.scorers.scoring import Scorer

_BUILDERS: dict[str, Callable[[Any], Scorer]] = {
    "exact": texts.exact,
    "contains": texts.contains,
    "regex": texts.regex,
    "numeric": texts.numeric,
    "length": texts.length,
    "keywords": texts.keywords,
    "phrases": texts.phrases,
    "perplexity": texts.perplexity,
    "json": structure.valid_json,
    "json-schema": structure.json_schema,
    "tool-call": structure.tool_call,
    **dict.fromkeys(("f1", "em", "rouge-l", "bleu", "chrf"), overlap.overlap),
    **dict.fromkeys(("citations", "faithfulness"), retrieval.retrieval),
    **dict.fromkeys(("hit-rate", "mrr"), retrieval.ranking),
    "similarity": similarity.similarity,
    "toxicity": safety.toxicity,
    "personal-data": safety.personal_data,
    "injection": safety.injection,
}


def build(spec: ScorerSpec) -> Scorer | None:
    """The scorer; None for a kind that needs to talk to somebody, such as a judge. Raises Mistaken when a
    library is missing."""
    builder = _BUILDERS.get(spec.kind)
    return None if builder is None else builder(spec)
