"""What an experiment or a bandit came to, for people who read it when the rollout is over.

It follows from what was counted, which stays in status as long as the evidence. It needs no Prometheus, and
says no more than the status of the rollout said: of a fixed experiment without all its users that is nothing
of the metric.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

from modelrollout.analysis.contest import anytime, shares
from modelrollout.analysis.contest.shares import Count, Difference
from modelrollout.analysis.contest.strata import Strata
from modelrollout.analysis.contest.sums import Sums
from modelrollout.analysis.contest.tally import (
    Ending,
    Point,
    Tally,
    Terms,
    Users,
    at_any_time,
    difference,
    ended,
)
from modelrollout.api.stages import Bandit, Contest, Experiment, stage_of
from modelrollout.rollout.contest import plan_of, terms_of, told
from modelrollout.rollout.contest_picture import Moment, Panel, draw

TITLES = {
    "Better": "The new revision is better",
    "Worse": "The new revision is worse",
    "NoDifference": "No difference is shown",
    "Invalid": "The revisions cannot be compared",
}
LEAST = 20
"""Users of each arm before which nothing is drawn, and of which no half is compared."""
NOVELTY = 0.01
"""Risk of saying that early and late users differ."""
CREDIBLE = 0.05
"""What the interval of a bandit leaves out."""


@dataclass(frozen=True, slots=True)
class Report:
    name: str
    markdown: str
    picture: str
    """SVG; empty: there is nothing to draw."""

    @property
    def kept(self) -> dict[str, str]:
        """As a record has it."""
        picture = {"picture": self.picture} if self.picture else {}
        return {"name": self.name, "markdown": self.markdown, **picture}


def reports(evidence: Mapping[str, Any] | None) -> tuple[Report, ...]:
    """Of each experiment and bandit of the rollout whose evidence status has, in their order."""
    found = []
    for state in (evidence or {}).get("tallies", ()):
        try:
            tally = Tally.from_state(state)
        except (KeyError, StopIteration, TypeError, ValueError):
            continue  # written by another version
        if (report := report_of(tally)) is not None:
            found.append(report)
    return tuple(found)


def report_of(tally: Tally) -> Report | None:
    """None where nothing was counted, or by terms that nobody knows any more."""
    stage = stage_of(tally.step) if tally.step is not None else None
    if not isinstance(stage, Experiment | Bandit) or not tally.looks:
        return None
    terms = terms_of(stage)
    if terms is None:
        return None
    told_of = _Account(stage, terms, tally, ended(tally, terms))
    points = told_of.points()
    return Report(stage.written.name, told_of.markdown(drawn=bool(points)), told_of.picture(points))


@dataclass(frozen=True, slots=True)
class _Account:
    stage: Contest
    terms: Terms
    tally: Tally
    ending: Ending | None

    @property
    def shown(self) -> bool:
        """Whether anything may be said of the metric."""
        if self.ending is not None:
            return self.ending.result != "Invalid"
        enough = min(self.tally.stable.of, self.tally.canary.of) >= anytime.FEWEST
        return self.terms.until == "sure" or (self.terms.until == "sequential" and enough)

    @property
    def row(self) -> str:
        return {"share": "did it", "mean": "mean by user", "ratio": "ratio"}[self.terms.kind]

    def shown_of(self, users: Users) -> str:
        """The share, the mean or the ratio of one arm."""
        if isinstance(users, Sums):
            return f"{users.ratio if self.terms.kind == 'ratio' else users.mean:.4g}"
        return f"{100 * users.share:.2f} %"

    def figures(self, moment: Moment) -> str:
        """An effect with its interval."""
        if self.terms.kind != "share":
            return f"{moment.middle:+.4g} ({moment.low:.4g} to {moment.high:.4g})"
        return f"{100 * moment.middle:+.2f} ({100 * moment.low:.2f} to {100 * moment.high:.2f}) points"

    # ── the effect ──────────────────────────────────────────────────────────────────────────────

    def effect(self, point: Point) -> Moment:
        """Canary minus stable after so many users, as shares."""
        users = point.stable.of + point.canary.of
        if self.terms.until == "sure":
            reach = NormalDist().inv_cdf(1 - CREDIBLE / 2) * point.strata.error
            mean = point.strata.mean
            return Moment(users, mean, mean - reach, mean + reach)
        found = self.difference(point)
        return Moment(users, found.effect, found.low, found.high)

    def difference(self, point: Point) -> Difference:
        found = difference(point.stable, point.canary, self.terms)
        if self.terms.until != "sequential" or self.terms.kind != "share":
            return found
        part = (point.stable.of + point.canary.of) / sum(self.terms.users)
        return at_any_time(found, part, self.terms.risk)

    def points(self) -> list[Point]:
        """Of the course, what can be drawn."""
        if not self.shown:
            return []
        points = [*self.tally.course]
        if not points or points[-1].looks < self.tally.looks:
            points.append(self.tally.now)
        least = anytime.FEWEST if self.terms.until == "sequential" else LEAST
        return [each for each in points if min(each.stable.of, each.canary.of) >= least]

    def halves(self) -> tuple[Moment, Moment] | None:
        """The effect among the earlier and among the later users."""
        whole = self.tally.now
        users = whole.stable.of + whole.canary.of
        if not self.shown or not self.tally.course:
            return None
        early = min(self.tally.course, key=lambda each: abs(each.stable.of + each.canary.of - users / 2))
        late = Point(
            whole.looks - early.looks,
            whole.until,
            _less(whole.stable, early.stable),
            _less(whole.canary, early.canary),
            Strata(*(a - b for a, b in zip(whole.strata, early.strata, strict=True))),
        )
        if min(*(count.of for half in (early, late) for count in (half.stable, half.canary))) < LEAST:
            return None
        once = self if self.terms.until == "sure" else replace(self, terms=replace(self.terms, until="fixed"))
        return once.effect(early), once.effect(late)

    # ── as Markdown ─────────────────────────────────────────────────────────────────────────────

    def markdown(self, *, drawn: bool) -> str:
        title = TITLES[self.ending.result] if self.ending is not None else "It ended without a result"
        parts = [f"# {self.stage.title}: {title}", f"{self._sentence()}.", *self._result()]
        if drawn:
            parts.append(f"![The effect, with its interval, over the users so far]({self.picture_name})")
        parts += ["## The plan", f"{_capital(plan_of(self.stage, self.terms))}."]
        parts += ["## The split", self._split(), *self._novelty()]
        parts += [
            "## By segment",
            "Counters have no segments. Where an outcome log has them, `modelrollout experiment report "
            "--record FILE` puts its report into the same record.",
        ]
        return "\n\n".join(parts) + "\n"

    @property
    def picture_name(self) -> str:
        return f"{self.stage.written.name}.svg"

    def _sentence(self) -> str:
        if self.ending is not None:
            return _capital(told(self.stage, self.ending, self.terms, self.tally))
        counted = f"{self.tally.stable.of:,.0f} users of stable and {self.tally.canary.of:,.0f} of the canary"
        if self.shown:
            return f"The step was left, or its limit came, before it had ended by itself ({counted})"
        return (
            f"The step was left before all of its users were there ({counted}), so nothing is said of what "
            "they did"
        )

    def _result(self) -> list[str]:
        if not self.shown:
            return []
        now = self.tally.now
        found = self.effect(now)
        rows = [
            ("", "stable", "canary"),
            ("---", "---", "---"),
            ("users", f"{now.stable.of:,.0f}", f"{now.canary.of:,.0f}"),
            (self.row, *(self.shown_of(each) for each in (now.stable, now.canary))),
        ]
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        more, low, high = (now.canary.of * each for each in found[1:])
        if self.terms.kind == "ratio":
            return [table, self._method(found)]
        if self.terms.kind == "mean":
            return [
                table,
                self._method(found),
                f"The canary's {now.canary.of:,.0f} users have {more:+,.4g} more together than as many users "
                f"of stable ({low:,.4g} to {high:,.4g}).",
            ]
        lift = (
            f"Of the canary's {now.canary.of:,.0f} users {more:+,.1f} more did it than of as many users of "
            f"stable ({low:,.1f} to {high:,.1f})."
        )
        return [table, self._method(found), lift]

    def _method(self, found: Moment) -> str:
        figures = self.figures(found)
        if self.terms.until == "sure":
            return (
                f"{figures}, with a probability of 95 %, in users of the same looks (Mantel and Haenszel). "
                "The shares above cannot be compared with each other, because the weight moved meanwhile."
            )
        tested = self.difference(self.tally.now)
        sure = 100 - 100 * self.terms.risk
        if self.terms.until == "sequential":
            return f"{figures}, at {sure:g} % and at all looks at once."
        return f"{figures}, at {sure:g} %; {tested.test}, two-sided, p = {tested.p_value:.2g}."

    def _split(self) -> str:
        stable, canary = self.tally.stable.of, self.tally.canary.of
        share = f"{stable:,.0f} users of stable and {canary:,.0f} of the canary"
        if self.terms.until == "sure":
            return f"{share}. A bandit moves the weight, so there is no planned share to test them against."
        p_value = math.exp(min(0.0, -shares.log_uneven(stable, canary, self.terms.split)))
        return (
            f"{share} ({100 * canary / max(1, stable + canary):.1f} %; {self.terms.split} % was asked for; "
            f"sample-ratio test that may be looked at at any time, p = {p_value:.2g})."
        )

    def _novelty(self) -> list[str]:
        halves = self.halves()
        if halves is None:
            return []
        reach = NormalDist().inv_cdf(1 - (CREDIBLE if self.terms.until == "sure" else self.terms.risk) / 2)
        spread = math.hypot(*((half.high - half.low) / (2 * reach) for half in halves))
        limit = NormalDist().inv_cdf(1 - NOVELTY / 2) * spread
        differ = abs(halves[0].middle - halves[1].middle) > limit > 0
        early, late = map(self.figures, halves)
        said = (
            "They differ by more than chance: what is new may wear off, or users may still be learning."
            if differ
            else "They do not differ by more than chance."
        )
        return ["## Early and late users", f"First half: {early}. Second half: {late}. {said}"]

    # ── as a picture ────────────────────────────────────────────────────────────────────────────

    def picture(self, points: list[Point]) -> str:
        if not points:
            return ""
        curve = [self.effect(point) for point in points]
        signed = self.terms.effect if self.terms.higher else -self.terms.effect
        scale, unit = (100.0, "in points, ") if self.terms.kind == "share" else (1.0, "")
        worth = scale * signed if self.terms.until != "sure" else None
        scaled = [Moment(users, *(scale * each for each in effect)) for users, *effect in curve]
        more = [
            Moment(users, *(point.canary.of * each for each in effect))
            for point, (users, *effect) in zip(points, curve, strict=True)
        ]
        panels = [
            Panel(f"canary - stable, {unit}with its interval", scaled, worth),
            Panel("more in all among the canary's users", more),
        ]
        return draw(panels[:1] if self.terms.kind == "ratio" else panels)


def _less(users: Users, others: Users) -> Users:
    kind = Sums if isinstance(users, Sums) else Count
    return kind(*(a - b for a, b in zip(users, others, strict=True)))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
