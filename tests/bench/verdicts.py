"""How often verdicts are wrong, and how long the right ones take: `make bench-verdicts`.

Prints Markdown tables. Every scenario draws from its own generator, in a process of its own, so figures do
not depend on which ones run. `--quick` uses a tenth of the rollouts, `--only a b` runs some scenarios.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import math
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from modelrollout.analysis.betting.block import Margin
from modelrollout.analysis.betting.information import rate
from tests.bench import breakdowns, promised
from tests.bench.contest import LOOKS, on_latency, on_many, on_shares, passed, plan_of, reverted, rules_of
from tests.bench.report import Row, table
from tests.bench.worlds import Size, Slow, latencies, noisy, steady, ttft_margins

SEED = 20261121

# ── scenarios ───────────────────────────────────────────────────────────────────────────────────

Scale = Callable[[int], int]
SPLITS = ((100, 100, "100 + 100 requests a look"), (10, 90, "10 + 90 requests a look"))


def healthy(rng: np.random.Generator, scale: Scale) -> None:
    for n1, n0, name in SPLITS:
        for bad, what in ((0.005, "A/A, 99.5 %"), (0.01, "A/A, 99 %")):
            world = steady(rng, Size(scale(4000 if bad == 0.005 else 1000), LOOKS), (n1, n0), (bad, bad))
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


SLOWER = (
    (Slow(), "A/A"),
    (Slow(1.1), "+10 % (on the margin)"),
    (Slow(1.2), "+20 %"),
    (Slow(1.5), "+50 %"),
    (Slow(2.0), "+100 %"),
    (Slow(1.0, 0.03), "3 % of requests ten times slower"),
)


def first_token(rng: np.random.Generator, scale: Scale) -> None:
    margins = ttft_margins(rng, 1.10)
    listed = ", ".join(f"{m.edge:g} s: {m.ratio:.2f} × + {m.absolute:g}" for m in margins)
    print(f"\nTime to the first token, vLLM's buckets, 10 % slower tolerated. Margins beyond {listed}.")
    for n1, n0, name in SPLITS:
        for slow, what in SLOWER:
            null = slow.factor <= 1.1 and not slow.tail
            size = Size(scale(1500 if null else 1000), LOOKS)
            canary, control = (latencies(rng, size, n, s) for n, s in ((n1, slow), (n0, Slow())))
            rows = on_latency((canary, control), (n1, n0), margins, slow)
            table(f"time to the first token, {what}, {name}", rows)


def many_metrics(rng: np.random.Generator, scale: Scale) -> None:
    for bads, what in (
        ([0.01] * 8, "A/A"),
        ([0.02] * 8, "all on the margin"),
        ([0.04, *[0.01] * 7], "one of them 1 → 4 %"),
        ([*[0.04] * 3, *[0.01] * 5], "three of them 1 → 4 %"),
    ):
        size = Size(scale(1500), LOOKS)
        worlds = [steady(rng, size, (50, 50), (bad, 0.01)) for bad in bads]
        table(
            f"8 metrics at once, 1 % bad, 1 pp tolerated, 50 + 50 requests a look: {what}",
            on_many(worlds, 50),
        )


def passing(rng: np.random.Generator, scale: Scale) -> None:
    """The other side: how long a pass takes, and how often a bad version gets one."""
    for n1, n0, name in SPLITS:
        rows = []
        for delta in (0.005, 0.01):
            plan, tolerated = plan_of(delta=delta), f"{100 * delta:g} pp tolerated"
            equal = steady(rng, Size(scale(2000), LOOKS), (n1, n0), (0.005, 0.005))
            worse = steady(rng, Size(scale(4000), LOOKS), (n1, n0), (0.005 + delta, 0.005))
            nats = rate(0.005, 0.005, n1 / (n1 + n0), Margin(1, delta))
            bound = math.log(1 / plan.miss_risk) / nats
            at = passed(equal, plan, rules_of(equal, plan, delta))
            rows.append(Row(f"equal, {tolerated}", at, LOOKS, n1, bound=bound))
            at = passed(worse, plan, rules_of(worse, plan, delta))
            rows.append(Row(f"on the margin, {tolerated}", at, LOOKS, n1))
        table(f"passed by ModelRollout within {LOOKS} looks, 99.5 %, {name}", rows)


def promises(rng: np.random.Generator, scale: Scale) -> None:
    promised.table(rng, scale(1000))


def broken_down(rng: np.random.Generator, scale: Scale) -> None:
    breakdowns.table(rng, scale(1000))


SCENARIOS = {
    f.__name__: f
    for f in (
        healthy,
        on_the_margin,
        regressions,
        late,
        incident,
        noise,
        first_token,
        many_metrics,
        passing,
        promises,
        broken_down,
    )
}


def printed(name: str, quick: bool) -> str:
    """What a scenario prints; each draws from a generator of its own."""
    rng = np.random.default_rng([SEED, list(SCENARIOS).index(name)])
    with contextlib.redirect_stdout(io.StringIO()) as out:
        SCENARIOS[name](rng, lambda n: max(n // 10, 50) if quick else n)
    return out.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rollouts")
    parser.add_argument("--only", nargs="*", choices=list(SCENARIOS), default=list(SCENARIOS))
    options = parser.parse_args()
    begun = time.monotonic()
    print(f"Reverts at risk 1 %, passes at risk 5 %, {LOOKS} looks, seed {SEED}. Bound: ln(1/risk) / KL.")
    with ProcessPoolExecutor() as pool:
        for text in pool.map(printed, options.only, itertools.repeat(options.quick)):
            print(text, end="", flush=True)
    print(f"\n{time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
