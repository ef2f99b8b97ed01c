"""What is measured of every answer without a scorer: less of each is better."""

from __future__ import annotations

from modelrollout.evaluate.answers import Answer

MEASURES: dict[str, str] = {
    "cost": "price units per answer",
    "ttft": "seconds to the first token",
    "tpot": "seconds per output token",
    "latency": "seconds to the whole answer",
    "output-tokens": "tokens of the answer",
    "prompt-tokens": "tokens of the prompt",
    "truncated": "answers cut at max_tokens",
}


def measured(answer: Answer, cost: float | None) -> dict[str, float]:
    """The measures that this answer has; a server that reports no usage has no tokens."""
    values = {
        "cost": cost,
        "ttft": answer.ttft,
        "tpot": answer.tpot,
        "latency": answer.seconds,
        "output-tokens": answer.completion_tokens,
        "prompt-tokens": answer.prompt_tokens,
        "truncated": None if answer.finish is None else float(answer.finish == "length"),
    }
    return {name: float(value) for name, value in values.items() if value is not None}
