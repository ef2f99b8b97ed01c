"""Experiments and logs for the tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from modelrollout.experiment import outcomes, plan
from modelrollout.experiment.assignment import arm_of
from modelrollout.experiment.plan import Experiment
from modelrollout.experiment.report import Report, made

CONVERSION = {"name": "conversion", "kind": "share", "baseline": "10%", "effect": "5%"}


def experiment(**changes: Any) -> Experiment:
    metric = {**CONVERSION, **changes.pop("metric", {})}
    return Experiment.model_validate({"name": "tone", "salt": "chat", "metric": metric, **changes})


def users(count: int, split: int = 50, seed: int = 0) -> Iterator[tuple[str, str, float]]:
    """(name, arm, time) of users who come one a minute."""
    for number in range(count):
        name = f"{seed}-{number}"
        yield name, arm_of(name, "chat", split), 60.0 * number


def log(
    count: int, rates: Mapping[str, float], seed: int = 0, split: int = 50, **fields: Any
) -> list[tuple[str, dict[str, Any]]]:
    """One row per user, who converts by the rate of the arm."""
    random = np.random.default_rng(seed)
    return [
        (
            f"line {line}",
            {"user": name, "time": time, "conversion": int(random.random() < rates[arm]), **fields},
        )
        for line, (name, arm, time) in enumerate(users(count, split, seed))
    ]


def reported(given: Experiment, rows: list[tuple[str, dict[str, Any]]]) -> Report:
    return made(given, plan.size(given), outcomes.read(rows, given))
