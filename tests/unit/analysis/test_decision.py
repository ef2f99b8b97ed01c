"""One verdict from many metrics, in a fixed order of rules, with sentences that carry the numbers."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import pytest

from modelrollout.analysis.evidence.decision import VerdictKind
from modelrollout.analysis.evidence.quiet import is_quiet
from modelrollout.analysis.inputs.metric import Consequence, Kind, Metric, Prior, Tolerance
from modelrollout.analysis.inputs.observation import Events, Observation, Problem, ProblemKind, Ratio, Scalar
from modelrollout.analysis.inputs.plan import CATASTROPHIC_SHARE, Plan
from modelrollout.analysis.packs.limits import BEYOND_CONTROL
from tests.shared.sweep import some
from tests.unit.analysis.given import ERRORS, judge, ratios

A, B = replace(ERRORS, name="a"), replace(ERRORS, name="b")
GOOD, WORSE = ratios(5, 1000, 5, 1000), ratios(60, 1000, 5, 1000)
LOST = Observation(problem=Problem(ProblemKind.PROVIDER_ERROR, "Prometheus did not answer within 5 s."))


def test_the_blame_names_the_metric_and_its_numbers() -> None:
    _, verdicts = judge(Plan((A, B), planned_looks=20), [{"a": GOOD, "b": WORSE}] * 5)
    last = verdicts[-1]
    assert (last.kind, last.reason) == (VerdictKind.FAIL, "CanaryWorse")
    first, then, figures = last.message.split(". ", 2)
    assert first == "b: 6 % bad, stable 0.5 %", "one plain sentence first"
    assert then == "The canary is worse on b (risk of error 1 %)"
    assert figures.startswith("b: canary ")
    assert "; ." not in figures, "a look without a remark leaves no room for one"
    assert "control" in last.message
    assert "tolerated up to" in last.message
    assert (last.metrics["a"].reason, last.metrics["b"].reason) == ("Proven", "Worse")


def test_evidence_is_averaged_by_weight() -> None:
    heavy = replace(B, weight=3.0)
    _, (verdict,) = judge(Plan((A, heavy)), [{"a": GOOD, "b": ratios(9, 1000, 5, 1000)}])
    a, b = verdict.metrics["a"].revert_e, verdict.metrics["b"].revert_e
    assert verdict.revert_e == pytest.approx((a + 3 * b) / 4)


def test_a_pass_needs_every_critical_metric() -> None:
    rows = [{"a": ratios(2, 5000, 20, 5000), "b": ratios(0, 5, 0, 5)}] * 6
    _, verdicts = judge(Plan((A, B)), rows)
    assert (verdicts[-1].kind, verdicts[-1].reason) == (VerdictKind.INSUFFICIENT, "MoreLooksNeeded")
    assert "b has " in verdicts[-1].message
    _, verdicts = judge(Plan((A, replace(B, critical=False))), rows)
    assert (verdicts[-1].kind, verdicts[-1].reason) == (VerdictKind.PASS, "NotWorse")


def test_a_lost_uncritical_metric_holds_nobody() -> None:
    rows = [{"a": ratios(2, 5000, 20, 5000), "b": LOST}] * 4
    _, verdicts = judge(Plan((A, replace(B, critical=False))), rows)
    assert verdicts[-1].kind is VerdictKind.PASS


def test_when_no_metric_is_critical_all_are() -> None:
    """A step must not pass because nothing was looked at."""
    quiet = Metric("restarts", Kind.COUNTING, Tolerance(1.5), phi=1.0)
    row = {"restarts": Observation(Events(0, 600), Events(0, 600))}
    _, verdicts = judge(Plan((quiet,)), [row] * 50)
    assert {verdict.kind for verdict in verdicts} == {VerdictKind.INSUFFICIENT}


def test_a_metric_that_only_holds_never_reverts() -> None:
    holds = replace(B, consequence=Consequence.HOLD)
    _, verdicts = judge(Plan((A, holds), planned_looks=30), [{"a": GOOD, "b": WORSE}] * 30)
    assert (verdicts[-1].kind, verdicts[-1].reason) == (VerdictKind.INSUFFICIENT, "HeldByMetric")
    assert "a person decides" in verdicts[-1].message
    assert verdicts[-1].revert_e == pytest.approx(verdicts[-1].metrics["a"].revert_e)


def test_a_breakdown_reverts_from_a_single_look_and_an_incident_of_both_does_not() -> None:
    watched = replace(A, catastrophic=0.2)
    plan = Plan((watched,), planned_looks=20)
    assert plan.revert_risk + plan.catastrophic_risk == pytest.approx(plan.false_revert_risk)
    assert plan.catastrophic_risk == pytest.approx(CATASTROPHIC_SHARE * 0.01)
    _, (verdict,) = judge(plan, [{"a": ratios(70, 100, 0, 100)}])
    assert (verdict.kind, verdict.reason) == (VerdictKind.FAIL, "Catastrophic")
    assert "20 points beyond the control" in verdict.message
    assert verdict.metrics["a"].reason == "Worse", "status blames the metric that reverts"
    _, verdicts = judge(plan, [{"a": ratios(70, 100, 70, 100)}] * 20)
    assert VerdictKind.FAIL not in {v.kind for v in verdicts}


def test_a_breakdown_on_a_metric_that_only_holds_reverts_nobody() -> None:
    watched = replace(A, catastrophic=0.2, consequence=Consequence.HOLD)
    _, verdicts = judge(Plan((watched, B), planned_looks=20), [{"a": ratios(70, 100, 0, 100), "b": GOOD}] * 5)
    assert verdicts[-1].reason == "HeldByMetric"


def test_a_breakdown_of_what_has_a_limit_of_its_own_is_said_without_the_control() -> None:
    limited = replace(A, tolerance=Tolerance(0.0, 0.01), catastrophic=0.2)
    _, (verdict,) = judge(Plan((limited,), planned_looks=20), [{"a": ratios(700, 1000, 0, 1000)}])
    assert "a has broken down, it is bad in more than 20 %: " in verdict.message


def test_a_breakdown_is_seen_beside_a_metric_that_has_no_answer_yet() -> None:
    both = (replace(A, catastrophic=0.2), replace(B, catastrophic=0.2))
    _, verdicts = judge(Plan(both, planned_looks=20), [{"a": LOST, "b": ratios(700, 1000, 0, 1000)}])
    assert verdicts[-1].reason == "Catastrophic"


def test_a_metric_of_unknown_noise_is_not_blamed_before_it_counts() -> None:
    unknown = replace(A, phi=None)
    _, verdicts = judge(Plan((unknown, B), planned_looks=20), [{"a": WORSE, "b": WORSE}] * 6)
    failed = next(verdict for verdict in verdicts if verdict.kind is VerdictKind.FAIL)
    assert "The canary is worse on b (risk" in failed.message


def test_a_pass_of_the_tolerance_itself_speaks_of_no_multiple_of_it() -> None:
    _, verdicts = judge(Plan((A,)), [{"a": ratios(0, 5000, 30, 5000)}] * 4)
    assert verdicts[-1].message.startswith("The canary is not worse on a (risk of error 5 %). a: canary ")


def test_a_provider_that_does_not_answer_and_counters_that_are_not_there_have_two_reasons() -> None:
    absent = Observation(problem=Problem(ProblemKind.NO_DATA, "There is no such series."))
    _, (verdict,) = judge(Plan((A,)), [{"a": LOST}])
    assert (verdict.kind, verdict.reason) == (VerdictKind.PROVIDER_ERROR, "ProviderError")
    assert verdict.message.startswith("The metrics provider gave no answer for a: ")
    _, (verdict,) = judge(Plan((A,)), [{"a": absent}])
    assert (verdict.kind, verdict.reason) == (VerdictKind.INSUFFICIENT, "NoData")


def test_a_metric_that_may_revert_holds_nothing_by_itself_while_the_others_outweigh_it() -> None:
    heavy = replace(B, weight=1e9)
    _, verdicts = judge(Plan((A, heavy), planned_looks=20), [{"a": WORSE, "b": GOOD}] * 6)
    assert verdicts[-1].metrics["a"].revert_e > 100
    assert verdicts[-1].reason == "MoreLooksNeeded"


def test_the_numbers_of_three_metrics_are_enough_for_a_sentence() -> None:
    held = [replace(A, name=name, consequence=Consequence.HOLD) for name in "cdef"]
    rows = [{"a": GOOD, **{metric.name: WORSE for metric in held}}] * 30
    _, verdicts = judge(Plan((A, *held), planned_looks=30), rows)
    assert verdicts[-1].message.startswith("The canary looks worse on c, d, e and f, which only holds")
    assert "e: canary" in verdicts[-1].message
    assert "f: canary" not in verdicts[-1].message


def test_unknown_noise_speaks_only_after_thirty_looks() -> None:
    """Except in a breakdown: that is seen through any noise."""
    unknown = replace(A, phi=None, catastrophic=0.2)
    _, verdicts = judge(Plan((unknown,), planned_looks=60), [{"a": WORSE}] * 40)
    fails = [i for i, v in enumerate(verdicts, start=1) if v.kind is VerdictKind.FAIL]
    assert fails[0] == 30
    assert verdicts[20].reason == "NoiseUnknown"
    assert "a revert waits for 30 looks, 21 were used" in verdicts[20].message
    _, verdicts = judge(Plan((unknown,), planned_looks=60), [{"a": ratios(700, 1000, 0, 1000)}])
    assert verdicts[0].reason == "Catastrophic"


def test_numbers_that_are_no_counts_too_often_prove_nothing() -> None:
    broken = Observation(Ratio(float("nan"), 100), Ratio(0, 100))
    proven = ratios(0, 5000, 30, 5000)
    _, verdicts = judge(Plan((A,)), [{"a": o} for o in (proven, broken, proven, proven)])
    assert verdicts[-1].reason == "TooManyInvalid"
    assert "1 of 4 looks" in verdicts[-1].message
    _, verdicts = judge(Plan((A,)), [{"a": o} for o in (proven, broken, proven, proven, proven)])
    assert verdicts[-1].kind is VerdictKind.PASS


@pytest.mark.parametrize(
    ("rows", "quiet"),
    [
        ([LOST], False),
        ([ratios(0, 10, 0, 10)] * 2, False),  # quiet because nothing was seen
        ([ratios(8, 1000, 5, 1000)] * 2, True),
        ([ratios(22, 1000, 5, 1000)] * 2, False),  # beyond what is tolerated
        ([ratios(8, 1000, 5, 1000), ratios(0, 0, 0, 10)], False),
    ],
)
def test_an_undecided_step_is_quiet_when_the_traffic_would_have_shown_a_harm(
    rows: list[Observation], quiet: bool
) -> None:
    plan = Plan((replace(A, tolerance=Tolerance(1, 0.01)),))
    _, verdicts = judge(plan, [{"a": row} for row in rows])
    assert is_quiet(verdicts[-1], plan.critical) is quiet


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"tolerance": Tolerance(-1, 0)}, "a ratio of at least 0"),
        ({"tolerance": Tolerance(0, 0)}, "must then be above 0"),
        ({"tolerance": Tolerance(float("nan"), 0)}, "finite"),
        ({"phi": 0.5}, "never below 1"),
        ({"weight": 0}, "greater than 0"),
        ({"bounds": (1.0, 1.0)}, "bounds"),
        ({"prior": Prior(2.0)}, "prior"),
        ({"kind": Kind.HISTOGRAM, "tolerance": Tolerance(0.9)}, "scale of at least 1"),
        ({"kind": Kind.COUNTING, "tolerance": Tolerance(1.5, 0.1)}, "no absolute part"),
        ({"kind": Kind.SCALAR, "catastrophic": 0.2}, "kind ratio or mean"),
        ({"catastrophic": 1.0}, "between 0 and 1"),
    ],
)
def test_a_metric_that_makes_no_sense_is_refused(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        replace(A, **change)  # type: ignore[arg-type]


def test_a_plan_that_makes_no_sense_is_refused() -> None:
    for plan in ({"metrics": ()}, {"metrics": (A, A)}, {"metrics": (A,), "miss_risk": 0.0}):
        with pytest.raises(ValueError, match=r"needs at least|must differ|must lie"):
            Plan(**plan)  # type: ignore[arg-type]


def test_a_scalar_needs_twenty_looks_and_holds() -> None:
    cost = Metric("cost", Kind.SCALAR, Tolerance(1.1, 0.0), unit="$ per 1k tokens")
    rows = [
        {
            "a": GOOD,
            "cost": Observation(Scalar(1.5 + 0.1 * math.sin(7 * i)), Scalar(1.0 + 0.1 * math.cos(5 * i))),
        }
        for i in range(60)
    ]
    _, verdicts = judge(Plan((A, cost)), rows)
    reasons = [v.reason for v in verdicts]
    assert "HeldByMetric" not in reasons[:19]
    assert reasons[-1] == "HeldByMetric"
    assert "$ per 1k tokens" in verdicts[-1].message


BREAKDOWNS = list(product((0.3, 0.6, 1.0), (0, 3, 10, 40, 150), (None, 1.0, 1.5, 3.0)))


@pytest.mark.parametrize(("bad", "healthy", "phi"), some(BREAKDOWNS, 7))
def test_a_breakdown_reverts_within_four_looks_wherever_it_begins(
    phi: float | None, healthy: int, bad: float
) -> None:
    """100 requests a look, without history (a control of one pod) and with one that is quiet or noisy: the
    new level is no noise that could excuse it."""
    metric = Metric("errors", tolerance=Tolerance(1, 0.005), catastrophic=BEYOND_CONTROL, phi=phi)
    counts = [0.0] * healthy + [100 * bad] * 4
    _, verdicts = judge(
        Plan((metric,), planned_looks=100), [{"errors": ratios(x, 100, 0, 100)} for x in counts]
    )
    assert [verdict.kind for verdict in verdicts[:healthy]].count(VerdictKind.FAIL) == 0
    assert verdicts[-1].kind is VerdictKind.FAIL


def test_an_incident_that_hits_both_arms_is_no_breakdown() -> None:
    metric = Metric("errors", tolerance=Tolerance(1, 0.05), catastrophic=0.2)
    rows = [{"errors": ratios(x, 200, x, 200)} for x in [0.0] * 10 + [100.0] * 20]
    _, verdicts = judge(Plan((metric,), planned_looks=100), rows)
    assert all(verdict.kind is not VerdictKind.FAIL for verdict in verdicts)
