"""Evidence on a distribution counted in buckets: latency, lengths, sizes.

One test per decision edge on "beyond this edge"; `betting.edges` finds the edges that tell most. Against the
canary their average counts. For it the edge that tells most must be shown to be not worse: what is slower as
a whole is slower there. The others that the control often exceeds must lean to the canary's side, so that
harm in a part of the values holds it; edges that the user chose must all be shown. A pass says nothing of
what lies between two edges, so a metric whose buckets are too coarse for the tolerance cannot pass. The edge
beyond the control's 99th percentile only objects: to prove that hardly any request gets there takes thousands
of them, however wide the tolerance in scale.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import accumulate, chain
from typing import Any

from modelrollout.analysis.betting.block import LOG_STAKES_WORSE, Block, Margin
from modelrollout.analysis.betting.edges import MOST_TOLERATED, RARE, Coarse, coarseness, edge_margins, tells
from modelrollout.analysis.betting.information import detectable
from modelrollout.analysis.betting.interval import Interval, difference_grid, share_bets
from modelrollout.analysis.betting.ladder import StepTerms, widened_edge
from modelrollout.analysis.betting.mixture import log_mean_e, log_sum
from modelrollout.analysis.betting.two_sided import OWN, Terms, TwoSided
from modelrollout.analysis.inputs.metric import Direction, EdgeMargin, Metric
from modelrollout.analysis.inputs.observation import Arm, Histogram, Problem, ProblemKind
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.kinds import checks
from modelrollout.analysis.kinds.mean_of_values import MeanTest
from modelrollout.analysis.kinds.quantiles import Seen
from modelrollout.analysis.kinds.reading import ArmTotals, Reading
from modelrollout.analysis.noise.dispersion import Moments, Pair, Running
from modelrollout.analysis.noise.noise import Noise
from modelrollout.analysis.packing import pack, single, unpack

BASELINE_UNITS = 200.0
"""Observations of the control that make a baseline when none was given."""
_LEAST_UNIT = 0.002
_LEANS = 6.0
"""Of the edges that tell less a pass asks one part in so many of the evidence. A third is what the weakest
shows of an equal canary when the best is proven, and by chance it is often half of that."""
_PLAIN = math.log(20)
"""Log of the evidence against the canary from which on people are shown the edge that gave it."""
_NOTHING = Seen()
_POINTS = len(difference_grid(_LEAST_UNIT))


@dataclass(frozen=True, slots=True)
class Edges:
    """What decides, frozen before the first bet."""

    margins: tuple[EdgeMargin, ...]
    at: tuple[float, ...]
    lines: tuple[Margin, ...]
    shown: int
    """The edge that people are shown while none speaks against the canary: the one nearest to the control's
    95th percentile."""
    proving: tuple[int, ...]
    """The edges that speak for the canary when it passes."""
    proven: tuple[int, ...]
    """Those of them that a pass must prove: the one that tells most, or all that the user chose. The others
    tell less and must lean to the canary's side."""
    grid: tuple[float, ...]
    """Differences at the shown edge that are worth telling apart."""

    @classmethod
    def of(cls, margins: Iterable[EdgeMargin], chosen: bool = False) -> Edges:
        """In the precision in which they are stored."""
        kept = tuple(
            EdgeMargin(m.edge, *single([m.ratio, m.absolute, m.exceedance, m.noise])) for m in margins
        )
        often = [i for i, margin in enumerate(kept) if margin.exceedance > RARE]
        proving = tuple(_with_room(kept, often) or _with_room(kept, range(len(kept))) or often)
        proving = proving or tuple(range(len(kept)))
        shown = min(proving, key=lambda i: abs(kept[i].exceedance - 0.05))
        unit = kept[shown].absolute + (kept[shown].ratio - 1) * kept[shown].exceedance
        return cls(
            margins=kept,
            at=tuple(margin.edge for margin in kept),
            lines=tuple(Margin(margin.ratio, margin.absolute) for margin in kept),
            shown=shown,
            proving=proving,
            proven=proving if chosen else (max(proving, key=lambda i: tells(kept[i]) / kept[i].noise),),
            grid=difference_grid(max(unit, _LEAST_UNIT)),
        )

    def fresh(self, weight: float) -> tuple[TwoSided, ...]:
        return _rounded(tuple(TwoSided.fresh(margin.exceedance, weight) for margin in self.margins))


def _with_room(margins: Sequence[EdgeMargin], among: Iterable[int]) -> list[int]:
    """Those edges at which a canary can be worse than is tolerated. Where the tolerance allows nearly every
    request to lie beyond an edge, every canary would be proven there."""
    return [
        i for i in among if margins[i].ratio * margins[i].exceedance + margins[i].absolute < MOST_TOLERATED
    ]


def edges_of(metric: Metric, baseline: Histogram) -> Edges:
    """The edges that decide. `baseline` and the result are turned so that more is worse."""
    ratio, absolute = metric.tolerance.ratio, metric.tolerance.absolute
    given = [_turned(metric, edge) for edge in metric.edges]
    found = metric.margins or edge_margins(baseline, ratio, absolute, given)
    if len(metric.edge_noise) == len(found):
        found = tuple(replace(m, noise=noise) for m, noise in zip(found, metric.edge_noise, strict=True))
    return Edges.of(found, chosen=_are_chosen(metric))


def _are_chosen(metric: Metric) -> bool:
    return bool(metric.margins or metric.edges)


def coarse_of(metric: Metric, baseline: Histogram) -> Coarse | None:
    """Why the buckets cannot show what is tolerated; None when they can, or the user chose the edges."""
    if _are_chosen(metric):
        return None
    return coarseness(baseline, metric.tolerance.ratio, metric.tolerance.absolute)


@dataclass(frozen=True, slots=True)
class LatencyTest:
    metric: Metric
    terms: Terms
    risk: float
    edges: Edges | None
    """None while the baseline is being learned."""
    learning: Histogram | None
    evidence: tuple[TwoSided, ...]
    running: Running
    canary: Moments
    """Of the share of decision edges that a request lies beyond."""
    control: Moments
    beyond: tuple[tuple[float, float], ...]
    """Requests of (canary, control) beyond each decision edge."""
    weighted: float
    """Sum over looks of information * difference at the shown edge."""
    interval: Interval
    mean: MeanTest
    """Judged where the buckets are too coarse."""
    coarse: Coarse | None = None
    """Where the buckets cannot show the tolerance: then they may object, and the mean has to prove and may
    object as well."""
    seen: Seen = field(default=_NOTHING, compare=False)
    """What both arms counted, for the quantiles that people read. It is not stored, because status must stay
    small: the operator counts anew when it was restarted."""
    margin: float = 1.0
    """How many tolerances this step has to prove."""

    @classmethod
    def fresh(cls, metric: Metric, plan: Plan, terms: Terms) -> LatencyTest:
        edges: Edges | None = None
        evidence: tuple[TwoSided, ...] = ()
        coarse: Coarse | None = None
        baseline = checks.histogram(metric, metric.baseline) if metric.baseline else None
        if metric.margins or (baseline is not None and sum(baseline.counts) > 0):
            edges = edges_of(metric, baseline or Histogram((), (0.0,)))
            weight = min(sum(baseline.counts), 200.0) if baseline else 2.0
            evidence = edges.fresh(weight)
            coarse = coarse_of(metric, baseline) if baseline else None
        noise = Noise.of(metric)
        blank = (
            Running.fresh(noise),
            Moments(),
            Moments(),
            ((0.0, 0.0),) * len(edges.at if edges else ()),
            0.0,
            Interval.fresh(_POINTS),
            MeanTest(metric.tolerance.ratio, noise.correlation),
        )
        return cls(metric, terms, plan.revert_risk, edges, None, evidence, *blank, coarse)

    @property
    def noise_known(self) -> bool:
        return self.running.noise.known

    def fold(self, canary: Arm, control: Arm | None, blames: bool = True) -> LatencyTest | Problem:
        if control is None:
            return Problem(ProblemKind.NO_DATA, "There are no series for the control.")
        slow, base = checks.histogram(self.metric, canary), checks.histogram(self.metric, control)
        if isinstance(canary, Histogram) and isinstance(control, Histogram):
            self = replace(self, seen=self.seen.add(canary, control))  # noqa: PLW0642
        if self.edges is None:
            return self._learn(base)
        if missing := [m.edge for m in self.edges.margins if m.edge not in slow.edges]:
            named = ", ".join(f"{_turned(self.metric, edge):g}" for edge in missing)
            return Problem(
                ProblemKind.NOT_COMPARABLE,
                f"The bucket edges {named} that decide are not counted (any more).",
            )
        return self._fold(self.edges, slow, base, blames)

    def _fold(self, edges: Edges, slow: Histogram, base: Histogram, blames: bool) -> LatencyTest:
        n1, n0 = sum(slow.counts), sum(base.counts)
        above1, above0 = (above_edges(h, edges) for h in (slow, base))
        blocks = [Block(n1, x1, n0, x0) for x1, x0 in zip(above1, above0, strict=True)]
        score1, score0 = (sum(above) / len(above) for above in (above1, above0))
        pair = Pair(n1, score1, n0, score0)
        phi = self._phi(pair.information)
        evidence = tuple(
            test.fold(
                block,
                line,
                phi * edge.noise,
                self.terms,
                blames=blames,
                proves=i in edges.proving,
                wide=widened_edge(edge, self.metric.tolerance.ratio, self.margin)
                if self.margin > 1
                else None,
                proof_phi=self.running.noise.for_proofs(phi) * edge.noise,
            )
            for i, (test, block, line, edge) in enumerate(
                zip(self.evidence, blocks, edges.lines, edges.margins, strict=True)
            )
        )
        shown = edges.shown
        p0 = self.evidence[shown].control.share
        bet = (min(max(p0 + self._difference(5.0), 1e-6), 0.999), p0)
        return replace(
            self,
            evidence=_rounded(evidence),
            running=self.running.fold(pair, self.canary.variance, self.control.variance),
            canary=self.canary.add(n1, score1, score_squares(above1)),
            control=self.control.add(n0, score0, score_squares(above0)),
            beyond=tuple((a + x, b + y) for (a, b), x, y in zip(self.beyond, above1, above0, strict=True)),
            weighted=self.weighted + _weighted(blocks[shown]),
            interval=self.interval.fold(edges.grid, share_bets(blocks[shown], 1.0, bet, phi)),
            mean=self.mean.fold(slow, base, self.margin, blames) if self.coarse else self.mean,
        )

    def _learn(self, base: Histogram) -> LatencyTest | Problem:
        seen = base
        if self.learning is not None and self.learning.edges == base.edges:
            counts = zip(self.learning.counts, base.counts, strict=True)
            seen = Histogram(base.edges, tuple(a + b for a, b in counts))
        if sum(seen.counts) < BASELINE_UNITS:
            return replace(self, learning=seen)
        edges = edges_of(self.metric, seen)
        coarse = coarse_of(self.metric, seen)
        return replace(
            self,
            learning=None,
            edges=edges,
            evidence=edges.fresh(BASELINE_UNITS),
            beyond=((0.0, 0.0),) * len(edges.at),
            coarse=coarse,
        )

    def _phi(self, information: float | None = None) -> float:
        return self.running.phi(self.canary.variance, self.control.variance, information)

    def _difference(self, drawn: float = 0.0) -> float:
        """Canary minus control beyond the shown edge, each look by its information; drawn to 0 by `drawn`."""
        information = self.running.information + drawn
        return self.weighted / information if information > 0 else 0.0

    def begin_step(self, step: StepTerms) -> LatencyTest:
        evidence = tuple(test.begin_step(step) for test in self.evidence)
        mean = self.mean.begin_step(carry=step.carry)
        begun = replace(self, evidence=evidence, margin=step.margin, mean=mean)
        return begun if step.carry else begun._at_another_load()

    def _at_another_load(self) -> LatencyTest:
        """Begin anew with the arms' difference: what was seen of it holds for the load before."""
        return replace(
            self,
            running=self.running.at_another_load(),
            weighted=0.0,
            interval=Interval.fresh(_POINTS),
        )

    def resume_step(self, step: StepTerms) -> LatencyTest:
        return replace(self, margin=step.margin)

    def reading(self) -> Reading:
        if self.edges is None:
            seen = sum(self.learning.counts) if self.learning else 0.0
            message = (
                f"The control's distribution is being learned: {seen:g} of {BASELINE_UNITS:g} observations."
            )
            nothing = ArmTotals(0.0, 0.0)
            waiting = Problem(ProblemKind.NO_DATA, message)
            return Reading(nothing, nothing, None, None, 0.0, 0.0, waiting=waiting)
        shown = self._told(self.edges)
        usual = shown == self.edges.shown
        margin = self.edges.lines[shown]
        phi = self._phi()
        p0 = self.evidence[shown].control.share
        n1, n0 = self.canary.n, self.control.n
        beyond1, beyond0 = self.beyond[shown]
        side = "below" if self.metric.direction is Direction.DECREASE_IS_BAD else "above"
        return Reading(
            canary=ArmTotals(n1, beyond1),
            control=ArmTotals(n0, beyond0),
            estimate=self._difference() if n1 and n0 and usual else None,
            interval95=self.interval.ends(self.edges.grid, -1.0) if n1 and usual else None,
            log_revert=self._log_revert(),
            log_promote=self._log_promote(self.edges),
            phi=phi,
            limit=min(margin.limit(p0), 1.0),
            tolerated=min(margin.limit(p0), 1.0) - p0,
            detectable=detectable(p0, (n1, n0), margin, phi, self.risk),
            waiting=self._too_coarse(),
            about=f"{side} {_turned(self.metric, self.edges.at[shown]):g} {self.metric.unit}".rstrip(),
            quantiles=self.seen.quantiles(),
            note=self.mean.sentence(self.metric.unit),
        )

    def _told(self, edges: Edges) -> int:
        """The edge that people are shown: where the canary is plainly worse, the one that shows it best."""
        against = [test.log_revert for test in self.evidence]
        worst = max(range(len(against)), key=lambda i: against[i])
        return worst if against[worst] >= max(_PLAIN, against[edges.shown] + 1) else edges.shown

    def _log_revert(self) -> float:
        """The average evidence of the edges, together with that of the mean where the buckets are too
        coarse."""
        edges = log_mean_e([test.revert for test in self.evidence], LOG_STAKES_WORSE)
        if self.coarse is None:
            return edges
        return log_sum([edges, self.mean.log_harm]) - math.log(2)

    def _log_promote(self, edges: Edges) -> float:
        """The least evidence among the edges that must be proven. The other edges show less, so they
        must only lean to the canary's side. Where the mean is judged, it has to prove."""
        if self.mean.looks:
            return self.mean.log_promote
        proven = min(self.evidence[i].log_promote for i in edges.proven)
        least = min(self.evidence[i].log_promote for i in edges.proving)
        return min(proven, least * _LEANS if least > 0 else least)

    def _too_coarse(self) -> Problem | None:
        if self.coarse is None or self.mean.looks:
            return None
        low, high = sorted(_turned(self.metric, edge) for edge in (self.coarse.low, self.coarse.high))
        sentence = Coarse(low, high).sentence(self.metric.tolerance.ratio, self.metric.unit)
        return Problem(ProblemKind.NOT_COMPARABLE, sentence)

    def dump(self) -> dict[str, Any]:
        state: dict[str, Any] = {}
        if self.learning is not None:
            state["learning"] = [pack(self.learning.edges, "d"), pack(self.learning.counts, "d")]
        if self.edges is None:
            return state | {"phi": pack(self.running.noise.dump(), "d")}
        edges = pack([m.edge for m in self.edges.margins], "d")
        margins = pack(
            [x for m in self.edges.margins for x in (m.ratio, m.absolute, m.exceedance, m.noise)], "f"
        )
        totals = [
            *self.running.dump_doubles(),
            *self.canary.dump(),
            *self.control.dump(),
            *chain.from_iterable(self.beyond),
            self.weighted,
        ]
        first = self.evidence[0]
        doubles = [*totals, *first.dump_shared()]
        own = (number for test in self.evidence for number in test.dump_own())
        singles = [*self.running.dump_singles(), *own, *self.interval.dump()]
        packed = {"d": pack(doubles, "d"), "f": pack(singles, "f")}
        if self.coarse is not None:
            packed["coarse"] = pack((self.coarse.low, self.coarse.high, *self.mean.dump()), "d")
        return state | {"edges": edges, "margins": margins} | packed

    @classmethod
    def load(cls, metric: Metric, plan: Plan, terms: Terms, state: dict[str, Any]) -> LatencyTest:
        blank = cls.fresh(replace(metric, baseline=None, margins=()), plan, terms)
        blank = replace(blank, metric=metric)
        if "edges" not in state:
            running = Running.fresh(Noise.load(metric, iter(unpack(state["phi"], "d"))))
            learned = [unpack(text, "d") for text in state.get("learning", ())]
            return replace(
                blank, running=running, learning=Histogram(learned[0], learned[1]) if learned else None
            )
        margins = iter(unpack(state["margins"], "f"))
        frozen = Edges.of(
            (EdgeMargin(edge, *(next(margins) for _ in range(4))) for edge in unpack(state["edges"], "d")),
            chosen=_are_chosen(metric),
        )
        doubles, singles = iter(unpack(state["d"], "d")), iter(unpack(state["f"], "f"))
        running = Running.load(metric, doubles, singles)
        coarse = iter(unpack(state["coarse"], "d")) if "coarse" in state else None
        if coarse is not None:
            limits = Coarse(next(coarse), next(coarse))
            mean = MeanTest.load(metric.tolerance.ratio, running.noise.correlation, coarse)
            blank = replace(blank, coarse=limits, mean=mean)
        return replace(
            blank,
            edges=frozen,
            running=running,
            canary=Moments.load(doubles),
            control=Moments.load(doubles),
            beyond=tuple((next(doubles), next(doubles)) for _ in frozen.at),
            weighted=next(doubles),
            evidence=_evidence(singles, TwoSided.load_shared(doubles), len(frozen.margins)),
            interval=Interval.load(singles, _POINTS),
        )


def _rounded(evidence: tuple[TwoSided, ...]) -> tuple[TwoSided, ...]:
    """The evidence as it is stored: in single precision, because many edges must fit."""
    numbers = single([number for test in evidence for number in test.dump_own()])
    parts = (numbers[i : i + OWN] for i in range(0, len(numbers), OWN))
    return tuple([test.with_own(part) for test, part in zip(evidence, parts, strict=True)])


def _evidence(numbers: Iterator[float], shared: TwoSided, edges: int) -> tuple[TwoSided, ...]:
    return tuple(TwoSided.load_own(numbers, shared) for _ in range(edges))


def above_edges(histogram: Histogram, edges: Edges) -> list[float]:
    """How many values lie beyond each decision edge, which must all be edges of the histogram."""
    beyond = list(accumulate(reversed(histogram.counts)))
    return [beyond[place] for place in _places(histogram.edges, edges.at)]


def above_edge(histogram: Histogram, edge: float) -> float:
    """How many values lie beyond one of its edges."""
    return sum(histogram.counts[histogram.edges.index(edge) + 1 :])


@lru_cache(maxsize=256)
def _places(edges: tuple[float, ...], wanted: tuple[float, ...]) -> tuple[int, ...]:
    """Which bucket, counted from the last one, is the first beyond each of the wanted edges; asked at every
    look for the same few."""
    return tuple(len(edges) - 1 - edges.index(edge) for edge in wanted)


def score_squares(above: Sequence[float]) -> float:
    """Sum over requests of the squared share of edges they lie beyond; `above` per edge, ascending."""
    return sum((2 * i + 1) * count for i, count in enumerate(above)) / len(above) ** 2


def _weighted(block: Block) -> float:
    if block.n1 == 0 or block.n0 == 0:
        return 0.0
    return block.n1 * block.n0 / (block.n1 + block.n0) * (block.x1 / block.n1 - block.x0 / block.n0)


def _turned(metric: Metric, edge: float) -> float:
    """Between the edge as the provider names it and as the test sees it: 1 / edge where less is worse."""
    if metric.direction is not Direction.DECREASE_IS_BAD:
        return edge
    return 1 / edge if edge else math.inf
