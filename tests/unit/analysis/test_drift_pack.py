"""The pack `drift`: arms whose distributions differ hold a rollout, and chance alone never does."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from modelrollout.analysis.betting.distance import ks_always, ks_of_counts, log_evidence, population_stability
from modelrollout.analysis.evidence.decision import VerdictKind
from modelrollout.analysis.evidence.evidence import Evidence
from modelrollout.analysis.evidence.verdict import Verdict
from modelrollout.analysis.inputs.observation import Histogram, Observation, Problem
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.kinds import checks
from modelrollout.analysis.packs.catalogue import resolve
from modelrollout.analysis.packs.limits import Unresolvable
from modelrollout.api import analysis as spec
from tests.unit.analysis.given import ERRORS, judge, latency_histogram, look, ratios

(PROMPTS,) = resolve([spec.Metric.model_validate({"use": "drift/prompt-tokens"})])
METRIC = PROMPTS.metric
PLAN = Plan((ERRORS, METRIC), planned_looks=40)
NAME = METRIC.name


def looks(factor: float, count: int, seed: int = 1, requests: int = 60) -> list[dict[str, Observation]]:
    """The canary's prompts are `factor` times as long; the control has four times the requests."""
    rng = random.Random(seed)
    return [
        {
            "errors": ratios(0, 200, 0, 800),
            NAME: Observation(latency_histogram(rng, requests, factor), latency_histogram(rng, 4 * requests)),
        }
        for _ in range(count)
    ]


def last(rows: list[dict[str, Observation]]) -> Verdict:
    return judge(PLAN, rows)[1][-1]


def test_prompts_that_differ_hold_a_rollout_with_the_sentence_that_says_what_it_means() -> None:
    verdict = last(looks(1.6, 20))
    assert (verdict.kind, verdict.reason) == (VerdictKind.INSUFFICIENT, "HeldByMetric")
    first, figures = verdict.message.split("; ", 1)
    assert first == (
        "The two revisions get different prompts, so the traffic is not split at random and they cannot be "
        "compared"
    )
    assert "a person decides. drift/prompt-tokens: KS distance 0." in figures
    assert "PSI 0." in figures
    assert "tokens, control" in figures


def test_equal_prompts_hold_nobody_and_are_never_what_reverts() -> None:
    for seed in range(3):
        _, verdicts = judge(PLAN, looks(1.0, 12, seed))
        assert "HeldByMetric" not in {verdict.reason for verdict in verdicts}
        assert verdicts[-1].kind is VerdictKind.PASS
    assert last(looks(4.0, 12)).revert_e < 1


def test_a_shift_that_is_tolerated_is_beyond_chance_and_holds_nobody() -> None:
    easy = replace(METRIC, tolerance=replace(METRIC.tolerance, absolute=0.3))
    _, verdicts = judge(Plan((ERRORS, easy), planned_looks=40), looks(1.5, 20))
    assert "HeldByMetric" not in {verdict.reason for verdict in verdicts}


def test_where_it_is_the_only_metric_a_step_waits_until_equal_arms_are_proven() -> None:
    few = [{NAME: row[NAME]} for row in looks(1.0, 5, requests=20)]
    _, verdicts = judge(Plan((METRIC,), planned_looks=40), few)
    assert verdicts[-1].kind is VerdictKind.INSUFFICIENT
    easy = replace(METRIC, tolerance=replace(METRIC.tolerance, absolute=0.2))
    many = [{NAME: row[NAME]} for row in looks(1.0, 8, requests=400)]
    _, verdicts = judge(Plan((easy,), planned_looks=40), many)
    assert verdicts[-1].kind is VerdictKind.PASS


def test_bursts_of_one_users_prompts_are_noise_and_no_drift() -> None:
    """Every look has the prompts of one user only, who has one length."""
    rng = random.Random(3)
    edges = tuple(float(2**i) for i in range(12))

    def burst(n: int) -> Histogram:
        at = rng.randrange(3, 9)
        return Histogram(edges, tuple(float(n * (i == at)) for i in range(13)))

    rows = [{"errors": ratios(0, 200, 0, 800), NAME: Observation(burst(40), burst(160))} for _ in range(30)]
    _, verdicts = judge(PLAN, rows)
    assert verdicts[-1].reason != "HeldByMetric"


def test_evidence_is_stored_and_goes_on_bit_for_bit() -> None:
    rows = looks(1.2, 6)
    whole, verdicts = judge(PLAN, rows)
    half, _ = judge(PLAN, rows[:3])
    restored = Evidence.from_state(PLAN, json.loads(json.dumps(half.to_state())))
    for number, row in enumerate(rows[3:], start=4):
        restored, verdict = restored.fold(look(number), row)
    assert restored.to_state() == whole.to_state()
    assert verdict == verdicts[-1]


def test_arms_whose_buckets_end_elsewhere_are_compared_where_both_have_edges() -> None:
    short, long = Histogram((1, 2, 5), (1, 2, 3, 10)), Histogram((1, 2, 5, 10, 20), (1, 2, 3, 4, 5, 1))
    checked = checks.check(METRIC, Observation(short, long))
    assert checked == (short, short)
    apart = checks.check(METRIC, Observation(Histogram((1, 3), (1, 1, 1)), Histogram((2, 3), (1, 1, 1))))
    assert isinstance(apart, Problem)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"onFail": "revert"}, "it can only hold; leave out onFail"),
        ({"direction": "decrease-is-bad"}, "leave out direction"),
        ({"tolerate": {"ratio": "1.1"}}, "such as absolute: 0.1"),
    ],
)
def test_what_a_drift_cannot_have_is_refused(more: dict[str, object], says: str) -> None:
    with pytest.raises(Unresolvable, match=says):
        resolve([spec.Metric.model_validate({"use": "drift/latency", **more})])


def test_no_look_of_a_thousand_goes_beyond_what_chance_may_do() -> None:
    """The bound holds at all looks together; Massart's, which is for one look, would not."""
    rng, beyond = random.Random(5), 0
    for _ in range(40):
        old, new, crossed = [0] * 8, [0] * 8, False
        for turn in range(200):
            for _ in range(5):
                old[rng.randrange(8)] += 1
                new[rng.randrange(8)] += 1
            n = 5.0 * (turn + 1)
            crossed = crossed or ks_of_counts(old, new)[0] > ks_always(n, n, -3.0)
        beyond += crossed
    assert beyond <= 4  # at most 5 % are promised


def test_evidence_is_the_risk_at_which_a_gap_begins_to_be_beyond_chance() -> None:
    found = log_evidence(2000, 8000, 0.15)
    assert ks_always(2000, 8000, -found) == pytest.approx(0.15, abs=1e-6)
    assert log_evidence(50, 50, 0.1) == 0.0
    assert log_evidence(1e9, 1e9, 0.5) == 700.0


def test_noise_makes_the_critical_value_of_the_index_larger() -> None:
    plain, noisy = (population_stability([50] * 4, [40, 60, 50, 50], 0.01, phi) for phi in (1.0, 3.0))
    assert noisy == (plain[0], pytest.approx(3 * plain[1]))
