"""The port of a metrics provider: what the operator asks of the server that keeps the samples. Prometheus
answers it; another source is one file."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from modelrollout.analysis.counters.series import Series


class ProviderError(Exception):
    """The metrics provider failed; the message says which, what was asked for and what came back."""


class NotAsked(ProviderError):
    """The administrator does not let the operator ask this."""


class AnswerTooLarge(ProviderError):
    """The answer is more than the operator reads."""


@dataclass(frozen=True)
class AlertRule:
    """One alerting rule, as the server says of it."""

    evaluated_at: float
    """Unix seconds."""
    interval: float
    """Seconds between two evaluations."""
    error: str = ""
    """Why its last evaluation failed; empty when it did not."""


class Provider(Protocol):
    """One server. The caller awaits the answer; every method raises ProviderError when it cannot be
    answered."""

    async def samples(self, selector: str, at: float, window: float) -> tuple[Series, ...]:
        """Raw samples of the series that a PromQL selector takes, in the `window` seconds up to `at` (unix
        seconds). Asked again it is the same."""

    async def numbers(self, expression: str, at: float) -> tuple[float, ...]:
        """What an expression in PromQL gives at an instant: one number for each series."""

    async def alert_rules(self, names: Collection[str]) -> Mapping[str, Sequence[AlertRule]]:
        """The alerting rules of these names that the server evaluates; a name without one is absent."""

    async def numbers_by(self, label: str, expression: str, at: float) -> Mapping[str, float]:
        """The same, where each series has another value of this label."""

    async def close(self) -> None:
        """Let go of threads and connections."""
