"""A short log of the looks that were folded: `modelrollout record` asks for the same intervals again.

Raw counters at stated times are repeatable, so the times are all that has to be kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, field, replace
from typing import Any

from modelrollout.analysis.betting.ladder import StepTerms
from modelrollout.analysis.inputs.observation import Look
from modelrollout.analysis.inputs.schedule import first_look

MOST_RUNS = 48
"""Runs that are kept, the newest; what is stored must stay small however often looks are dropped."""


@dataclass(frozen=True, slots=True)
class Run:
    """Looks without a gap from `start` to `end`: up to the first multiple of `interval`, and whole ones."""

    start: float
    end: float
    interval: float
    begun: StepTerms | None
    """A step began before it, with these terms; None: the step before goes on."""
    answered: bool
    """False: the metrics provider answered nothing at all."""
    moved: bool = False
    """The stable Service led to the canary already, so a proxy counted its users under that name."""

    def looks(self) -> Iterator[Look]:
        look = first_look(self.start, self.interval)
        if look.start > self.start:
            look = Look(self.start, look.start)
        while look.end <= self.end:
            yield look
            look = first_look(look.end, self.interval)


@dataclass(frozen=True, slots=True)
class Looked:
    """All looks of one rollout that were folded, in order."""

    learned_until: float = 0.0
    """End of the past from which the noise was learned, unix seconds."""
    runs: tuple[Run, ...] = field(default=())

    def fold(
        self, look: Look, interval: float, *, begun: StepTerms | None, answered: bool, moved: bool = False
    ) -> Looked:
        """One more look; `begun`: the terms of the step that began before it."""
        last = self.runs[-1] if self.runs else None
        follows = last is not None and (last.end, last.interval) == (look.start, interval)
        same = last is not None and (last.answered, last.moved) == (answered, moved)
        if last is not None and follows and begun is None and same:
            return replace(self, runs=(*self.runs[:-1], replace(last, end=look.end)))
        run = Run(look.start, look.end, interval, begun, answered, moved)
        return replace(self, runs=(*self.runs, run)[-MOST_RUNS:])

    def __len__(self) -> int:
        """How many looks are still known."""
        return sum(1 for run in self.runs for _ in run.looks())

    def to_state(self) -> dict[str, Any]:
        runs = [
            [r.start, r.end, r.interval, astuple(r.begun) if r.begun else 0, r.answered + 2 * r.moved]
            for r in self.runs
        ]
        return {"learnedUntil": self.learned_until, "runs": runs}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Looked:
        """As it was stored; KeyError, TypeError or ValueError when it was not."""
        runs = (
            Run(float(start), float(end), float(interval), _terms(begun), bool(flags & 1), bool(flags & 2))
            for start, end, interval, begun, flags in state["runs"]
        )
        return cls(float(state["learnedUntil"]), tuple(runs))


def _terms(stored: Any) -> StepTerms | None:
    if stored == 0:
        return None
    margin, carry, alike = stored
    return StepTerms(float(margin), bool(carry), bool(alike))
