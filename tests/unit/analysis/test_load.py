"""A canary whose pods carry more than the control's is not blamed for being slower."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrollout.analysis.evidence.decision import VerdictKind
from modelrollout.analysis.evidence.evidence import Evidence
from modelrollout.analysis.evidence.load import APART, shown
from modelrollout.analysis.evidence.verdict import Verdict
from modelrollout.analysis.inputs.metric import Kind, Metric, Tolerance
from modelrollout.analysis.inputs.observation import Events, Histogram, Observation
from modelrollout.analysis.inputs.plan import Plan
from tests.unit.analysis.given import ERRORS, judge, ratios

EDGES = (0.1, 0.25, 0.5, 1.0)
USUAL, SLOW = Histogram(EDGES, (100, 600, 250, 40, 10)), Histogram(EDGES, (20, 200, 400, 300, 80))
TTFT = Metric("ttft", Kind.HISTOGRAM, Tolerance(1.1), baseline=USUAL, phi=1.0, unit="s")
PLAN = Plan((TTFT,), planned_looks=20)


def after(canary: Histogram, load: float | None, looks: int = 8, plan: Plan = PLAN) -> Verdict:
    return judge(plan, [{"ttft": Observation(canary, USUAL, load=load)}] * looks)[1][-1]


def test_a_slower_canary_with_more_load_holds_the_rollout_and_does_not_revert_it() -> None:
    assert after(SLOW, load=1.0).kind is VerdictKind.FAIL
    verdict = after(SLOW, load=2.1)
    assert (verdict.kind, verdict.reason) == (VerdictKind.INSUFFICIENT, "MoreLooksNeeded")
    assert verdict.metrics["ttft"].revert_e == pytest.approx(1.0)
    assert "carried 2.1 times the requests of a control's" in verdict.message
    assert "does not count against it" in verdict.metrics["ttft"].message


def test_a_canary_that_is_as_fast_under_more_load_passes() -> None:
    equal = after(USUAL, load=1.0)
    loaded = after(USUAL, load=3.0)
    assert loaded.kind is equal.kind is VerdictKind.PASS
    assert loaded.metrics["ttft"].promote_e == equal.metrics["ttft"].promote_e


def test_a_slower_canary_with_less_load_is_reverted_and_its_load_is_shown() -> None:
    verdict = after(SLOW, load=0.2)
    assert verdict.kind is VerdictKind.FAIL
    assert "holds for that load" in verdict.metrics["ttft"].message


@pytest.mark.parametrize("load", [None, 1.0, APART, 1 / APART])
def test_loads_that_are_alike_or_unknown_change_nothing(load: float | None) -> None:
    assert after(SLOW, load) == after(SLOW, None)


def test_only_what_grows_with_load_is_excused() -> None:
    bad, events = ratios(60, 1000, 5, 1000), Observation(Events(40, 600), Events(2, 600))
    counting = Metric("preemptions", Kind.COUNTING, Tolerance(1.5), phi=1.0)
    plan = Plan((ERRORS, counting, replace(counting, name="queued", load=True)), planned_looks=20)
    row = {"errors": bad, "preemptions": events, "queued": events}
    last = judge(plan, [{n: replace(o, load=4.0) for n, o in row.items()}] * 4)[1][-1]
    assert last.metrics["errors"].reason == last.metrics["preemptions"].reason == "Worse"
    assert last.metrics["queued"].revert_e == pytest.approx(1.0)


def test_looks_that_blame_nobody_keep_what_others_showed() -> None:
    evidence, verdicts = judge(PLAN, [{"ttft": Observation(SLOW, USUAL)}] * 2)
    again = Evidence.from_state(PLAN, json.loads(json.dumps(evidence.to_state())))
    before = verdicts[-1].metrics["ttft"].revert_e
    _, verdict = judge(PLAN, [{"ttft": Observation(SLOW, USUAL, load=load)} for load in (1.0, 1.0, 2.0)])
    assert again == evidence
    assert verdict[-1].metrics["ttft"].revert_e == pytest.approx(before, rel=0.05)


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.floats(0.1, 1e4), st.floats(0.1, 1e4))
def test_what_is_shown_lies_between_alike_and_the_plain_ratio(x1: int, x0: int, s1: float, s0: float) -> None:
    ratio = shown((x1, s1), (x0, s0))
    if not x1 or not x0:
        assert ratio is None
        return
    plain = (x1 / s1) / (x0 / s0)
    assert ratio is not None
    assert min(1.0, plain) * (1 - 1e-9) <= ratio <= max(1.0, plain) * (1 + 1e-9)
    other = shown((x0, s0), (x1, s1))
    assert other is not None
    assert math.isclose(ratio * other, 1.0)


def test_a_few_requests_show_no_load_and_many_do() -> None:
    few, many = shown((4, 30), (2, 30)), shown((4000, 30), (2000, 30))
    assert few == pytest.approx(1.0)
    assert many == pytest.approx(2.0, rel=0.1)
