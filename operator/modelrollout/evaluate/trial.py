"""The evidence of one evaluation: fold cases in, in the order in which they were drawn, and get a verdict.

The order matters: answers that come back late are often the long ones, so folding in the order of arrival
would stop on a selection of cases.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from modelrollout.analysis.betting.mixture import log_sum
from modelrollout.evaluate.betting import Bet
from modelrollout.evaluate.claims import Claim, Scores, claims_of, scale_of
from modelrollout.evaluate.policy import Policy
from modelrollout.evaluate.readings import Tally

LEAST_OF_A_TAG = 10
"""Cases; a smaller tag is shown but not judged by itself."""
MOST_TAGS = 50
_OF_TAGS = 0.25
_MANY = 20
"""Cases after which the share of unanswered ones says something."""


@dataclass(frozen=True, slots=True)
class Folded:
    """One case as the evidence sees it. `unanswered` names the sides that gave no answer."""

    scores: Scores
    tags: Sequence[str] = ()
    weight: float = 1.0
    unanswered: tuple[str, ...] = ()
    unjudged: tuple[str, ...] = ()
    """Judges' scores that could not be had."""
    unscored: tuple[str, ...] = ()
    """Other scores that could not be had: an own scorer that failed."""


@dataclass(slots=True)
class Line:
    """One claim over all cases, or over those of one tag."""

    claim: Claim
    tag: str | None
    log_stake: float
    bet: Bet
    log_now: float = 0.0
    """Log evidence that the claim is broken, as it stands."""
    log_worse: float = 0.0
    """The greatest of it so far: crossed once is crossed."""
    log_kept: float = 0.0

    def fold(self, value: float, weight: float) -> None:
        self.bet = self.bet.fold(value, weight)
        self.log_now = self.bet.log_above
        self.log_worse = max(self.log_worse, self.log_now)
        self.log_kept = max(self.log_kept, self.bet.log_below)

    @property
    def looks_worse(self) -> bool:
        """A mean beyond the limit, from more than a single case."""
        mean = self.bet.mean
        return mean is not None and self.bet.cases > 1 and mean > self.claim.bounds.limit


class Trial:
    """Mutable: 50,000 cases go through it, and only the values of each score stay."""

    def __init__(
        self,
        policy: Policy,
        cases: int,
        tags: Mapping[str, int],
        greatest_weight: float = 1.0,
        single: bool = False,
    ) -> None:
        """`cases` and `tags` count what the whole golden set holds; `single`: there is no baseline."""
        self.policy, self.total, self.single = policy, cases, single
        self._greatest = greatest_weight
        self.claims = claims_of(policy, single)
        self.scored = tuple(dict.fromkeys(gate.score for gate in policy.gates))
        names = dict.fromkeys([*(spec.name for spec in policy.scorers), *self.scored])
        self.tallies = {name: Tally(scale_of(policy, name)) for name in names}
        self.judged_tags = _judged(tags, cases) if policy.tags != "ignore" else ()
        self.tag_tallies = {
            (tag, name): Tally(scale_of(policy, name)) for tag in self.judged_tags for name in self.scored
        }
        self.lines = self._lines()
        self._by_tag: dict[str | None, list[Line]] = {}
        for line in self.lines:
            self._by_tag.setdefault(line.tag, []).append(line)
        self.asked = self.unanswered_candidate = self.unanswered_baseline = 0
        self.log_worse = 0.0
        """The greatest evidence so far, in logs, that any gate is broken."""
        self.unjudged: dict[str, int] = {}
        self.unscored: dict[str, int] = {}

    def _lines(self) -> list[Line]:
        """Each gate has the same share of the risk. Where tags are judged, they share a quarter of it."""
        tags = self.judged_tags if self.policy.tags == "fail" else ()
        per_gate: dict[str, int] = {}
        for claim in self.claims:
            per_gate[claim.score] = per_gate.get(claim.score, 0) + 1
        lines = []
        for claim in self.claims:
            part = 1 / (len(per_gate) * per_gate[claim.score])
            whole = math.log(part * (1 - _OF_TAGS if tags else 1.0))
            lines.append(Line(claim, None, whole, Bet.fresh(claim.bounds)))
            for tag in self.judged_tags:
                stake = math.log(part * _OF_TAGS / len(self.judged_tags))
                lines.append(Line(claim, tag, stake, Bet.fresh(claim.bounds)))
        return lines

    def fold(self, case: Folded) -> None:
        self.asked += 1
        self.unanswered_candidate += "candidate" in case.unanswered
        self.unanswered_baseline += "baseline" in case.unanswered
        for name in case.unjudged:
            self.unjudged[name] = self.unjudged.get(name, 0) + 1
        for name in case.unscored:
            self.unscored[name] = self.unscored.get(name, 0) + 1
        if case.unanswered:
            return
        weight = case.weight / self._greatest
        tags = [tag for tag in dict.fromkeys(case.tags) if tag in self._by_tag]
        for name, (candidate, baseline) in case.scores.items():
            if name in self.tallies and candidate is not None and self._complete(name, baseline):
                self.tallies[name].add(candidate, baseline, weight)
                for tag in tags:
                    if (tag, name) in self.tag_tallies:
                        self.tag_tallies[tag, name].add(candidate, baseline, weight)
        for line in self._touched(tags):
            value = line.claim.value(*case.scores.get(line.claim.score, (None, None)))
            if value is not None:
                line.fold(value, weight)
        self.log_worse = max(self.log_worse, self._log_worse())

    def _complete(self, name: str, baseline: float | None) -> bool:
        return self.single or baseline is not None or self.tallies[name].scale.joint

    def _touched(self, tags: Iterable[str]) -> Iterable[Line]:
        yield from self._by_tag.get(None, ())
        for tag in tags:
            yield from self._by_tag[tag]

    def _log_worse(self) -> float:
        """Log of the average evidence against the candidate: an average of e-values is one, whatever ties the
        gates together."""
        counting = [line for line in self.lines if line.tag is None or self.policy.tags == "fail"]
        return log_sum([line.log_stake + line.log_now for line in counting]) if counting else 0.0

    @property
    def main_lines(self) -> list[Line]:
        return self._by_tag.get(None, [])

    @property
    def unanswered(self) -> int:
        """The greater of both sides' numbers."""
        return max(self.unanswered_candidate, self.unanswered_baseline)

    def too_many_unanswered(self) -> bool:
        return self._too_many(self.unanswered, self.policy.max_unanswered)

    def too_often(self, missing: Mapping[str, int]) -> list[str]:
        """The scores that were missing too often, of those that a gate needs."""
        return [
            name
            for name, number in missing.items()
            if name in self.scored and self._too_many(number, self.policy.max_unjudged)
        ]

    def _too_many(self, number: int, share: float) -> bool:
        enough = self.asked >= min(_MANY, self.total)
        return enough and number > share * self.asked


def _judged(tags: Mapping[str, int], cases: int) -> tuple[str, ...]:
    """The tags that are judged by themselves: large enough, and not the whole set."""
    fit = [(count, tag) for tag, count in tags.items() if LEAST_OF_A_TAG <= count < cases]
    return tuple(tag for _, tag in sorted(fit, key=lambda pair: (-pair[0], pair[1]))[:MOST_TAGS])
