"""Plans say how long steps take, within what the engine then does."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from modelrollout.analysis.betting.block import Margin
from modelrollout.analysis.betting.information import detectable, kl, rate, units_to_pass
from modelrollout.analysis.evidence.decision import VerdictKind
from modelrollout.analysis.evidence.evidence import Evidence
from modelrollout.analysis.evidence.split import RISK, SplitProof
from modelrollout.analysis.inputs.metric import Kind, Metric, Tolerance
from modelrollout.analysis.inputs.observation import Events, Histogram, Look, Observation
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.planning.planner import Stage, StageForecast, demands, forecast, low_traffic
from tests.shared.until_revert import units_to_revert
from tests.unit.analysis.given import ERRORS, TTFT, latency_histogram

LATENCY = Metric(
    "ttft", Kind.HISTOGRAM, Tolerance(1.2), baseline=latency_histogram(random.Random(1), 20000), phi=2.0
)
PLAN = Plan((ERRORS, LATENCY))
STEPS = [Stage(0.05, 0.95, 600), Stage(0.25, 0.75, 600), Stage(0.5, 0.5, 1800)]


@pytest.mark.parametrize(
    ("bad", "beyond", "risk", "quarter", "half"),
    [
        (0.012, 0.005, 0.009, (5600, 3600), (7200, 4600)),
        (0.022, 0.005, 0.009, (860, 550), (1300, 810)),
        (0.052, 0.005, 0.009, (170, 110), (300, 190)),
        (0.30, 0.1, 0.001, (65, 47), (84, 61)),  # a breakdown
    ],
)
def test_the_page_says_how_many_canary_requests_a_proof_takes(bad, beyond, risk, quarter, half) -> None:
    """docs/verdicts.md, what 5 requests a second decide: ours, and the best test that keeps the risk."""
    margin = Margin(1, beyond)
    for share, (ours, best) in ((0.25, quarter), (0.5, half)):
        assert units_to_revert((bad, 0.002), share, margin, 1.0, risk) == pytest.approx(ours, rel=0.04)
        assert -math.log(risk) / rate(bad, 0.002, share, margin) == pytest.approx(best, rel=0.04)


@pytest.mark.parametrize(
    ("bad", "share", "requests"),
    [(0.02, 0.5, 3263), (0.03, 0.5, 1091), (0.10, 0.5, 144), (0.03, 0.1, 600)],
)
def test_requests_to_a_revert(bad: float, share: float, requests: float) -> None:
    assert units_to_revert((bad, 0.005), share, Margin(1, 0.005), 1.0, 0.01) == pytest.approx(
        requests, rel=0.01
    )


@pytest.mark.parametrize(("delta", "requests"), [(0.005, 2634), (0.01, 786)])
def test_requests_to_a_pass(delta: float, requests: float) -> None:
    assert units_to_pass(0.005, 0.5, Margin(1, delta), 1.0, 0.05) == pytest.approx(requests, rel=0.01)


def test_what_the_traffic_can_find_shrinks_with_its_root() -> None:
    few = detectable(0.01, (1000, 1000), Margin(1, 0.005), 1.0, 0.01)
    many = detectable(0.01, (100_000, 100_000), Margin(1, 0.005), 1.0, 0.01)
    assert few is not None
    assert many is not None
    assert 0.05 < many / few < 0.12
    assert detectable(0.01, (0, 100), Margin(1, 0.005), 1.0, 0.01) is None
    assert detectable(0.5, (2, 2), Margin(1, 0.4), 1.0, 0.01) is None


def test_what_is_detectable_is_what_the_rate_of_evidence_says() -> None:
    margin, n = Margin(1, 0.005), 20_000.0
    excess = detectable(0.005, (n, n), margin, 1.0, 0.01)
    assert excess is not None
    needed = units_to_revert((margin.limit(0.005) + excess, 0.005), 0.5, margin, 1.0, 0.01)
    assert needed == pytest.approx(n, rel=0.2)


def test_evidence_flows_only_from_a_difference() -> None:
    assert kl(0.1, 0.1) == 0
    assert rate(0.01, 0.005, 0.5, Margin(1, 0.005)) == pytest.approx(0, abs=1e-9)
    assert units_to_revert((0.009, 0.005), 0.5, Margin(1, 0.005), 1.0, 0.01) == math.inf
    assert units_to_pass(0.005, 0.5, Margin(1, 0.0), 1.0, 0.05) == math.inf


def test_more_weight_makes_steps_shorter_and_the_slowest_metric_decides() -> None:
    wanted = demands(PLAN, {"errors": 10.0, "ttft": 10.0})
    first, second, third = forecast(PLAN, wanted, STEPS, 30.0)
    assert first.seconds > second.seconds
    assert first.slowest in ("errors", "ttft")
    assert first.seconds % 30 == 0
    assert third.seconds >= 1800
    (errors,) = (m for m in first.metrics if m.name == "errors")
    assert errors.finds is not None
    assert errors.finds > errors.limit
    assert first.seconds >= errors.seconds_to_pass


def test_a_busy_service_is_held_only_by_its_dwell() -> None:
    wanted = demands(PLAN, {"errors": 1e5, "ttft": 1e5})
    steps = forecast(PLAN, wanted, STEPS, 30.0)
    assert [step.seconds for step in steps] == [600, 600, 1800]
    assert {step.slowest for step in steps} == {None}


def test_without_traffic_or_a_control_nothing_is_promised() -> None:
    (idle,) = forecast(PLAN, demands(PLAN, {"errors": 0.0}), STEPS[:1], 30.0)
    assert idle.seconds == math.inf
    assert idle.metrics[0].finds is None
    (alone,) = forecast(PLAN, demands(PLAN, {"errors": 10.0}), [Stage(1.0, 0.0, 60)], 30.0)
    assert (alone.comparable, alone.seconds) == (False, 60)


def test_what_waits_until_a_step_has_settled_is_planned_to_wait() -> None:
    plan = Plan((replace(ERRORS, settle=60.0),))
    at_once, later = (
        forecast(PLAN, demands(each, {"errors": 10.0}), STEPS[:1], 1.0)[0] for each in (Plan((ERRORS,)), plan)
    )
    assert later.seconds == at_once.seconds + 60


def test_a_latency_that_is_judged_by_its_mean_is_planned_in_looks() -> None:
    one = Histogram(TTFT, tuple(5000.0 * (edge == 0.5) for edge in (*TTFT, 0)))
    coarse = Metric("ttft", Kind.HISTOGRAM, Tolerance(1.1), baseline=one)
    wanted = demands(Plan((coarse,)), {"ttft": 1e5})
    assert forecast(PLAN, wanted, [Stage(0.5, 0.5, 60)], 30.0)[0].seconds == 600


def test_noise_makes_everything_as_many_times_longer() -> None:
    calm = demands(Plan((ERRORS,)), {"errors": 10.0})
    wild = demands(Plan((replace(ERRORS, phi=4.0),)), {"errors": 10.0})
    slow, fast = (forecast(PLAN, d, STEPS[:1], 1.0)[0].seconds for d in (wild, calm))
    assert slow == pytest.approx(4 * fast, rel=0.01)


def test_noise_that_nobody_knows_makes_a_proof_three_times_longer() -> None:
    known, unknown = (
        forecast(PLAN, demands(Plan((replace(ERRORS, phi=phi),)), {"errors": 10.0}), STEPS[:1], 1.0)[
            0
        ].seconds
        for phi in (1.0, None)
    )
    assert unknown == pytest.approx(3 * known, rel=0.01)


def test_a_step_that_proves_four_tolerances_is_shorter_on_every_metric() -> None:
    wanted = demands(PLAN, {"errors": 1.0, "ttft": 1.0})
    whole, ladder = (
        forecast(PLAN, wanted, [Stage(0.05, 0.95, 600, margin)], 30.0)[0] for margin in (1.0, 4.0)
    )
    for before, after in zip(whole.metrics, ladder.metrics, strict=True):
        assert after.seconds_to_pass < before.seconds_to_pass / 3


def test_traffic_that_is_too_low_is_said_with_the_step_the_metric_and_what_helps() -> None:
    steps = forecast(PLAN, demands(PLAN, {"errors": 0.3, "ttft": 0.3}), STEPS, 30.0)
    said = low_traffic(steps, 7200.0)
    assert said is not None
    assert said.startswith(
        f"With this traffic step 1 has after about {steps[0].seconds / 3600:.2g} h the evidence"
    )
    assert f"not worse on {steps[0].slowest}, and a step may last 2 h" in said
    assert (
        low_traffic(forecast(PLAN, demands(PLAN, {"errors": 1e4, "ttft": 1e4}), STEPS, 30.0), 7200.0) is None
    )
    never = StageForecast(math.inf, "errors", (), comparable=True)
    assert "never has the evidence" in (low_traffic([never], 7200.0) or "")


def test_a_proposal_for_low_traffic_says_when_each_step_is_decided_and_what_a_wider_tolerance_gives() -> None:
    steps = [StageForecast(seconds, "ttft", (), comparable=True) for seconds in (9000.0, 600.0, 12_000.0)]
    said = low_traffic(steps, 7200.0, wider=3000.0) or ""
    assert said.startswith("With this traffic step 3 has after about 3.3 h the evidence")
    assert "step 1 after 2.5 h, step 2 after 10 min" in said
    assert "twice the tolerance on ttft (about 50 min then)" in said
    assert "an evaluation before any user" in said


# ── the split ───────────────────────────────────────────────────────────────────────────────────


def split(share: float, looks: int, weight: float = 0.1, n: int = 200) -> SplitProof:
    proof = SplitProof()
    for i in range(looks):
        proof = proof.fold(30.0 * (i + 1), (share * n, (1 - share) * n), weight)
    return proof


def test_a_true_split_is_never_called_a_mismatch_and_a_wrong_one_soon_is() -> None:
    assert split(0.1, 500).mismatch is None
    wrong = split(0.2, 8).mismatch
    assert wrong is not None
    assert "20 % of 1,600 requests where the weights meant 10 %" in wrong


def test_a_split_that_breaks_late_is_found() -> None:
    proof = split(0.1, 200)
    for i in range(200, 215):
        proof = proof.fold(30.0 * (i + 1), (60.0, 140.0), 0.1)
    assert proof.mismatch is not None


def test_the_split_is_judged_fairly() -> None:
    rng, mismatched = random.Random(6), 0
    for _ in range(200):
        proof = SplitProof()
        for i in range(40):
            canary = float(sum(rng.random() < 0.3 for _ in range(20)))
            proof = proof.fold(float(i + 1), (canary, 20 - canary), 0.3)
        mismatched += proof.e >= 1 / RISK
    assert mismatched <= 1


def test_sticky_sessions_are_no_mismatch() -> None:
    """Every choice brings twenty requests: the share wanders, and the weight is kept all the same."""
    rng, mismatched = random.Random(7), 0
    for _ in range(100):
        proof = SplitProof()
        for i in range(40):
            sessions = sum(rng.random() < 0.1 for _ in range(10))
            proof = proof.fold(float(i + 1), (20.0 * sessions, 200.0 - 20 * sessions), 0.1)
        assert proof.phi > 5
        mismatched += proof.mismatch is not None
    assert mismatched <= 3
    assert split(0.4, 40).mismatch is not None  # the same for all looks: no stickiness explains it


def test_the_proof_is_folded_once_and_stored_bit_for_bit() -> None:
    proof = split(0.15, 5)
    again = SplitProof.from_state(proof.to_state())
    assert again == proof
    with pytest.raises(ValueError, match="folded already"):
        again.fold(150.0, (1, 9), 0.1)
    assert again.fold(180.0, (5, 5), 1.0).e == proof.e  # a weight of 1 tests nothing


def test_what_reaches_an_arm_of_weight_0_is_no_mismatch() -> None:
    """Tests through the preview do, before users come; nothing that was shared out went elsewhere."""
    assert split(0.5, 500, weight=0.0).mismatch is None


def test_the_share_that_was_counted_is_shown_beside_the_share_that_was_meant() -> None:
    proof = SplitProof()
    assert proof.measured is None
    proof = proof.fold(30.0, (52.0, 948.0), 0.05).fold(60.0, (260.0, 740.0), 0.25)
    assert proof.measured == "15.6 % of 2,000 requests, 15 % meant"


def test_rare_events_are_planned_as_long_as_the_engine_then_needs() -> None:
    """One event in a hundred seconds of a pod, four pods, half of them the canary's: seconds to a Pass."""
    often, pods = 0.01, 4.0
    metric = Metric("preemptions", Kind.COUNTING, Tolerance(3.0), critical=True)
    plan = Plan((metric,))
    wanted = demands(plan, {"preemptions": pods}, {"preemptions": often})
    (step,) = forecast(plan, wanted, [Stage(0.5, 0.5, 600)], 30)
    assert step.slowest == "preemptions"
    assert step.metrics[0].times == 3.0
    rng, taken = random.Random(3), []
    for _ in range(3):
        evidence, look = Evidence.fresh(plan), 0
        while True:
            exposure = 30 * pods / 2
            arms = [Events(float(_poisson(rng, often * exposure)), exposure) for _ in range(2)]
            seen = {"preemptions": Observation(*arms)}
            evidence, verdict = evidence.fold(Look(30.0 * look, 30.0 * (look + 1)), seen)
            look += 1
            if verdict.kind is VerdictKind.PASS or look > 200:
                break
        taken.append(30.0 * look)
    assert 0.4 < sorted(taken)[1] / step.seconds < 2.5


def _poisson(rng: random.Random, mean: float) -> int:
    limit, product, count = math.exp(-mean), rng.random(), 0
    while product > limit:
        product, count = product * rng.random(), count + 1
    return count


def test_events_that_never_happened_before_or_may_not_be_more_prove_nothing() -> None:
    metric = Metric("aborts", Kind.COUNTING, Tolerance(1.0), critical=True)
    plan = Plan((metric,))
    for events in (0.0, 0.01):
        (step,) = forecast(plan, demands(plan, {"aborts": 4.0}, {"aborts": events}), [Stage(0.5, 0.5)], 30)
        assert math.isinf(step.seconds)
