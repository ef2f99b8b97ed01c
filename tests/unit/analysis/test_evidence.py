"""Evidence is folded once per look, stored and restored bit for bit, and never invented."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrollout.analysis.evidence.decision import VerdictKind
from modelrollout.analysis.evidence.evidence import AlreadyFolded, Evidence, StateMismatch
from modelrollout.analysis.inputs.metric import Kind, Metric, Tolerance
from modelrollout.analysis.inputs.observation import (
    Arm,
    Events,
    Histogram,
    Levels,
    Look,
    Observation,
    Problem,
    ProblemKind,
    Ratio,
    Scalar,
    Sum,
)
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.records.replay import as_json
from tests.unit.analysis.given import ERRORS, draw, every_kind, judge, look, ratios

PLAN = Plan((ERRORS,), planned_looks=20)
GOOD, BAD = ratios(0, 100, 0, 100), ratios(40, 100, 0, 100)
LOST = Observation(problem=Problem(ProblemKind.PROVIDER_ERROR, "Prometheus did not answer within 5 s."))


@given(st.integers(0, 2**32), st.integers(0, 7), st.integers(1, 4), st.sampled_from([1.0, 1.6, 4.0]))
def test_restored_evidence_goes_on_bit_for_bit(seed: int, before: int, after: int, bad: float) -> None:
    rng, plan = random.Random(seed), every_kind()
    kept, _ = judge(plan, [draw(rng, plan, bad) for _ in range(before)])
    restored = Evidence.from_state(plan, json.loads(json.dumps(kept.to_state(), allow_nan=False)))
    assert restored.to_state() == kept.to_state()
    for number in range(before + 1, before + after + 1):
        row = draw(rng, plan, bad)
        kept, verdict = kept.fold(look(number), row)
        restored, again = restored.fold(look(number), row)
        assert again == verdict
    kept, restored = kept.restart_promotion(), restored.restart_promotion()
    assert restored.to_state() == kept.to_state()


def test_restoring_needs_no_history_again() -> None:
    """Priors, baseline and phi are part of the state: a restart does not ask a past that has moved on."""
    rng, plan = random.Random(1), every_kind()
    kept, _ = judge(plan, [draw(rng, plan) for _ in range(3)])
    forgotten = tuple(replace(m, prior=None, baseline=None, phi=None) for m in plan.metrics)
    restored = Evidence.from_state(replace(plan, metrics=forgotten), kept.to_state())
    row = draw(rng, plan)
    assert restored.fold(look(4), row)[1] == kept.fold(look(4), row)[1]


@pytest.mark.parametrize("again", [look(2), look(1), Look(45.0, 75.0), Look(0.0, 90.0)])
def test_a_look_is_folded_once(again: Look) -> None:
    evidence, _ = judge(PLAN, [{"errors": GOOD}] * 2)
    with pytest.raises(AlreadyFolded, match="folded already"):
        evidence.fold(again, {"errors": GOOD})
    restored = Evidence.from_state(PLAN, evidence.to_state())
    with pytest.raises(AlreadyFolded):
        restored.fold(again, {"errors": GOOD})


@pytest.mark.parametrize("bounds", [(30.0, 30.0), (60.0, 30.0), (0.0, float("nan"))])
def test_a_look_ends_after_it_starts(bounds: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="ends after it starts"):
        Evidence.fresh(PLAN).fold(Look(*bounds), {"errors": GOOD})


def test_a_metric_that_nobody_planned_is_refused() -> None:
    with pytest.raises(ValueError, match="No metric of the plan is called erors"):
        Evidence.fresh(PLAN).fold(look(1), {"erors": GOOD})


empty = st.sampled_from(
    [
        ratios(0, 0, 0, 0),
        Observation(problem=Problem(ProblemKind.NO_DATA, "No series.")),
        Observation(None, Ratio(1, 100)),
        Observation(Ratio(float("nan"), 100), Ratio(0, 100)),
        LOST,
    ]
)
full = st.builds(lambda a, b: ratios(a, 100, b, 100), st.integers(0, 9), st.integers(0, 5))


@given(st.lists(full, max_size=6), st.lists(st.tuples(st.integers(0, 6), empty), max_size=6))
def test_looks_without_information_change_nothing(
    seen: list[Observation], gaps: list[tuple[int, Observation]]
) -> None:
    """With a single start the evidence is the same wherever empty looks are put in."""
    plan = Plan((replace(ERRORS, restart=False),), planned_looks=20)
    padded = list(seen)
    for place, gap in gaps:
        padded.insert(min(place, len(padded)), gap)
    with_gaps, _ = judge(plan, [{"errors": o} for o in padded])
    without, _ = judge(plan, [{"errors": o} for o in seen])
    a, b = (e.entries["errors"].test.reading() for e in (with_gaps, without))
    assert (a.log_revert, a.log_promote) == pytest.approx((b.log_revert, b.log_promote), rel=1e-12, abs=1e-12)
    assert (a.estimate, a.canary, a.control, a.phi, a.limit) == (
        b.estimate,
        b.canary,
        b.control,
        b.phi,
        b.limit,
    )
    if seen:
        assert a.interval95 == b.interval95


@pytest.mark.parametrize(
    ("observation", "kind", "reason"),
    [
        (None, VerdictKind.INSUFFICIENT, "NoData"),
        (Observation(None, Ratio(0, 100)), VerdictKind.INSUFFICIENT, "NoData"),
        (Observation(Ratio(0, 100), None), VerdictKind.INSUFFICIENT, "NoData"),
        (ratios(0, 0, 0, 100), VerdictKind.INSUFFICIENT, "NoTraffic"),
        (ratios(0, 100, 0, 0), VerdictKind.INSUFFICIENT, "NoTraffic"),
        (ratios(7, 5, 0, 100), VerdictKind.INSUFFICIENT, "Invalid"),
        (ratios(-1, 5, 0, 100), VerdictKind.INSUFFICIENT, "Invalid"),
        (ratios(1, float("inf"), 0, 100), VerdictKind.INSUFFICIENT, "Invalid"),
        (Observation(Scalar(1), Scalar(1)), VerdictKind.INSUFFICIENT, "Invalid"),
        (Observation(problem=Problem(ProblemKind.DROPPED, "x")), VerdictKind.INSUFFICIENT, "Dropped"),
        (LOST, VerdictKind.PROVIDER_ERROR, "ProviderError"),
    ],
)
def test_what_cannot_be_used_holds_and_says_why(
    observation: Observation | None, kind: VerdictKind, reason: str
) -> None:
    """Even with all the evidence for a pass collected before."""
    proven, verdicts = judge(PLAN, [{"errors": ratios(0, 5000, 30, 5000)}] * 5)
    assert verdicts[-1].kind is VerdictKind.PASS
    _, verdict = proven.fold(look(6), {} if observation is None else {"errors": observation})
    assert (verdict.kind, verdict.reason) == (kind, reason)
    assert verdict.metrics["errors"].reason == reason
    assert verdict.message.startswith(("errors: ", "The metrics provider gave no answer for errors: "))


def test_hours_without_a_provider_never_revert_nor_pass() -> None:
    _, verdicts = judge(PLAN, [{"errors": LOST}] * 500)
    assert {verdict.kind for verdict in verdicts} == {VerdictKind.PROVIDER_ERROR}


def test_a_fail_is_final() -> None:
    evidence, verdicts = judge(PLAN, [{"errors": BAD}] * 5)
    assert verdicts[-1].kind is VerdictKind.FAIL
    failed = verdicts[-1]
    for number in range(6, 40):
        evidence = Evidence.from_state(PLAN, evidence.to_state())
        evidence, verdict = evidence.fold(look(number), {"errors": LOST if number % 2 else GOOD})
        assert (verdict.kind, verdict.message) == (VerdictKind.FAIL, failed.message)


def test_state_of_another_plan_is_refused() -> None:
    state = Evidence.fresh(PLAN).to_state()
    wider = Plan((replace(ERRORS, tolerance=Tolerance(1.0, 0.01)),), planned_looks=20)
    with pytest.raises(StateMismatch, match="another analysis"):
        Evidence.from_state(wider, state)
    with pytest.raises(StateMismatch, match="damaged"):
        Evidence.from_state(
            PLAN, state | {"metrics": {"errors": {"used": 1, "invalid": 0, "d": "", "f": ""}}}
        )
    with pytest.raises(StateMismatch):
        Evidence.from_state(PLAN, {})


def test_different_buckets_are_not_compared() -> None:
    plan = Plan((Metric("ttft", Kind.HISTOGRAM, Tolerance(1.1)),))
    a, b = Histogram((0.1, 0.5), (5, 4, 1)), Histogram((0.1, 1.0), (5, 4, 1))
    _, (verdict,) = judge(plan, [{"ttft": Observation(a, b)}])
    assert (verdict.kind, verdict.reason) == (VerdictKind.INSUFFICIENT, "NotComparable")
    assert "0.5" in verdict.message
    assert "same buckets" in verdict.message


def test_a_step_is_proven_anew_and_evidence_against_goes_on() -> None:
    evidence, _ = judge(PLAN, [{"errors": ratios(12, 1000, 5, 1000)}] * 4)
    before = evidence.fold(look(5), {"errors": ratios(0, 0, 0, 0)})[1].metrics["errors"]
    after = evidence.restart_promotion().fold(look(5), {"errors": ratios(0, 0, 0, 0)})[1].metrics["errors"]
    assert after.revert_e == before.revert_e
    assert after.promote_e == pytest.approx(1.0)
    assert before.promote_e != pytest.approx(1.0)


def test_a_step_lasts_three_looks() -> None:
    evidence = Evidence.fresh(PLAN).restart_promotion()
    seen = []
    for number in range(1, 6):
        evidence, verdict = evidence.fold(look(number), {"errors": ratios(0, 5000, 25, 5000)})
        seen.append(verdict.reason)
    assert seen == ["TooFewLooks", "TooFewLooks", "NotWorse", "NotWorse", "NotWorse"]


def test_the_state_of_a_large_rollout_fits() -> None:
    """8 metrics, 5 of them histograms: below 8 KiB at any time."""
    plan = every_kind()
    more = tuple(replace(plan.metrics[2], name=f"latency-{i}") for i in range(4))
    largest = (*plan.metrics[:2], plan.metrics[2], *more, plan.metrics[4])
    large = Plan(tuple(replace(metric, phi=None) for metric in largest), planned_looks=60)
    rng, evidence = random.Random(5), Evidence.fresh(large)
    for number in range(1, 8):
        row = draw(rng, plan, 1.5)
        row = {m.name: row["ttft"] if m.kind is Kind.HISTOGRAM else row[m.name] for m in large.metrics}
        evidence, _ = evidence.fold(look(number), row)
        assert len(json.dumps(evidence.to_state())) < 8192


wild = st.sampled_from([0.0, 1e-12, 0.5, 1.0, 3.0, 1e6, 1e12, -1.0, float("nan"), float("inf")])
wild_arms = st.one_of(
    st.none(),
    st.builds(Ratio, wild, wild),
    st.builds(Events, wild, wild),
    st.builds(Scalar, wild),
    st.builds(Sum, wild, wild),
    st.builds(lambda c: Histogram((0.1, 1.0, 10.0), tuple(c)), st.lists(wild, min_size=4, max_size=4)),
    st.builds(lambda c: Levels((0.0, 0.5, 1.0), tuple(c)), st.lists(wild, min_size=3, max_size=3)),
)
EXTREME = (
    (Kind.RATIO, Tolerance(1, 0.005)),
    (Kind.RATIO, Tolerance(0, 1e-6)),
    (Kind.RATIO, Tolerance(3, 0.5)),
    (Kind.RATIO, Tolerance(0.5, -0.2)),
    (Kind.MEAN, Tolerance(1, 0.9)),
    (Kind.HISTOGRAM, Tolerance(5)),
    (Kind.COUNTING, Tolerance(0.1)),
    (Kind.SCALAR, Tolerance(1, 0)),
)


@given(st.sampled_from(EXTREME), st.lists(st.tuples(wild_arms, wild_arms), min_size=1, max_size=5))
def test_no_numbers_break_the_engine(
    metric: tuple[Kind, Tolerance], arms: list[tuple[Arm | None, Arm | None]]
) -> None:
    """Whatever a provider sends: a verdict, a state that is JSON, and no NaN or infinity in it."""
    plan = Plan((Metric("m", *metric),), planned_looks=3)
    evidence, verdicts = judge(plan, [{"m": Observation(*pair)} for pair in arms])
    for verdict in verdicts:
        found = verdict.metrics["m"]
        assert all(math.isfinite(x) for x in (found.revert_e, found.promote_e, found.phi, verdict.revert_e))
        json.dumps(as_json(verdict), allow_nan=False)
    stored = json.dumps(evidence.to_state(), allow_nan=False)
    assert Evidence.from_state(plan, json.loads(stored)).to_state() == evidence.to_state()
