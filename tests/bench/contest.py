"""The methods side by side on one world: the operator's defaults, and its peers'."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from modelrollout.analysis.betting.block import Margin
from modelrollout.analysis.betting.information import rate
from modelrollout.analysis.inputs.metric import EdgeMargin, Metric, Tolerance
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.packs.limits import BEYOND_CONTROL
from tests.bench import many, peers
from tests.bench.many import Array, Counts, Rules
from tests.bench.report import Row
from tests.bench.worlds import TTFT, Size, Slow, World

LOOKS = 200
DELTA = 0.005
KAYENTA_ROLLOUTS = 200
JUDGED = range(10, LOOKS + 1, 5)
"""The looks at which Kayenta judges all intervals so far."""


def plan_of(metrics: int = 1, delta: float = DELTA, catastrophic: float | None = BEYOND_CONTROL) -> Plan:
    names = (f"m{i}" for i in range(metrics))
    return Plan(
        tuple(Metric(n, tolerance=Tolerance(1, delta), catastrophic=catastrophic) for n in names),
        planned_looks=LOOKS,
    )


def rules_of(world: World, plan: Plan, delta: float = DELTA, noise: bool = True) -> Rules:
    """The operator's defaults: cap, restarts, noise from history and watched. `noise` off: independence."""
    rules = Rules(
        Margin(1, delta), (world.prior, 200.0), watch=noise, cap=plan.cap, planned=plan.planned_looks
    )
    return replace(rules, phi=world.phi, short=world.short) if noise else rules


def reverted(world: World, plan: Plan, rules: Rules) -> Array:
    """The look of the Fail verdict of a rollout with one ratio metric, catastrophic rule included."""
    phi = many.phi_of(world.counts, rules)
    against, _ = many.shares(world.counts, rules, phi, proofs=False)
    hit = against >= -math.log(plan.revert_risk)
    if plan.catastrophic_risk:
        broken = many.breakdown(world.counts, rules, Margin(1, BEYOND_CONTROL))
        hit |= broken >= -math.log(plan.catastrophic_risk)
    return many.first(hit)


def passed(world: World, plan: Plan, rules: Rules) -> Array:
    _, proof = many.shares(world.counts, rules)
    hit = proof >= -math.log(plan.miss_risk)
    hit[:, : plan.minimum_looks - 1] = False
    return many.first(hit)


def on_shares(world: World, per_look: int, since: int = 0, delta: float = DELTA) -> list[Row]:
    """All methods on one ratio metric."""
    counts, plan = world.counts, plan_of(delta=delta)
    size = Size(*counts.x1.shape)
    bound = _bound(counts, since, delta, plan)
    mine = reverted(world, plan, rules_of(world, plan, delta))
    alike = reverted(world, plan, rules_of(world, plan, delta, noise=False))
    with np.errstate(invalid="ignore", divide="ignore"):
        bad, base = counts.x1 / counts.n1, counts.x0 / counts.n0
    some = min(KAYENTA_ROLLOUTS, size.rollouts)
    hits = {
        "ModelRollout": mine,
        "ModelRollout, independence assumed": alike,
        "Argo, documented: ≥ 95 %, failureLimit 3": many.first(peers.argo(1 - bad < 0.95, 3)),
        "Argo, ≥ 99 %, failureLimit 0": many.first(peers.argo(1 - bad < 0.99, 0)),
        "Flagger, documented: ≥ 99 %, threshold 5": many.first(peers.flagger(1 - bad < 0.99, 5)),
        f"Kayenta ({some} rollouts)": many.first(peers.kayenta(bad[:some], base[:some], JUDGED)),
    }
    return [Row(name, hit, size.looks, per_look, since, bound) for name, hit in hits.items()]


def _bound(counts: Counts, since: int, delta: float, plan: Plan) -> float | None:
    """From the counts at hand: the truth is what many rollouts show on average."""
    n1, n0 = counts.n1[:, since:], counts.n0[:, since:]
    p1, p0 = counts.x1[:, since:].sum() / n1.sum(), counts.x0[:, since:].sum() / n0.sum()
    margin, share = Margin(1, delta), float(n1.sum() / (n1.sum() + n0.sum()))
    if p1 <= margin.limit(p0) * 1.02:
        return None
    return math.log(1 / plan.false_revert_risk) / rate(float(p1), float(p0), share, margin)


def on_latency(
    beyond: tuple[Array, Array], per_look: tuple[int, int], margins: tuple[EdgeMargin, ...], slow: Slow
) -> list[Row]:
    """All methods on one histogram; `beyond` are the arms' counts beyond every edge."""
    size = Size(*beyond[0].shape[:2])
    plan = plan_of(catastrophic=None)
    index = _edges(margins)
    lines = [Margin(m.ratio, m.absolute) for m in margins]
    units = _units(size, per_look)
    against = against_latency(beyond, per_look, margins, cap=plan.cap)
    canary, control = (peers.p95(b, u, TTFT) for b, u in zip(beyond, units, strict=True))
    over = canary > 1.1 * control
    some = min(KAYENTA_ROLLOUTS, size.rollouts)
    hits = {
        "ModelRollout": against >= -math.log(plan.revert_risk),
        "Argo, p95 ≤ 1.1 × control, failureLimit 0": peers.argo(over, 0),
        "Argo, the same with the documented failureLimit 3": peers.argo(over, 3),
        "Flagger, documented: p95 ≤ 0.5 s, threshold 5": peers.flagger(canary > 0.5, 5),
        "Flagger, p95 ≤ 1 s, threshold 5": peers.flagger(canary > 1.0, 5),
        f"Kayenta on p95 ({some} rollouts)": peers.kayenta(canary[:some], control[:some], JUDGED),
    }
    share = per_look[0] / sum(per_look)
    rates = [
        rate(float(p), m.exceedance, share, line)
        for p, m, line in zip(slow.beyond()[index], margins, lines, strict=True)
        if p > 1.02 * line.limit(m.exceedance)
    ]
    bound = math.log(1 / plan.false_revert_risk) / max(rates) if rates else None
    return [Row(name, many.first(hit), LOOKS, per_look[0], 0, bound) for name, hit in hits.items()]


def against_latency(
    beyond: tuple[Array, Array],
    per_look: tuple[int, int],
    margins: tuple[EdgeMargin, ...],
    cap: float | None,
    watch: bool = True,
) -> Array:
    """Log of the evidence against the canary, look by look, with what the margins know of the control."""
    rules = [
        Rules(Margin(m.ratio, m.absolute), (m.exceedance, 200.0), cap=cap, planned=LOOKS, watch=watch)
        for m in margins
    ]
    index, size = _edges(margins), Size(*beyond[0].shape[:2])
    arms = (beyond[0][..., index], beyond[1][..., index])
    return many.latency(arms, _units(size, per_look), rules, proofs=False)[0]


def _edges(margins: tuple[EdgeMargin, ...]) -> list[int]:
    return [int(np.flatnonzero(m.edge == TTFT)[0]) for m in margins]


def _units(size: Size, per_look: tuple[int, int]) -> tuple[Array, Array]:
    return np.full(size, float(per_look[0])), np.full(size, float(per_look[1]))


def on_many(worlds: list[World], per_look: int) -> list[Row]:
    """One rollout with a metric per world, all of equal weight."""
    plan = plan_of(len(worlds), delta=0.01, catastrophic=None)
    size = Size(*worlds[0].counts.x1.shape)
    some = min(KAYENTA_ROLLOUTS // 2, size.rollouts)
    logs, argo, flagger = [], np.zeros(size, bool), np.zeros(size, bool)
    kayenta = np.zeros((some, size.looks), bool)
    for world in worlds:
        counts = world.counts
        logs.append(many.shares(counts, rules_of(world, plan, 0.01), proofs=False)[0])
        bad, base = counts.x1 / counts.n1, counts.x0 / counts.n0
        argo |= peers.argo(1 - bad < 0.95, 3)
        flagger |= peers.flagger(1 - bad < 0.98, 5)
        kayenta |= peers.kayenta(bad[:some], base[:some], JUDGED)
    hits = {
        "ModelRollout, weighted average": many.average(logs) >= -math.log(plan.revert_risk),
        "Argo, each ≥ 95 %, failureLimit 3": argo,
        "Flagger, each ≥ 98 %, threshold 5": flagger,
        f"Kayenta, any metric High ({some} rollouts)": kayenta,
    }
    bounds = [b for b in (_bound(world.counts, 0, 0.01, plan) for world in worlds) if b is not None]
    bound = 1 / sum(1 / b for b in bounds) if bounds else None
    return [Row(name, many.first(hit), size.looks, per_look, 0, bound) for name, hit in hits.items()]
