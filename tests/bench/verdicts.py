"""How often verdicts are wrong, and how long the right ones take: `make bench-verdicts`.

Prints Markdown tables. Every scenario draws from its own generator, so figures do not depend on which ones
run. `--quick` uses a tenth of the rollouts, `--only a b` runs some scenarios.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from modelrollout.analysis.block import Margin
from modelrollout.analysis.information import rate
from modelrollout.analysis.metric import Metric, Tolerance
from modelrollout.analysis.plan import Plan
from tests.bench import many, peers
from tests.bench.many import Array, Counts, Rules
from tests.bench.worlds import TTFT, Size, Slow, World, latencies, noisy, steady, ttft_margins

LOOKS = 200
SEED = 20261121
CATASTROPHIC = 0.2
DELTA = 0.005
KAYENTA_ROLLOUTS = 400


@dataclass(frozen=True)
class Row:
    """What one method did in one scenario."""

    method: str
    hits: Array
    """Look of the decision per rollout, from 0; the number of looks where there was none."""
    looks: int
    per_look: int
    since: int = 0
    """The look at which the regression began."""
    bound: float | None = None
    """The fewest canary requests that any valid test needs, in nats: ln(1/alpha) / KL."""

    def cells(self) -> list[str]:
        share = float((self.hits < self.looks).mean())
        error = 1.96 * math.sqrt(max(share * (1 - share), 0.25 / len(self.hits)) / len(self.hits))
        median, ninety = self._requests(0.5), self._requests(0.9)
        ratio = f"{median / self.bound:.2f}" if self.bound and math.isfinite(median) else "–"
        return [
            self.method,
            f"{100 * share:.2f} (±{100 * error:.2f})",
            _number(median),
            _number(ninety),
            ratio,
        ]

    def _requests(self, quantile: float) -> float:
        delay = np.where(self.hits < self.looks, (self.hits + 1 - self.since) * self.per_look, np.inf)
        return float(np.quantile(delay, quantile, method="higher"))


HEAD = ["method", "decided, % of rollouts", "canary requests: median", "90 %", "median / bound"]


def _number(value: float) -> str:
    return f"{value:,.0f}" if math.isfinite(value) else "–"


def table(title: str, rows: list[Row]) -> None:
    print(f"\n### {title}\n")
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    for row in rows:
        print(f"| {' | '.join(row.cells())} |")
    sys.stdout.flush()


# ── the rules that are compared ─────────────────────────────────────────────────────────────────


def plan_of(metrics: int = 1, delta: float = DELTA, catastrophic: float | None = CATASTROPHIC) -> Plan:
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
        broken = replace(rules, margin=Margin(1, CATASTROPHIC), cap=None)
        hit |= many.shares(world.counts, broken, phi, proofs=False)[0] >= -math.log(plan.catastrophic_risk)
    return many.first(hit)


def passed(world: World, plan: Plan, rules: Rules) -> Array:
    _, proof = many.shares(world.counts, rules)
    hit = proof >= -math.log(plan.miss_risk)
    hit[:, : plan.minimum_looks - 1] = False
    return many.first(hit)


def on_shares(
    world: World, per_look: int, since: int = 0, delta: float = DELTA, ours: str = "ModelRollout"
) -> list[Row]:
    """All methods on one ratio metric."""
    counts, plan = world.counts, plan_of(delta=delta)
    size = Size(*counts.x1.shape)
    bound = _bound(counts, since, delta, plan)
    mine = reverted(world, plan, rules_of(world, plan, delta))
    alike = reverted(world, plan, rules_of(world, plan, delta, noise=False))
    with np.errstate(invalid="ignore", divide="ignore"):
        bad, base = counts.x1 / counts.n1, counts.x0 / counts.n0
    some = min(KAYENTA_ROLLOUTS, size.rollouts)
    theirs = [
        ("Argo, documented: ≥ 95 %, failureLimit 3", peers.argo(1 - bad < 0.95, 3)),
        ("Argo, ≥ 99 %, failureLimit 0", peers.argo(1 - bad < 0.99, 0)),
        ("Flagger, documented: ≥ 99 %, threshold 5", peers.flagger(1 - bad < 0.99, 5)),
        (f"Kayenta, every 5 looks from 10 ({some} rollouts)", peers.kayenta(bad[:some], base[:some], range(10, size.looks + 1, 5))),
    ]  # fmt: skip
    rows = [Row(ours, mine, size.looks, per_look, since, bound)]
    rows.append(Row(f"{ours}, independence assumed", alike, size.looks, per_look, since, bound))
    return rows + [Row(name, many.first(hit), size.looks, per_look, since, bound) for name, hit in theirs]


def _bound(counts: Counts, since: int, delta: float, plan: Plan) -> float | None:
    """From the counts at hand: the truth is what many rollouts show on average."""
    n1, n0 = counts.n1[:, since:], counts.n0[:, since:]
    p1, p0 = counts.x1[:, since:].sum() / n1.sum(), counts.x0[:, since:].sum() / n0.sum()
    margin, share = Margin(1, delta), float(n1.sum() / (n1.sum() + n0.sum()))
    if p1 <= margin.limit(p0) * 1.02:
        return None
    return math.log(1 / plan.false_revert_risk) / rate(float(p1), float(p0), share, margin)


# ── scenarios ───────────────────────────────────────────────────────────────────────────────────

Scale = Callable[[int], int]
SPLITS = ((100, 100, "100 + 100 requests a look"), (10, 90, "10 + 90 requests a look"))


def healthy(rng: np.random.Generator, scale: Scale) -> None:
    for n1, n0, name in SPLITS:
        for bad, what in ((0.005, "A/A, 99.5 %"), (0.01, "A/A, 99 %")):
            world = steady(rng, Size(scale(4000), LOOKS), (n1, n0), (bad, bad))
            table(f"{what} in both arms, {name}: false reverts over {LOOKS} looks", on_shares(world, n1))


def on_the_margin(rng: np.random.Generator, scale: Scale) -> None:
    for n1, n0, name in SPLITS:
        world = steady(rng, Size(scale(4000), LOOKS), (n1, n0), (0.01, 0.005))
        table(
            f"on the margin, 99.5 → 99.0 % with 0.5 pp tolerated, {name}: false reverts", on_shares(world, n1)
        )


def regressions(rng: np.random.Generator, scale: Scale) -> None:
    for n1, n0, name in SPLITS:
        for bad in (0.02, 0.03, 0.10, 0.50):
            world = steady(rng, Size(scale(1000), LOOKS), (n1, n0), (bad, 0.005))
            table(f"99.5 → {100 * (1 - bad):g} %, {name}", on_shares(world, n1))


def late(rng: np.random.Generator, scale: Scale) -> None:
    onset = 100
    bad = np.where(np.arange(LOOKS) < onset, 0.005, 0.03)
    world = steady(rng, Size(scale(1000), LOOKS), (100, 100), (bad, 0.005))
    table("99.5 → 97 % from look 101 on, 100 + 100: requests since then", on_shares(world, 100, since=onset))


def incident(rng: np.random.Generator, scale: Scale) -> None:
    t = np.arange(LOOKS)
    n1 = np.round(200 * np.where(t < 60, 0.05, np.where(t < 120, 0.25, 0.5)))
    bad = np.where(t < 120, 0.005, 0.02)
    world = steady(rng, Size(scale(2000), LOOKS), (n1, 200 - n1), (bad, bad))
    rows = on_shares(world, 0)
    strict = plan_of(delta=0.0)
    rules = rules_of(world, strict, 0.0)
    rows.insert(1, Row("ModelRollout, nothing tolerated", reverted(world, strict, rules), LOOKS, 0))
    table("an incident hits both arms while the weight goes 5 → 25 → 50 %: false reverts", rows)


def noise(rng: np.random.Generator, scale: Scale) -> None:
    for sd, lag in ((0.0, 0.0), (0.5, 0.0), (1.0, 0.0), (0.5, 0.8), (1.0, 0.8)):
        for bad, what in ((0.03, "on the margin, 2 → 3 % with 1 pp tolerated"), (0.06, "2 → 6 %")):
            world = noisy(rng, Size(scale(1000), LOOKS), 100, (bad, 0.02), (sd, lag))
            phi = float(np.median(world.phi))
            title = f"arms with noise of their own (sd {sd}, lag-1 {lag}; median phi {phi:.1f}), {what}"
            table(title, on_shares(world, 100, delta=0.01))


def slow_first_token(rng: np.random.Generator, scale: Scale) -> None:
    margins = ttft_margins(rng, 1.10)
    index = [int(np.flatnonzero(m.edge == TTFT)[0]) for m in margins]
    listed = ", ".join(f"{m.edge:g} s: {m.ratio:.2f} × + {m.absolute:g}" for m in margins)
    print(f"\nTime to the first token, vLLM's buckets, 10 % slower tolerated. Margins beyond {listed}.")
    for n1, n0, name in SPLITS:
        for slow, what in (
            (Slow(), "A/A"), (Slow(1.1), "+10 % (on the margin)"), (Slow(1.2), "+20 %"), (Slow(1.5), "+50 %"),
            (Slow(2.0), "+100 %"), (Slow(1.0, 0.03), "3 % of requests ten times slower"),
        ):  # fmt: skip
            null = slow.factor <= 1.1 and not slow.tail
            size = Size(scale(1500 if null else 1000), LOOKS)
            beyond = [latencies(rng, size, n, s) for n, s in ((n1, slow), (n0, Slow()))]
            title = f"time to the first token, {what}, {name}"
            table(title, _on_latency((beyond[0], beyond[1]), (n1, n0), margins, index, slow))


def _on_latency(
    beyond: tuple[Array, Array], n: tuple[int, int], margins, index: list[int], slow: Slow
) -> list[Row]:
    size = Size(*beyond[0].shape[:2])
    plan = plan_of(catastrophic=None)
    rules = [
        Rules(Margin(m.ratio, m.absolute), (m.exceedance, 200.0), cap=plan.cap, planned=LOOKS)
        for m in margins
    ]
    units = (np.full(size, float(n[0])), np.full(size, float(n[1])))
    against, _ = many.latency((beyond[0][..., index], beyond[1][..., index]), units, rules)
    quantile = [peers.p95(b, u, TTFT) for b, u in zip(beyond, units, strict=True)]
    some = min(KAYENTA_ROLLOUTS // 2, size.rollouts)
    over = quantile[0] > 1.1 * quantile[1]
    share = n[0] / sum(n)
    true = slow.beyond()[index]
    rates = [
        rate(float(p), m.exceedance, share, Margin(m.ratio, m.absolute))
        for p, m in zip(true, margins, strict=True)
        if p > 1.02 * Margin(m.ratio, m.absolute).limit(m.exceedance)
    ]
    bound = math.log(1 / plan.false_revert_risk) / max(rates) if rates else None
    hits = [
        ("ModelRollout", many.first(against >= -math.log(plan.revert_risk))),
        ("Argo, p95 ≤ 1.1 × control, failureLimit 0", many.first(peers.argo(over, 0))),
        ("Argo, documented limit: failureLimit 3", many.first(peers.argo(over, 3))),
        ("Flagger, documented: p95 ≤ 0.5 s, threshold 5", many.first(peers.flagger(quantile[0] > 0.5, 5))),
        ("Flagger, p95 ≤ 1 s, threshold 5", many.first(peers.flagger(quantile[0] > 1.0, 5))),
        (f"Kayenta on p95, every 5 looks from 10 ({some} rollouts)", many.first(peers.kayenta(quantile[0][:some], quantile[1][:some], range(10, LOOKS + 1, 5)))),
    ]  # fmt: skip
    return [Row(name, hit, LOOKS, n[0], 0, bound) for name, hit in hits]


def many_metrics(rng: np.random.Generator, scale: Scale) -> None:
    plan = plan_of(8, delta=0.01, catastrophic=None)
    size = Size(scale(1500), LOOKS)

    def draw(bad: float) -> World:
        return steady(rng, size, (50, 50), (bad, 0.01))

    cases = (([0.01] * 8, "A/A"), ([0.02] * 8, "all on the margin"), ([0.04] + [0.01] * 7, "one of them 1 → 4 %"), ([0.04] * 3 + [0.01] * 5, "three of them 1 → 4 %"))  # fmt: skip
    for bads, what in cases:
        logs, flags, alone = [], np.zeros(size, bool), np.zeros(size, bool)
        kayenta = np.zeros((min(200, size.rollouts), LOOKS), bool)
        for bad in bads:
            world = draw(bad)
            evidence, _ = many.shares(world.counts, rules_of(world, plan, 0.01), proofs=False)
            logs.append(evidence)
            shares = world.counts.x1 / world.counts.n1
            alone |= peers.argo(1 - shares < 0.95, 3)
            flags |= peers.flagger(1 - shares < 0.98, 5)
            some = len(kayenta)
            kayenta |= peers.kayenta(
                shares[:some], (world.counts.x0 / world.counts.n0)[:some], range(10, LOOKS + 1, 5)
            )
        rows = [
            Row("ModelRollout, weighted average", many.first(many.average(logs) >= -math.log(plan.revert_risk)), LOOKS, 50),
            Row("Argo, each ≥ 95 %, failureLimit 3", many.first(alone), LOOKS, 50),
            Row("Flagger, each ≥ 98 %, threshold 5", many.first(flags), LOOKS, 50),
            Row(f"Kayenta, any metric High ({len(kayenta)} rollouts)", many.first(kayenta), LOOKS, 50),
        ]  # fmt: skip
        table(f"8 metrics at once, 1 % bad, 1 pp tolerated, 50 + 50 requests a look: {what}", rows)


def passing(rng: np.random.Generator, scale: Scale) -> None:
    """The other side: how long a pass takes, and how often a bad version gets one."""
    for n1, n0, name in SPLITS:
        rows = []
        for delta in (0.005, 0.01):
            plan = plan_of(delta=delta)
            equal = steady(rng, Size(scale(2000), LOOKS), (n1, n0), (0.005, 0.005))
            worse = steady(rng, Size(scale(4000), LOOKS), (n1, n0), (0.005 + delta, 0.005))
            tolerated = f"{100 * delta:g} pp tolerated"
            margin, share = Margin(1, delta), n1 / (n1 + n0)
            bound = math.log(1 / plan.miss_risk) / rate(0.005, 0.005, share, margin)
            rows.append(
                Row(
                    f"equal, {tolerated}",
                    passed(equal, plan, rules_of(equal, plan, delta)),
                    LOOKS,
                    n1,
                    0,
                    bound,
                )
            )
            rows.append(
                Row(
                    f"on the margin, {tolerated}",
                    passed(worse, plan, rules_of(worse, plan, delta)),
                    LOOKS,
                    n1,
                )
            )
        table(f"passed by ModelRollout within {LOOKS} looks, 99.5 %, {name}", rows)


SCENARIOS = {
    f.__name__: f
    for f in (
        healthy,
        on_the_margin,
        regressions,
        late,
        incident,
        noise,
        slow_first_token,
        many_metrics,
        passing,
    )
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rollouts")
    parser.add_argument("--only", nargs="*", choices=list(SCENARIOS), default=list(SCENARIOS))
    options = parser.parse_args()
    begun = time.monotonic()
    print(f"Reverts at risk 1 %, passes at risk 5 %, {LOOKS} looks, seed {SEED}. Bound: ln(1/risk) / KL.")
    for number, name in enumerate(SCENARIOS):
        if name in options.only:
            rng = np.random.default_rng([SEED, number])
            SCENARIOS[name](rng, lambda n: max(n // 10, 50) if options.quick else n)
    print(f"\n{time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
