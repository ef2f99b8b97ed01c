"""Histograms are judged at edges read from the data, with margins that a scale tolerance implies."""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from statistics import NormalDist

import pytest

from modelrollout.analysis.betting.edges import FLOOR, coarseness, edge_margins, exceedances
from modelrollout.analysis.betting.ladder import StepTerms
from modelrollout.analysis.evidence.decision import VerdictKind
from modelrollout.analysis.evidence.evidence import Evidence
from modelrollout.analysis.evidence.verdict import Verdict
from modelrollout.analysis.inputs.metric import Direction, EdgeMargin, Kind, Metric, Tolerance
from modelrollout.analysis.inputs.observation import Histogram, Observation
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.kinds.latency import BASELINE_UNITS, edges_of
from modelrollout.analysis.records.record import Record, read, write
from modelrollout.analysis.records.replay import judged
from tests.unit.analysis.given import TTFT, judge, latency_histogram, look

NORMAL = NormalDist()


def lognormal(scale: float = 1.0, n: float = 1e9) -> Histogram:
    """Expected counts of a lognormal latency, median 0.3 s, sigma 0.6."""
    beyond = [1.0, *(1 - NORMAL.cdf(math.log(edge / (0.3 * scale)) / 0.6) for edge in TTFT), 0.0]
    return Histogram(TTFT, tuple(n * (a - b) for a, b in pairwise(beyond)))


def test_the_deciding_edges_of_a_usual_first_token_and_the_tail_that_objects() -> None:
    margins = edge_margins(lognormal(), 1.1)
    assert [m.edge for m in margins] == [0.25, 0.5, 0.75, 2.5]
    assert [m.exceedance for m in margins] == pytest.approx([0.6194, 0.1973, 0.0634, 0.0002], abs=2e-4)
    assert [m.ratio for m in margins] == pytest.approx([1.097, 1.24, 1.347, 1.0], abs=0.015)
    assert {m.absolute for m in margins} == {FLOOR}


def drawn(draw: Callable[[random.Random], float], n: int, factor: float = 1.0, seed: int = 0) -> Histogram:
    rng, counts = random.Random(seed), [0.0] * (len(TTFT) + 1)
    for _ in range(n):
        counts[bisect_left(TTFT, factor * draw(rng))] += 1
    return Histogram(TTFT, tuple(counts))


def cached(rng: random.Random) -> float:
    return (0.06 if rng.random() < 0.6 else 0.45) * rng.lognormvariate(0, 0.3)


def documents(rng: random.Random) -> float:
    return rng.uniform(4, 15) if rng.random() < 0.04 else 0.3 * rng.lognormvariate(0, 0.4)


@pytest.mark.parametrize("draw", [cached, documents])
def test_an_equal_canary_passes_and_a_slow_one_reverts_however_latency_is_distributed(
    draw: Callable[[random.Random], float],
) -> None:
    """Prefix caches give two humps with nothing between, documents a tail that says nothing of the rest."""
    metric = replace(METRIC, baseline=drawn(draw, 20_000, seed=1))
    ends = []
    for factor in (1.0, 1.5):
        rows = [
            {"ttft": Observation(drawn(draw, 150, factor, seed=t), drawn(draw, 150, seed=1000 + t))}
            for t in range(2, 42)
        ]
        kinds = [verdict.kind.value for verdict in judge(Plan((metric,), planned_looks=40), rows)[1]]
        ends.append(next(kind for kind in kinds if kind in ("Pass", "Fail")))
    assert ends == ["Pass", "Fail"]


def above(rng: random.Random) -> float:
    """The slower half takes a quarter longer, and the share beyond 0.25 s is what it was."""
    value = 0.3 * rng.lognormvariate(0, 0.6)
    return 1.25 * value if value > 0.3 else value


def test_harm_in_a_part_of_the_values_does_not_pass_by_the_edge_that_tells_most() -> None:
    metric = replace(METRIC, baseline=lognormal())
    assert edges_of(metric, lognormal()).at[edges_of(metric, lognormal()).proven[0]] == 0.25
    rows = [
        {"ttft": Observation(drawn(above, 60, seed=t), latency_histogram(random.Random(1000 + t), 60))}
        for t in range(2, 82)
    ]
    kinds = [verdict.kind for verdict in judge(Plan((metric,), planned_looks=200), rows)[1]]
    assert VerdictKind.PASS not in kinds


def test_every_edge_that_the_user_chose_must_be_proven() -> None:
    metric = replace(METRIC, baseline=lognormal(), edges=(0.25, 1.0))
    rows = [
        {"ttft": Observation(latency_histogram(rng, 80), latency_histogram(rng, 80))}
        for rng in map(random.Random, range(60))
    ]
    chosen, found = (
        [verdict.kind for verdict in judge(Plan((each,), planned_looks=60), rows)[1]].index(VerdictKind.PASS)
        for each in (metric, replace(metric, edges=()))
    )
    assert chosen > found


def quick(n: float, beyond_20_ms: float = 0.002) -> Histogram:
    """A small model: seven in ten first tokens within 10 to 20 ms, the others earlier, hardly any later."""
    shares = {0.01: 0.3 * (1 - beyond_20_ms), 0.02: 0.7 * (1 - beyond_20_ms), 0.04: beyond_20_ms}
    return Histogram(TTFT, (*(n * shares.get(edge, 0.0) for edge in TTFT), 0.0))


def at_a_wide_tolerance(beyond_20_ms: float, looks: int = 20) -> list[Verdict]:
    """60 requests a look in each arm, against a control of which 0.2 % are later than 20 ms."""
    metric = replace(METRIC, tolerance=Tolerance(1.5, 0.15), baseline=quick(2000))
    row = {"ttft": Observation(quick(60, beyond_20_ms), quick(60))}
    return judge(Plan((metric,), planned_looks=looks), [row] * looks)[1]


def test_an_edge_beyond_which_every_request_may_lie_proves_nothing() -> None:
    """Half as slow again puts every request beyond 10 ms, so the next edge has to be proven."""
    passed = at_a_wide_tolerance(0.002)[-1]
    assert (passed.kind, "above 0.02" in passed.message) == (VerdictKind.PASS, True)
    assert VerdictKind.PASS not in [verdict.kind for verdict in at_a_wide_tolerance(0.16)]


def no_sooner(rng: random.Random) -> float:
    """What the control answers within 0.3 s takes 0.3 s, and all else as long as it took."""
    return max(0.3 * rng.lognormvariate(0, 0.6), 0.3)


def test_people_are_shown_the_edge_that_speaks_most_against_the_canary() -> None:
    metric = replace(METRIC, baseline=lognormal(n=2000))
    rows = [
        {"ttft": Observation(drawn(no_sooner, 60, seed=t), latency_histogram(random.Random(99 + t), 60))}
        for t in range(20)
    ]
    verdicts = judge(Plan((metric,), planned_looks=20), rows)[1]
    assert "above 0.75" in verdicts[0].message
    assert "100 % above 0.25" in next(v.message for v in verdicts if v.kind is VerdictKind.FAIL)


def narrow(rng: random.Random) -> float:
    return 0.013 * rng.lognormvariate(0, 0.1)


def test_buckets_that_cannot_show_the_tolerance_never_prove_it_without_the_sum_of_the_values() -> None:
    """13 ms plus 15 % stays inside the bucket from 10 to 20 ms: nothing was shown, so nothing passes."""
    metric = replace(METRIC, baseline=drawn(narrow, 20_000, seed=1), unit="seconds")
    rows = [
        {"ttft": Observation(drawn(narrow, 200, 1.15, seed=t), drawn(narrow, 200, seed=1000 + t))}
        for t in range(2, 42)
    ]
    evidence, verdicts = judge(Plan((metric,), planned_looks=40), rows)
    assert {verdict.kind for verdict in verdicts} == {VerdictKind.INSUFFICIENT}
    assert verdicts[-1].reason == "NotComparable"
    assert "inside one bucket, from 0.01 to 0.02 seconds" in verdicts[-1].message
    assert "the mean is judged instead" in verdicts[-1].message
    again, _ = Evidence.from_state(evidence.plan, evidence.to_state()).fold(look(99), rows[0])
    assert again == evidence.fold(look(99), rows[0])[0]


def summed(draw: Callable[[random.Random], float], n: int, factor: float, seed: int) -> Histogram:
    """With the sum of the values, as a server counts it."""
    rng = random.Random(seed)
    values = [factor * draw(rng) for _ in range(n)]
    return replace(drawn(draw, n, factor, seed), sum=sum(values))


def narrowly(factor: float, looks: int) -> list[dict[str, Observation]]:
    return [
        {"ttft": Observation(summed(narrow, 100, factor, t), summed(narrow, 100, 1.0, 1000 + t))}
        for t in range(2, 2 + looks)
    ]


def test_where_the_buckets_are_too_coarse_the_mean_is_judged_and_says_so() -> None:
    metric = replace(METRIC, baseline=drawn(narrow, 20_000, seed=1), unit="seconds")
    plan = Plan((metric,), planned_looks=40)
    evidence, verdicts = judge(plan, narrowly(1.0, 24))
    assert verdicts[-1].kind is VerdictKind.PASS
    assert "so the mean is judged: 0.013" in verdicts[-1].message
    assert verdicts[-1].metrics["ttft"].reason == "Proven"
    assert evidence.coarse == {"ttft"}
    assert Evidence.from_state(plan, evidence.to_state()).to_state() == evidence.to_state()


@pytest.mark.parametrize("factor", [1.1, 1.15])
def test_a_mean_on_the_margin_or_beyond_it_does_not_pass(factor: float) -> None:
    metric = replace(METRIC, baseline=drawn(narrow, 20_000, seed=1))
    kinds = {verdict.kind for verdict in judge(Plan((metric,), planned_looks=40), narrowly(factor, 60))[1]}
    assert kinds == {VerdictKind.INSUFFICIENT}


@pytest.mark.parametrize(("margin", "passes"), [(4.0, True), (1.0, False)])
def test_a_mean_proves_what_the_step_asks_for_and_no_more(margin: float, passes: bool) -> None:
    """12 % slower, with 10 % tolerated: no more than a step before 25 % of the users may risk."""
    metric = replace(METRIC, baseline=drawn(narrow, 20_000, seed=1))
    evidence = Evidence.fresh(Plan((metric,), planned_looks=80)).restart_promotion(
        terms=StepTerms(margin=margin)
    )
    for i, row in enumerate(narrowly(1.12, 24)):
        evidence, verdict = evidence.fold(look(i), row)
    assert (verdict.kind is VerdictKind.PASS) is passes
    again = Evidence.from_state(evidence.plan, evidence.to_state())
    assert again.to_state() == evidence.to_state()
    after, _ = again.restart_promotion(terms=StepTerms(margin=2.0, carry=True)).fold(look(99), row)
    assert after.standings()["ttft"].proven < math.log(20)  # each step is proven by its own looks


def test_a_mean_whose_looks_hung_together_in_the_past_needs_more_of_them() -> None:
    """As long as few looks are there, they show less of it than there is."""
    plain = replace(METRIC, baseline=drawn(narrow, 20_000, seed=1))
    slow = replace(plain, phi=10.0, phi_short=1.0)
    rows = narrowly(1.0, 22)
    proven = [
        judge(Plan((metric,), planned_looks=40), rows)[1][-1].metrics["ttft"].promote_e
        for metric in (plain, slow)
    ]
    assert proven[1] < proven[0] / 100


PACES = (0.01, 0.025, 0.05, 0.075, 0.1)
"""Edges of vLLM's time per output token."""


def paced(factor: float, seed: int) -> Histogram:
    rng = random.Random(seed)
    values = [factor * narrow(rng) for _ in range(100)]
    counts = [0.0] * (len(PACES) + 1)
    for value in values:
        counts[bisect_left(PACES, value)] += 1
    return Histogram(PACES, tuple(counts), sum(values))


PACE = Metric("ttft", Kind.HISTOGRAM, Tolerance(1.1), baseline=paced(1.0, 1), phi=1.0, unit="seconds")


def steadily(factor: float, looks: int) -> list[dict[str, Observation]]:
    return [{"ttft": Observation(paced(factor, t), paced(1.0, 1000 + t))} for t in range(2, 2 + looks)]


@pytest.mark.parametrize(("factor", "wanted"), [(1.15, "Insufficient"), (1.3, "Fail")])
def test_a_mean_reverts_what_is_beyond_twice_the_tolerance_and_no_less(factor: float, wanted: str) -> None:
    """30 % more than 13 ms stays inside the bucket from 10 to 25 ms: the buckets alone would say nothing."""
    plan = Plan((PACE,), planned_looks=40)
    evidence, verdicts = judge(plan, steadily(factor, 24))
    assert verdicts[18].metrics["ttft"].revert_e < 5
    assert verdicts[-1].kind.value == wanted
    assert Evidence.from_state(plan, evidence.to_state()).to_state() == evidence.to_state()


def test_a_mean_does_not_count_against_a_canary_whose_pods_carry_more() -> None:
    rows = [{name: replace(seen, load=2.0) for name, seen in row.items()} for row in steadily(1.3, 24)]
    assert judge(Plan((PACE,), planned_looks=40), rows)[1][-1].kind is VerdictKind.INSUFFICIENT


def test_what_a_mean_has_shown_against_a_canary_goes_on_at_another_load() -> None:
    evidence, _ = judge(Plan((PACE,), planned_looks=80), steadily(1.23, 22))
    before = evidence.standings()["ttft"].reading.log_revert
    assert before > 1
    evidence = evidence.restart_promotion()
    assert before - 1 < evidence.standings()["ttft"].reading.log_revert < before


@pytest.mark.parametrize(("carry", "looks"), [(True, 25), (False, 1)])
def test_what_the_mean_has_shown_is_carried_only_to_a_step_of_the_same_load(carry: bool, looks: int) -> None:
    metric = replace(METRIC, baseline=drawn(narrow, 20_000, seed=1))
    evidence, _ = judge(Plan((metric,), planned_looks=40), narrowly(1.0, 24))
    stepped, _ = evidence.restart_promotion(terms=StepTerms(carry=carry)).fold(look(99), narrowly(1.0, 1)[0])
    assert f"in {looks} looks" in stepped.standings()["ttft"].summary


@pytest.mark.parametrize("carry", [False, True])
def test_a_step_in_which_each_pod_carries_another_load_is_no_noise(carry: bool) -> None:
    """A canary with little load looks faster, and as fast as the control from the next step on."""
    metric = replace(METRIC, phi=2.0, phi_short=1.0)
    rows = [
        {
            "ttft": Observation(
                latency_histogram(random.Random(t), 100, 0.7 if t < 20 else 1.0),
                latency_histogram(random.Random(1000 + t), 300),
            )
        }
        for t in range(40)
    ]
    evidence, _ = judge(Plan((metric,), planned_looks=80), rows[:20])
    evidence = evidence.restart_promotion(terms=StepTerms(carry=carry))
    for i, row in enumerate(rows[20:]):
        evidence, verdict = evidence.fold(look(21 + i), row)
    seen = verdict.metrics["ttft"]
    assert (seen.phi > 4) == carry
    assert (abs(seen.estimate or 1.0) > 0.015) == carry


def test_a_record_holds_the_sums_of_histograms() -> None:
    metric, rows = replace(METRIC, baseline=drawn(narrow, 20_000, seed=1)), narrowly(1.0, 22)
    plan = Plan((metric,), planned_looks=40)
    evidence, _ = judge(plan, rows)
    record = Record(plan, tuple(map(look, range(1, 23))), tuple(rows))
    again = judged(read(write(record))).standings()["ttft"]
    assert again.summary == evidence.standings()["ttft"].summary


def test_coarse_buckets_still_object() -> None:
    metric = replace(METRIC, baseline=drawn(narrow, 20_000, seed=1))
    rows = [
        {"ttft": Observation(drawn(narrow, 200, 3.0, seed=t), drawn(narrow, 200, seed=1000 + t))}
        for t in range(2, 12)
    ]
    assert judge(Plan((metric,), planned_looks=40), rows)[1][-1].kind is VerdictKind.FAIL


def test_a_share_that_is_tolerated_beyond_the_buckets_can_be_proven() -> None:
    """Queue time: healthy servers stay below the first edge, and one point beyond it is what is judged."""
    assert coarseness(drawn(narrow, 20_000), 1.2) is not None
    assert coarseness(drawn(narrow, 20_000), 1.2, 0.01) is None


def test_the_user_may_choose_the_edges() -> None:
    metric = replace(METRIC, edges=(0.5, 2.5))
    assert [m.edge for m in edges_of(metric, lognormal()).margins] == [0.5, 2.5]
    assert "Fail" in run(metric, 1.5)
    assert run(replace(METRIC, edges=(0.42,)), 1.0) == ["Insufficient"] * 40


def test_the_margins_are_what_a_slower_control_would_show() -> None:
    """Interpolating between buckets moves them by a few percent at most."""
    slower = dict(zip(TTFT, exceedances(lognormal(1.1)), strict=True))
    for margin in edge_margins(lognormal(), 1.1)[:-1]:
        assert margin.ratio * margin.exceedance == pytest.approx(slower[margin.edge], rel=0.05)


@pytest.mark.parametrize(
    ("counts", "edges"),
    [
        ((1000, 0, 0, 0), [0.1]),  # everything below the first edge: only "beyond the first" can get worse
        ((0, 0, 0, 1000), [10.0]),  # everything beyond the last
        ((500, 500, 0, 0), [0.1, 1.0]),
    ],
)
def test_there_is_always_an_edge_to_decide_at(counts: tuple[float, ...], edges: list[float]) -> None:
    margins = edge_margins(Histogram((0.1, 1.0, 10.0), counts), 1.1)
    assert [m.edge for m in margins] == edges
    assert all(m.ratio >= 1 and m.absolute >= FLOOR for m in margins)


def run(metric: Metric, slow: float, looks: int = 40, n: int = 100) -> list[str]:
    rng = random.Random(11)
    plan = Plan((metric,), planned_looks=looks)
    rows = [
        {metric.name: Observation(latency_histogram(rng, n, slow), latency_histogram(rng, n))}
        for _ in range(looks)
    ]
    return [verdict.kind.value for verdict in judge(plan, rows)[1]]


METRIC = Metric(
    "ttft", Kind.HISTOGRAM, Tolerance(1.1), baseline=latency_histogram(random.Random(1), 5000), phi=1.0
)


def test_a_slow_canary_reverts_and_an_equal_one_passes() -> None:
    assert run(METRIC, 1.5).index("Fail") < 8
    equal = run(METRIC, 1.0, n=150)
    assert "Fail" not in equal
    assert "Pass" in equal


def test_without_a_baseline_the_control_is_learned_first() -> None:
    learned = replace(METRIC, baseline=None)
    rng, plan = random.Random(2), Plan((learned,))
    rows = [
        {"ttft": Observation(latency_histogram(rng, 90, 2.0), latency_histogram(rng, 90))} for _ in range(9)
    ]
    evidence, verdicts = judge(plan, rows)
    needed = math.ceil(BASELINE_UNITS / 90)
    waiting = [v.metrics["ttft"].message for v in verdicts[: needed - 1]]
    assert all("being learned" in message for message in waiting)
    assert verdicts[needed - 1].metrics["ttft"].revert_e == pytest.approx(
        1.0
    )  # nothing was bet while learning
    assert verdicts[-1].metrics["ttft"].revert_e > 10
    assert verdicts[-1].metrics["ttft"].canary.n == 90 * (9 - needed)
    assert evidence.entries["ttft"].used == 9


def test_margins_can_be_given_outright() -> None:
    metric = Metric("ttft", Kind.HISTOGRAM, Tolerance(1.1), margins=(EdgeMargin(1.0, 1.0, 0.05),), phi=1.0)
    assert "Fail" in run(metric, 3.0)
    assert "Fail" not in run(metric, 1.2)  # 3.5 % instead of 2.2 % beyond 1 s: tolerated


def test_buckets_that_vanish_hold() -> None:
    rng, plan = random.Random(3), Plan((METRIC,))
    fewer = (0.1, 1.0, 10.0)
    good = {"ttft": Observation(latency_histogram(rng, 100), latency_histogram(rng, 100))}
    other = {
        "ttft": Observation(latency_histogram(rng, 100, 1, fewer), latency_histogram(rng, 100, 1, fewer))
    }
    before, _ = judge(plan, [good])
    after, verdicts = judge(plan, [good, other])
    assert (verdicts[-1].kind, verdicts[-1].reason) == (VerdictKind.INSUFFICIENT, "NotComparable")
    assert "not counted (any more)" in verdicts[-1].message
    assert after.to_state()["metrics"] == before.to_state()["metrics"]


def test_where_smaller_is_worse_the_other_tail_decides() -> None:
    """Tokens per request that shrink: the same test on the reciprocal."""
    falls = replace(METRIC, direction=Direction.DECREASE_IS_BAD)
    assert "Fail" in run(falls, 1 / 1.5)
    assert "Fail" not in run(falls, 1.5)
    rng = random.Random(4)
    row = {"ttft": Observation(latency_histogram(rng, 100, 0.5), latency_histogram(rng, 100))}
    _, (verdict,) = judge(Plan((falls,)), [row])
    assert "below 0.25" in verdict.metrics["ttft"].message


def test_harm_in_the_tail_alone_is_found() -> None:
    rng, plan = random.Random(6), Plan((METRIC,), planned_looks=40)
    seen = []
    for _ in range(40):
        mostly, stalled = latency_histogram(rng, 94), latency_histogram(rng, 6, 10.0)
        canary = Histogram(TTFT, tuple(a + b for a, b in zip(mostly.counts, stalled.counts, strict=True)))
        seen.append({"ttft": Observation(canary, latency_histogram(rng, 100))})
    assert judge(plan, seen)[1][-1].kind is VerdictKind.FAIL
