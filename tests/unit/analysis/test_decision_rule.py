"""The rule itself, on standings whose numbers lie exactly where a rule begins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from modelrollout.analysis.betting.ladder import StepTerms
from modelrollout.analysis.evidence.decision import Decision, Standing, StepProgress, VerdictKind, decide
from modelrollout.analysis.inputs.metric import Consequence, Metric, Tolerance
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.kinds.reading import ArmTotals, Reading
from tests.unit.analysis.given import ERRORS

FAIL, PASS, INSUFFICIENT = VerdictKind.FAIL, VerdictKind.PASS, VerdictKind.INSUFFICIENT
BELOW = 1e-6
LONG = StepProgress(looks=100)


def metric(name: str, **changes: object) -> Metric:
    return replace(ERRORS, name=name, catastrophic=None, **changes)  # type: ignore[arg-type]


def standing(
    of: Metric, revert: float = 0.0, promote: float = 0.0, catastrophic: float | None = None
) -> Standing:
    arms = ArmTotals(1000, 50), ArmTotals(1000, 5)
    return Standing(of, Reading(*arms, 0.045, None, revert, promote, catastrophic), 100, 0, True, heard=100)


def early(of: Metric, revert: float) -> Standing:
    """After one look of a metric whose noise nobody knows."""
    return replace(standing(of, revert), used=1, noise_known=False)


def decided(*standings: Standing, step: StepProgress = LONG) -> Decision:
    plan = Plan(tuple(each.metric for each in standings))
    return decide(plan, {each.metric.name: each for each in standings}, step)


A, B, C, D = (metric(name) for name in "abcd")
WATCHED = [replace(each, catastrophic=0.2) for each in (A, B, C)]
BROKEN = -math.log(Plan((WATCHED[0],)).catastrophic_risk)
WORSE = -math.log(Plan((A,)).revert_risk)
PROVEN = -math.log(Plan((A,)).miss_risk)


@pytest.mark.parametrize(("short", "reason"), [(0.0, "Catastrophic"), (BELOW, "MoreLooksNeeded")])
def test_one_metric_breaks_down_exactly_at_its_limit(short: float, reason: str) -> None:
    assert decided(standing(WATCHED[0], catastrophic=BROKEN - short)).reason == reason


@pytest.mark.parametrize(("short", "reason"), [(-BELOW, "Catastrophic"), (BELOW, "MoreLooksNeeded")])
def test_the_evidence_of_watched_metrics_is_averaged(short: float, reason: str) -> None:
    alone = math.log(2 * math.exp(BROKEN) - 1)
    seen = decided(standing(WATCHED[0], catastrophic=alone - short), standing(WATCHED[1]))
    assert seen.reason == reason, "the other one has evidence 1, and so has one that saw nothing yet"


def test_the_metric_that_broke_down_most_is_named_first() -> None:
    seen = decided(
        standing(WATCHED[0], catastrophic=2 * BROKEN),
        standing(WATCHED[1], catastrophic=3 * BROKEN),
        standing(WATCHED[2], catastrophic=BROKEN),
    )
    assert seen.message.startswith("b: 5 % bad")
    assert "bad in more than 20 points beyond the control" in seen.message


def test_a_metric_with_an_absolute_limit_breaks_down_in_percent() -> None:
    absolute = replace(WATCHED[0], tolerance=Tolerance(0.0, 0.01))
    assert "bad in more than 20 %: " in decided(standing(absolute, catastrophic=BROKEN)).message


def test_a_metric_that_only_holds_cannot_break_down() -> None:
    holds = replace(WATCHED[0], consequence=Consequence.HOLD)
    assert decided(standing(WATCHED[1]), standing(holds, catastrophic=9 * BROKEN)).kind is INSUFFICIENT


@pytest.mark.parametrize(("short", "kind"), [(0.0, FAIL), (BELOW, INSUFFICIENT)])
def test_a_canary_is_worse_exactly_at_the_limit(short: float, kind: VerdictKind) -> None:
    assert decided(standing(A, revert=WORSE - short)).kind is kind


def blamed(standings: Sequence[Standing]) -> str:
    seen = decided(*standings)
    assert seen.reason == "CanaryWorse"
    return seen.message


def test_the_blamed_metrics_stand_in_the_order_of_their_evidence_and_three_are_explained() -> None:
    evidence = [WORSE + 2, WORSE + 4, WORSE + 3, WORSE + 3.5]
    message = blamed([standing(m, revert=e) for m, e in zip((A, B, C, D), evidence, strict=True)])
    assert message.startswith("b: 5 % bad")
    assert [message.count(f"{name}: canary ") for name in "abcd"] == [0, 1, 1, 1]
    assert message.index("b: canary") < message.index("d: canary") < message.index("c: canary")


def test_evidence_that_does_not_count_yet_is_not_blamed() -> None:
    message = blamed([early(A, 9 * WORSE), standing(B, revert=2 * WORSE)])
    assert "is worse on b (" in message


@pytest.mark.parametrize(("short", "reason"), [(0.0, "NoiseUnknown"), (BELOW, "MoreLooksNeeded")])
def test_strong_evidence_of_unknown_noise_is_named_exactly_at_the_limit(short: float, reason: str) -> None:
    seen = decided(early(A, WORSE - short))
    assert (seen.kind, seen.reason) == (INSUFFICIENT, reason)


def test_of_several_with_unknown_noise_the_strongest_is_named() -> None:
    seen = [early(m, e * WORSE) for m, e in ((A, 2), (B, 3), (C, 1))]
    assert "worse on b," in decided(*seen).message


@pytest.mark.parametrize(("short", "reason"), [(0.0, "HeldByMetric"), (BELOW, "MoreLooksNeeded")])
def test_a_metric_that_only_holds_does_so_exactly_at_the_limit(short: float, reason: str) -> None:
    holds = replace(B, consequence=Consequence.HOLD)
    assert decided(standing(A), standing(holds, revert=WORSE - short)).reason == reason


def test_a_metric_that_may_revert_does_not_hold_while_its_weight_is_too_small_to_revert() -> None:
    light, heavy = replace(A, weight=1.0), replace(B, weight=9.0)
    assert decided(standing(light, revert=WORSE + 1), standing(heavy)).reason == "MoreLooksNeeded"


@pytest.mark.parametrize(("short", "kind"), [(0.0, PASS), (BELOW, INSUFFICIENT)])
def test_a_step_passes_exactly_at_the_limit(short: float, kind: VerdictKind) -> None:
    assert decided(standing(A, promote=PROVEN - short)).kind is kind


def test_a_pass_explains_three_metrics() -> None:
    message = decided(*(standing(m, promote=PROVEN) for m in (A, B, C, D))).message
    assert [message.count(f"{name}: canary ") for name in "abcd"] == [1, 1, 1, 0]


@pytest.mark.parametrize(
    ("margin", "said"), [(1.0, "not worse on a"), (4.0, "not worse by more than 4 times")]
)
def test_a_pass_says_what_it_is_proof_of(margin: float, said: str) -> None:
    step = StepProgress(100, StepTerms(margin=margin))
    assert said in decided(standing(A, promote=PROVEN), step=step).message


@pytest.mark.parametrize(
    ("remark", "end"), [("", "(0.5 %)"), ("its pods are busier", "; its pods are busier")]
)
def test_a_remark_on_the_last_look_ends_the_summary(remark: str, end: str) -> None:
    assert replace(standing(A), remark=remark).summary.endswith(end)
