"""What the control's own past says about an analysis, before it judges anybody.

Two halves of the control's pods are the same version: whatever the engine says about them is noise. From
them come the design effect, how often such halves would have been "reverted", and whether the tolerances
can be tested at all with this noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from modelrollout.analysis.betting.information import units_to_pass
from modelrollout.analysis.evidence.decision import VerdictKind
from modelrollout.analysis.evidence.evidence import Evidence
from modelrollout.analysis.inputs.metric import Kind, Metric, Prior
from modelrollout.analysis.inputs.observation import Arm, Events, Histogram, Look, Observation, Problem
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.kinds import checks
from modelrollout.analysis.kinds.drift import placed
from modelrollout.analysis.kinds.latency import above_edges, coarse_of, edges_of, score_squares
from modelrollout.analysis.noise.design_effect import design_effect, jump_effect
from modelrollout.analysis.noise.dispersion import Moments, Pair
from modelrollout.analysis.planning.planner import bounds_of

LEAST_LOOKS = 30
"""Looks of history below which no design effect is claimed."""

_LEAST_SEEN = 100.0
"""With fewer requests beyond an edge, nothing is said about whether they come in bursts."""
Halves = tuple[Arm, Arm]
"""One look of history: one half of the control's pods and the other."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A metric with what was learned put into it, and what a person should know."""

    metric: Metric
    """With prior or baseline, phi and what belongs to it filled in, as far as the history allows."""
    looks: int
    """Usable looks of history."""
    reverted: int
    """Rollouts of the control against itself that the engine would have reverted ..."""
    rollouts: int
    """... out of so many, one after the other in the history."""
    warning: str | None


def calibrate(metric: Metric, history: Sequence[Halves], plan: Plan, looks: int) -> Calibration:
    """Learn from halves of the control, oldest look first, at the plan's look length. `looks` is how long a
    rollout is expected to be. A metric without enough history comes back as it was given."""
    usable = [
        halves for halves in history if not isinstance(checks.check(metric, Observation(*halves)), Problem)
    ]
    if metric.kind is Kind.SCALAR or len(usable) < LEAST_LOOKS:
        return Calibration(metric, len(usable), 0, 0, None)
    learned = _with_past(metric, usable)
    if not metric.own_noise:
        return Calibration(learned, len(usable), 0, 0, None)
    pairs, variance = _pairs(learned, usable)
    moved = [pair.information for pair in pairs if pair.information > 0]
    if len(moved) < LEAST_LOOKS:
        return Calibration(learned, len(moved), 0, 0, None)
    phi, short = design_effect(pairs, variance), jump_effect(pairs, variance)
    exposure = sum(moved) / len(moved)
    edge_noise = _edge_noise(learned, usable, phi)
    learned = replace(
        learned, phi=phi, phi_short=min(short, phi), phi_exposure=exposure, edge_noise=edge_noise
    )
    reverted, rollouts = _against_itself(learned, usable, plan, looks)
    warning = _warning(learned, pairs, plan, looks, (reverted, rollouts))
    return Calibration(learned, len(moved), reverted, rollouts, warning)


def _with_past(metric: Metric, usable: Sequence[Halves]) -> Metric:
    both = [arm for halves in usable for arm in halves]
    if metric.kind is Kind.HISTOGRAM:
        histograms = [arm for arm in both if isinstance(arm, Histogram)]
        edges = histograms[-1].edges  # the buckets of today
        counts = tuple(map(sum, zip(*(h.counts for h in histograms if h.edges == edges), strict=True)))
        return replace(metric, baseline=metric.baseline or Histogram(edges, counts))
    if metric.kind in (Kind.COUNTING, Kind.DRIFT):
        return metric
    blocks = [checks.block(metric, arm, None) for arm in both]
    n, bad = sum(b.n1 for b in blocks), sum(b.x1 for b in blocks)
    if metric.prior is not None or n <= 0:
        return metric
    return replace(metric, prior=Prior((bad + 0.5) / (n + 1), min(n, 200.0)))


def _pairs(metric: Metric, usable: Sequence[Halves]) -> tuple[list[Pair], float | None]:
    """The looks as pairs, and the variance of one unit where it is not that of good or bad."""
    if metric.kind is Kind.COUNTING:
        events = [(a, b) for a, b in usable if isinstance(a, Events) and isinstance(b, Events)]
        pairs = [Pair(a.exposure, a.count, b.exposure, b.count) for a, b in events]
        exposure = sum(p.n1 + p.n0 for p in pairs)
        return pairs, (sum(p.x1 + p.x0 for p in pairs) + 0.5) / exposure if exposure > 0 else None
    if metric.kind is Kind.HISTOGRAM:
        return _histogram_pairs(metric, usable)
    if metric.kind is Kind.DRIFT:
        return _placed_pairs(usable)
    blocks = [checks.block(metric, a, b) for a, b in usable]
    alone = metric.tolerance.ratio == 0
    pairs = [Pair(b.n1, b.x1, b.n0, b.x0, alone) for b in blocks]
    if not any(b.levels1 for b in blocks):
        return pairs, None
    squares = sum(v * v * c for b in blocks for v, c in (*b.levels1, *b.levels0))
    total = Moments(sum(b.n1 + b.n0 for b in blocks), sum(b.x1 + b.x0 for b in blocks), squares)
    return pairs, total.variance


def _histogram_pairs(metric: Metric, usable: Sequence[Halves]) -> tuple[list[Pair], float | None]:
    if metric.baseline is None:
        return [], None
    edges = edges_of(metric, checks.histogram(metric, metric.baseline))
    wanted = {m.edge for m in edges.margins}
    pairs, total = [], Moments()
    for halves in usable:
        a, b = (checks.histogram(metric, half) for half in halves)
        if not wanted <= set(a.edges):
            continue
        n1, n0, above1, above0 = sum(a.counts), sum(b.counts), above_edges(a, edges), above_edges(b, edges)
        x1, x0 = (sum(above) / len(above) for above in (above1, above0))
        pairs.append(Pair(n1, x1, n0, x0))
        total = total.add(n1 + n0, x1 + x0, score_squares(above1) + score_squares(above0))
    return pairs, total.variance


def _placed_pairs(usable: Sequence[Halves]) -> tuple[list[Pair], float | None]:
    pairs, total = [], Moments()
    for a, b in usable:
        if isinstance(a, Histogram) and isinstance(b, Histogram):
            (n1, x1, s1), (n0, x0, s0) = placed(a), placed(b)
            pairs.append(Pair(n1, x1, n0, x0))
            total = total.add(n1 + n0, x1 + x0, s1 + s0)
    return pairs, total.variance


def _edge_noise(metric: Metric, usable: Sequence[Halves], phi: float) -> tuple[float, ...]:
    """For each deciding edge its own design effect over that of all together; at least 1."""
    if metric.kind is not Kind.HISTOGRAM or metric.baseline is None:
        return ()
    edges = edges_of(metric, checks.histogram(metric, metric.baseline))
    turned = [tuple(checks.histogram(metric, half) for half in halves) for halves in usable]
    counted = [
        [(sum(h.counts), above_edges(h, edges)) for h in halves]
        for halves in turned
        if all(set(edges.at) <= set(h.edges) for h in halves)
    ]
    found = []
    for i, edge in enumerate(edges.margins):
        pairs = [Pair(n1, above1[i], n0, above0[i]) for (n1, above1), (n0, above0) in counted]
        seen = sum(p.x1 + p.x0 for p in pairs)
        own = design_effect(pairs) if edge.exceedance > 0 and seen >= _LEAST_SEEN else phi
        found.append(max(own / phi, 1.0))
    return tuple(found)


def _against_itself(metric: Metric, usable: Sequence[Halves], plan: Plan, looks: int) -> tuple[int, int]:
    """How many of the rollouts that fit into the history would have been reverted."""
    alone = replace(plan, metrics=(metric,), planned_looks=looks)
    reverted, rollouts = 0, len(usable) // looks
    for begin in range(0, rollouts * looks, looks):
        evidence = Evidence.fresh(alone)
        for i, (a, b) in enumerate(usable[begin : begin + looks]):
            evidence, verdict = evidence.fold(Look(i, i + 1), {metric.name: Observation(a, b)})
            if verdict.kind is VerdictKind.FAIL:
                reverted += 1
                break
    return reverted, rollouts


def _warning(
    metric: Metric, pairs: Sequence[Pair], plan: Plan, looks: int, itself: tuple[int, int]
) -> str | None:
    reverted, rollouts = itself
    if reverted:
        return (
            f"Judged against itself on {metric.name}, stable would have been reverted in {reverted} of "
            f"{rollouts} past rollouts: its pods differ by more than is tolerated. Widen the tolerance, or "
            "find the pod."
        )
    if metric.baseline is not None:
        coarse = coarse_of(metric, checks.histogram(metric, metric.baseline))
        if coarse is not None:
            return f"{metric.name}: {coarse.sentence(metric.tolerance.ratio, metric.unit)}"
    needed = _looks_to_pass(metric, pairs, plan)
    if needed <= looks:
        return None
    often = "never" if math.isinf(needed) else f"only after about {needed:,.0f} looks"
    return (
        f"With this traffic and its own noise (design effect {metric.phi:.1f}) an equal canary is proven on "
        f"{metric.name} {often}, {looks} are planned. Widen the tolerance, lengthen the steps, or make it "
        "not critical."
    )


def _looks_to_pass(metric: Metric, pairs: Sequence[Pair], plan: Plan) -> float:
    """At the traffic of the history, both arms getting what the halves got."""
    if metric.name not in plan.critical or metric.kind is Kind.COUNTING:
        return 0.0
    units = sum(p.n1 for p in pairs) / len(pairs)
    phi, risk = metric.phi or 1.0, plan.miss_risk
    most = max(units_to_pass(max(p0, 1e-6), 0.5, margin, phi, risk) for margin, p0 in bounds_of(metric))
    return most / units if units > 0 else math.inf
