"""Arms whose mixes differ are compared within strata, at the promised risks."""

import itertools
import math

import numpy
import pytest
from scipy.stats import binom

from modelrollout.analysis.betting.block import Block, Margin
from modelrollout.analysis.betting.block import log_factors as of_one
from modelrollout.analysis.betting.stratified import Stratum, log_factors
from modelrollout.analysis.evidence.evidence import Evidence
from modelrollout.analysis.evidence.verdict import VerdictKind
from modelrollout.analysis.inputs.metric import Metric, Prior, Tolerance
from modelrollout.analysis.inputs.observation import Observation, Ratio
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.packs import catalogue
from modelrollout.analysis.packs.limits import Unresolvable
from modelrollout.api import analysis as spec
from tests.unit.analysis.given import judge, look
from tests.unit.analysis.scrapes import counter, observed, steady, target

BOTH = [*target("a", "new"), *target("b", "old")]


def test_one_stratum_is_the_plain_comparison():
    for block, usual, margin in (
        (Block(50, 4, 100, 1), 0.02, Margin(1.0, 0.005)),
        (Block(40, 0, 30, 9), 0.3, Margin(1.2, 0.0)),
        (Block(10, 10, 90, 1), 0.01, Margin(1.0, 0.1)),
    ):
        plain, stratified = (
            of_one(block, usual, margin, 1.3, proof_phi=2.0),
            log_factors([Stratum(block, usual)], margin, 1.3, proof_phi=2.0),
        )
        for a, b in zip(plain, stratified, strict=True):
            assert [max(x, -99) for x in b] == pytest.approx([max(x, -99) for x in a], abs=1e-5)


SIZES = ((3, 2), (1, 4))
"""(canary, control) units of two strata."""
USUAL = (0.05, 0.4)


def expected(shares, margin):
    """The mean factor of each bet over all outcomes, when the truth is (canary, control) in both strata."""
    sums = None
    units = [n for pair in SIZES for n in pair]
    flat = [p for pair in shares for p in pair]
    for bad in itertools.product(*(range(n + 1) for n in units)):
        chance = math.prod(binom.pmf(x, n, p) for x, n, p in zip(bad, units, flat, strict=True))
        blocks = [Block(n1, bad[2 * i], n0, bad[2 * i + 1]) for i, (n1, n0) in enumerate(SIZES)]
        found = log_factors([Stratum(b, u) for b, u in zip(blocks, USUAL, strict=True)], margin)
        factors = [chance * math.exp(x) for logs in found for x in logs]
        sums = factors if sums is None else [a + b for a, b in zip(sums, factors, strict=True)]
    return sums[:7], sums[7:]


@pytest.mark.parametrize("margin", [Margin(1.0, 0.1), Margin(1.3, 0.0)])
@pytest.mark.parametrize("control", [(0.05, 0.4), (0.5, 0.1)])
@pytest.mark.parametrize("gap", [-0.05, 0.0, 0.08])
def test_no_bet_gains_by_chance_where_the_weighted_mean_is_on_the_margin(margin, control, gap):
    """Also where one stratum is beyond the margin and the other within it, by their weights."""
    weights = [n1 * n0 / (n1 + n0) for n1, n0 in SIZES]
    limits = [margin.limit(p0) for p0 in control]
    canary = (limits[0] + gap, limits[1] - gap * weights[0] / weights[1])
    worse, better = expected(list(zip(canary, control, strict=True)), margin)
    assert max(worse) <= 1 + 1e-6
    assert max(better) <= 1 + 1e-6


# ── whole rollouts ──────────────────────────────────────────────────────────────────────────────

TENANTS = {"large": 0.001, "rough": 0.1}
"""The control's share of errors by tenant."""


def requests(rng, mix, excess=0.0, units=200):
    strata, shares = [], TENANTS
    for tenant, part in mix.items():
        n = round(units * part)
        bad = rng.binomial(n, shares[tenant] + excess)
        strata.append((tenant, float(bad), float(n)))
    return Ratio(sum(s[1] for s in strata), sum(s[2] for s in strata), strata=tuple(strata))


def metric(strata="tenant"):
    tolerated = Tolerance(1.0, 0.01)
    return Metric("errors", tolerance=tolerated, phi=1.0, prior=Prior(0.02), catastrophic=0.1, strata=strata)


ROUGHER = ({"large": 0.7, "rough": 0.3}, {"large": 0.95, "rough": 0.05})
SMOOTHER = ROUGHER[::-1]


def rollout(seed, mixes, excess, strata="tenant", looks=60):
    rng = numpy.random.default_rng(seed)
    plan = Plan((metric(strata),), planned_looks=looks)
    rows = [
        {"errors": Observation(requests(rng, mixes[0], excess), requests(rng, mixes[1]))}
        for _ in range(looks)
    ]
    evidence, verdicts = judge(plan, rows)
    ends = {VerdictKind.FAIL, VerdictKind.PASS}
    return evidence, next((v for v in verdicts if v.kind in ends), verdicts[-1])


def test_a_canary_with_the_rougher_tenants_is_not_reverted_for_them():
    _, split = rollout(1, ROUGHER, 0.0)
    _, pooled = rollout(1, ROUGHER, 0.0, strata="")
    assert (split.kind, pooled.kind) == (VerdictKind.PASS, VerdictKind.FAIL)
    assert "compared within 2 values of tenant" in split.metrics["errors"].message


def test_a_canary_with_the_smoother_tenants_does_not_pass_for_them():
    _, split = rollout(2, SMOOTHER, 0.02)
    _, pooled = rollout(2, SMOOTHER, 0.02, strata="")
    assert (split.kind, pooled.kind) == (VerdictKind.FAIL, VerdictKind.PASS)


def test_on_the_margin_hardly_any_rollout_is_decided_whatever_the_mixes():
    ends = [
        rollout(seed, mixes, 0.01, looks=20)[1].kind for seed in range(12) for mixes in (ROUGHER, SMOOTHER)
    ]
    assert ends.count(VerdictKind.FAIL) <= 1
    assert ends.count(VerdictKind.PASS) <= 4


def test_a_breakdown_is_seen_within_strata():
    rng = numpy.random.default_rng(3)
    rows = [Observation(requests(rng, ROUGHER[0], 0.4), requests(rng, ROUGHER[1])) for _ in range(3)]
    _, verdicts = judge(Plan((metric(),), planned_looks=60), [{"errors": row} for row in rows])
    assert verdicts[-1].reason == "Catastrophic"


def test_strata_that_only_one_arm_has_tell_nothing():
    one, other = (Ratio(9, 100, strata=((name, 9.0, 100.0),)) for name in ("a", "b"))
    _, [verdict] = judge(Plan((metric(),)), [{"errors": Observation(one, other)}])
    assert verdict.metrics["errors"].reason == "NoTraffic"
    assert "No value of tenant had requests of both arms" in verdict.metrics["errors"].message


def test_all_but_the_nineteen_largest_are_one_and_their_names_are_not_stored():
    def arm(bad):
        strata = tuple((f"tenant-{i}", bad, 10.0 + i) for i in range(50))
        return Ratio(50 * bad, sum(s[2] for s in strata), strata=strata)

    plan = Plan((metric(),))
    evidence, [verdict] = judge(plan, [{"errors": Observation(arm(1.0), arm(1.0))}])
    assert "20 values of tenant, of which one stands for all smaller" in verdict.metrics["errors"].message
    state = evidence.to_state()
    assert "tenant-" not in str(state)
    assert len(str(state["metrics"]["errors"])) < 2500
    again = Evidence.from_state(plan, state)
    row = {"errors": Observation(arm(2.0), arm(1.0))}
    assert again.fold(look(2), row)[1].revert_e == evidence.fold(look(2), row)[1].revert_e


# ── counting ────────────────────────────────────────────────────────────────────────────────────


def own(**more):
    ratio = {"bad": "sum(failed_total{$arm})", "total": "sum(all_total{$arm})"}
    return spec.Metric(name="own", ratio=ratio, **({"tolerate": {"absolute": "0.01"}} | more))


def test_counters_are_split_by_the_label_that_the_metric_names():
    counters = [
        *(
            counter(*arm, "all_total", steady(10), tenant=t)
            for arm in (("a", "new"), ("b", "old"))
            for t in "xy"
        ),
        counter("a", "new", "failed_total", steady(1), tenant="y"),
    ]
    seen = observed(own(by="tenant"), counters, BOTH)
    assert seen.canary == Ratio(6, 120, strata=(("x", 0.0, 60.0), ("y", 6.0, 60.0)))
    assert observed(own(), counters, BOTH).canary == Ratio(6, 120)


@pytest.mark.parametrize(
    "metric", [own(by="tenant", tolerate=None, slo="0.01"), spec.Metric(use="vllm/ttft", by="tenant")]
)
def test_what_is_no_compared_share_is_not_split(metric):
    if metric.use:
        metric = metric.model_copy(update={"use": "vllm/time-to-first-token"})
    with pytest.raises(Unresolvable, match="the requests beyond one bucket edge"):
        catalogue.resolve([metric])
