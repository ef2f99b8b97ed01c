"""A step proves no more than the next one risks; the last proof is of the tolerance itself."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from modelrollout.analysis.betting.block import Margin
from modelrollout.analysis.betting.ladder import StepTerms, terms_of, widened, widened_edge
from modelrollout.analysis.evidence.evidence import Evidence
from modelrollout.analysis.inputs.metric import Kind, Metric, Prior, Tolerance
from modelrollout.analysis.inputs.observation import Observation
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.kinds.latency import edges_of
from tests.unit.analysis.given import ERRORS, latency_histogram, look, ratios
from tests.unit.analysis.test_latency import METRIC, lognormal

PLAN = Plan((ERRORS,), planned_looks=120)


def looks_to_pass(evidence: Evidence, first: int, bad: float = 5.0) -> tuple[Evidence, int | None]:
    """Looks of 300 requests an arm, the control 0.5 % bad, `bad` per 1,000 of the canary; None: not in 40."""
    for number in range(first, first + 40):
        evidence, verdict = evidence.fold(look(number), {"errors": ratios(0.3 * bad, 300, 1.5, 300)})
        if verdict.kind.value == "Pass":
            return evidence, number - first + 1
    return evidence, None


def test_a_step_to_a_quarter_of_the_users_proves_four_tolerances_and_sooner() -> None:
    fresh = Evidence.fresh(PLAN)
    _, soon = looks_to_pass(fresh.restart_promotion(terms=StepTerms(margin=4)), 1)
    _, late = looks_to_pass(fresh.restart_promotion(), 1)
    assert soon is not None
    assert late is not None
    assert soon == PLAN.minimum_looks < late


def test_what_is_twice_as_bad_as_tolerated_passes_an_early_step_and_never_the_last() -> None:
    evidence = Evidence.fresh(replace(PLAN, metrics=(replace(ERRORS, consequence=None),)))
    evidence, early = looks_to_pass(evidence.restart_promotion(terms=StepTerms(margin=4)), 1, bad=12.0)
    assert early is not None
    _, last = looks_to_pass(evidence.restart_promotion(terms=StepTerms(carry=True)), 50, bad=12.0)
    assert last is None


def test_evidence_against_is_at_the_tolerance_itself_in_every_step() -> None:
    ends = []
    for margin in (1.0, 4.0):
        evidence = Evidence.fresh(PLAN).restart_promotion(terms=StepTerms(margin=margin))
        for number in range(1, 20):
            evidence, verdict = evidence.fold(look(number), {"errors": ratios(40, 1000, 5, 1000)})
        ends.append(verdict.revert_e)
    assert ends[0] == ends[1] > 100


def test_evidence_for_is_carried_only_where_the_load_per_pod_stays_the_same() -> None:
    evidence = Evidence.fresh(PLAN).restart_promotion(terms=StepTerms(margin=2))
    evidence, _ = looks_to_pass(evidence, 1)
    for number in range(100, 103):
        evidence, _ = evidence.fold(look(number), {"errors": ratios(5, 1000, 5, 1000)})
    e = {}
    for carry in (True, False):
        begun = evidence.restart_promotion(terms=StepTerms(carry=carry))
        e[carry] = begun.standings()["errors"].reading.log_promote
    assert e[False] == pytest.approx(0.0)
    assert e[True] > 1.0


def test_a_step_in_progress_goes_on_after_a_restart() -> None:
    evidence = Evidence.fresh(PLAN).restart_promotion(terms=StepTerms(margin=4, carry=True, alike=False))
    evidence, _ = evidence.fold(look(1), {"errors": ratios(5, 1000, 5, 1000)})
    restored = Evidence.from_state(PLAN, evidence.to_state())
    assert restored == evidence
    row = {"errors": ratios(4, 900, 5, 1000)}
    assert restored.fold(look(2), row)[0] == evidence.fold(look(2), row)[0]


def test_latency_is_not_asked_for_where_the_pods_carry_different_load_but_at_the_last() -> None:
    rng = random.Random(3)
    plan = Plan((ERRORS, METRIC), planned_looks=120)
    for terms, wanted in (
        (StepTerms(margin=4, alike=False), "Pass"),
        (StepTerms(margin=4), "Insufficient"),
        (StepTerms(margin=1, alike=False), "Insufficient"),
    ):
        evidence = Evidence.fresh(plan).restart_promotion(terms=terms)
        for number in range(1, 11):
            few = Observation(latency_histogram(rng, 1), latency_histogram(rng, 100))
            row = {"errors": ratios(5, 1000, 5, 1000), "ttft": few}
            evidence, verdict = evidence.fold(look(number), row)
        assert verdict.kind.value == wanted


@pytest.mark.parametrize(
    ("metric", "factor", "margin"),
    [
        (Metric("m", tolerance=Tolerance(1, 0.005)), 4, Margin(1, 0.02)),
        (Metric("m", tolerance=Tolerance(1.1, 0.005)), 2, Margin(1.2, 0.01)),
        (Metric("m", tolerance=Tolerance(1, 0.2)), 4, Margin(1, 0.5)),
        (Metric("m", tolerance=Tolerance(0, 0.01)), 4, None),  # an absolute limit holds for each user
        (Metric("m", tolerance=Tolerance(0.9, 0.0)), 4, None),  # an improvement that is asked for
        (Metric("m", Kind.COUNTING, Tolerance(1.5)), 4, Margin(3, 0)),
    ],
)
def test_the_margin_of_several_tolerances(metric: Metric, factor: float, margin: Margin | None) -> None:
    found = widened(metric, factor)
    assert found == (margin if margin is None else pytest.approx(margin))


def test_at_an_edge_four_tolerances_are_what_a_control_forty_percent_slower_would_show() -> None:
    slower = lognormal(1.4)
    beyond = {e: sum(slower.counts[i + 1 :]) / 1e9 for i, e in enumerate(slower.edges)}
    edges = edges_of(METRIC, lognormal())
    for edge in (edges.margins[i] for i in edges.proving):
        wide = widened_edge(edge, 1.1, 4.0)
        assert wide.ratio * edge.exceedance == pytest.approx(beyond[edge.edge], rel=0.12)
        assert widened_edge(edge, 1.1, 1.0).ratio == pytest.approx(edge.ratio)


def test_the_terms_of_the_usual_plan() -> None:
    assert terms_of(0.25, load=0.21, load_before=None) == StepTerms(4.0, carry=False, alike=False)
    assert terms_of(0.5, load=1.0, load_before=0.2) == StepTerms(2.0, carry=False, alike=True)
    assert terms_of(1.0, load=1.0, load_before=1.0) == StepTerms(1.0, carry=True, alike=True)


def test_a_canary_beyond_the_tolerance_climbs_the_whole_ladder_in_at_most_one_of_twenty() -> None:
    """Exactly on the tolerance, three steps of 12 looks; the last carries what the second has shown."""
    metric = Metric("errors", tolerance=Tolerance(1, 0.02), prior=Prior(0.02), phi=1.0)
    climbed, rng = 0, random.Random(20261127)
    for _ in range(24):
        evidence, passed = Evidence.fresh(Plan((metric,), planned_looks=90)), True
        ladder = (StepTerms(4.0), StepTerms(2.0), StepTerms(1.0, carry=True))
        for step, terms in enumerate(ladder):
            evidence, kinds = evidence.restart_promotion(terms=terms), set()
            for number in range(12):
                bad = [sum(rng.random() < p for _ in range(60)) for p in (0.04, 0.02)]
                row = {"errors": ratios(bad[0], 60, bad[1], 60)}
                evidence, verdict = evidence.fold(look(1 + 12 * step + number), row)
                kinds.add(verdict.kind.value)
            passed &= "Pass" in kinds
        climbed += passed
    assert climbed <= 4  # 5 % of 24, and three standard deviations
