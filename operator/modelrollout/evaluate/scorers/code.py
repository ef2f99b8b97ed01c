"""pass@k: the program that is run in the sandbox, and the estimate over several answers."""

from __future__ import annotations

import math
import re

from modelrollout.evaluate.answers import Answer
from modelrollout.evaluate.cases import Case

_BLOCK = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)```", re.DOTALL)


def program(case: Case, answer: Answer) -> str | None:
    """The answer's code with the case's tests behind it; None for a case without tests."""
    if case.tests is None:
        return None
    blocks = _BLOCK.findall(answer.text)
    return f"{max(blocks, key=len) if blocks else answer.text}\n\n{case.tests}\n"


def pass_at_k(answers: int, passed: int, k: int) -> float:
    """The chance that at least one of k answers, drawn from these, passes: 1 - C(n-c, k) / C(n, k)."""
    if not 1 <= k <= answers:
        raise ValueError(f"pass@{k} cannot be estimated from {answers} answers")
    return 1.0 - math.comb(answers - passed, k) / math.comb(answers, k)
