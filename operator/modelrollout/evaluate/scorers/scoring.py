"""What a scorer is, and what it says when a library that it needs is not installed."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from modelrollout.api.mistakes import Mistaken
from modelrollout.evaluate.answers import Answer
from modelrollout.evaluate.cases import Case

Scorer = Callable[[Case, Answer], float | None]


def library(module: str, kind: str, extra: str) -> Any:
    """The library behind a kind of scorer. Raises Mistaken with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise Mistaken(
            [f"The scorer of kind {kind} needs {error.name}; run pip install 'modelrollout[{extra}]'."]
        ) from error
