"""What is counted at the end of a request waits, after a change of the split, until a step has settled."""

from __future__ import annotations

import itertools
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from modelrollout.analysis.counters.recipe import Moment
from modelrollout.analysis.evidence.decision import VerdictKind
from modelrollout.analysis.evidence.evidence import Evidence
from modelrollout.analysis.inputs.metric import Metric, Prior, Tolerance
from modelrollout.analysis.inputs.observation import Histogram, Look, Observation, ProblemKind, Ratio
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.packs.catalogue import resolve
from modelrollout.analysis.packs.pack import packs
from modelrollout.analysis.planning.settling import settled_after, settling, unknown
from modelrollout.analysis.records.record import Record, read, write
from modelrollout.analysis.records.replay import judged
from modelrollout.api import analysis as spec
from tests.bench.fleet import FAMILIES, SUMS, Users
from tests.bench.serving_world import Canary, Service, Worlds, lasting

ERRORS = Metric(
    "errors", tolerance=Tolerance(1, 0.02), prior=Prior(0.02), phi=1.0, catastrophic=0.2, settle=40.0
)
PLAN = Plan((ERRORS,), planned_looks=40)


def looks(count: int, start: float = 0.0) -> list[Look]:
    return [Look(start + 30.0 * i, start + 30.0 * (i + 1)) for i in range(count)]


def fold(evidence: Evidence, look: Look, bad: float = 0, n: float = 100, begun: float | None = 100.0):
    return evidence.fold(look, {"errors": Observation(Ratio(bad, n), Ratio(2, 100), begun=begun)})


def judged_units(evidence: Evidence) -> float:
    return evidence.standings()["errors"].reading.canary.n


def test_the_wait_ends_when_all_but_one_in_a_thousand_have_ended() -> None:
    edges = (1.0, 5.0, 30.0, 60.0)
    assert settled_after(None) == 0.0
    within = [settled_after(Histogram(edges, (5e3, 4.5e3, 500.0 - few, few, 0.0))) for few in (10.0, 50.0)]
    assert within == pytest.approx([30.0, 38.2], abs=0.1)
    assert settled_after(Histogram(edges, (50.0, 40.0, 4.0, 1.0, 5.0))) == 600.0
    assert settled_after(Histogram(edges, (50.0, 40.0, 4.0, 1.0, 5.0)), most=120.0) == 120.0


@pytest.mark.parametrize("longest", [20.0, 45.0, 90.0])
def test_the_wait_is_found_within_a_bucket_where_few_requests_are_left(longest: float) -> None:
    """Lengths whose share beyond a value falls as its sixth power; one in a thousand lasts `longest`."""
    edges = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0)
    beyond = [1e6 * min(0.001 * (longest / edge) ** 6, 1.0) for edge in edges]
    counts = tuple(a - b for a, b in pairwise((1e6, *beyond, 0.0)))
    assert settled_after(Histogram(edges, counts)) == pytest.approx(longest)


def test_a_metric_waits_for_the_moment_at_which_it_counts_and_for_the_load_if_it_feels_that() -> None:
    uses = ("vllm/success-rate", "vllm/cache-hit-rate", "vllm/time-to-first-token", "vllm/restarts")
    resolved = resolve([spec.Metric(use=use) for use in uses])
    known = {Moment.FIRST_TOKEN: 2.0, Moment.END: 40.0}
    assert list(settling(resolved, known).values()) == [40.0, 2.0, 40.0, 0.0]
    assert settling(resolved, {}) == dict.fromkeys(uses, 0.0)
    assert unknown(resolved, {}).keys() == {"vllm/success-rate", "vllm/time-to-first-token"}
    assert not unknown(resolved, known)


def test_counters_of_the_users_own_are_taken_to_count_at_the_end() -> None:
    ratio = {"bad": "sum(bad_total{$arm})", "total": "sum(all_total{$arm})"}
    own = spec.Metric.model_validate({"name": "own", "ratio": ratio, "tolerate": {"absolute": "0.01"}})
    assert settling(resolve([own]), {Moment.END: 15.0}) == {"own": 15.0}


def test_every_pack_that_counts_requests_says_how_long_they_take() -> None:
    counting = {name: pack for name, pack in packs().items() if pack.arrivals is not None}
    assert {name for name, pack in counting.items() if Moment.END in pack.durations} == counting.keys()
    assert {name for name, pack in packs().items() if not pack.cannot} - counting.keys() == {
        "drift",
        "feedback",
    }


def test_looks_that_began_before_a_step_settled_are_not_judged_and_the_reason_is_said() -> None:
    evidence, seen = Evidence.fresh(PLAN), []
    for look in looks(4):
        evidence, verdict = fold(evidence, look)
        seen.append((judged_units(evidence), verdict.metrics["errors"].reason))
    assert seen[:2] == [(0.0, ProblemKind.DROPPED.value)] * 2
    assert [units for units, _ in seen[2:]] == [100.0, 200.0]
    assert "first 40 s after the split has changed" in fold(Evidence.fresh(PLAN), Look(0, 30))[1].message


def test_a_new_step_and_a_gap_in_the_looks_begin_the_wait_again_and_a_restart_does_not() -> None:
    evidence = Evidence.fresh(PLAN)
    for look in looks(4):
        evidence, _ = fold(evidence, look)
    restarted = Evidence.from_state(
        replace(PLAN, metrics=(replace(ERRORS, settle=0.0),)), evidence.to_state()
    )
    after, _ = fold(restarted, Look(120, 150))
    assert judged_units(after) == 300.0
    stepped, _ = fold(evidence.restart_promotion(), Look(120, 150))
    assert judged_units(stepped) == 200.0
    gap = evidence
    for look in looks(3, start=150.0):
        gap, _ = fold(gap, look)
    assert judged_units(gap) == 300.0


def test_a_breakdown_is_seen_at_once_among_the_requests_that_began() -> None:
    """Half of 200 fail before their first token, and hardly any good one has ended in the first look."""
    evidence, verdict = fold(Evidence.fresh(PLAN), Look(0, 30), bad=100, n=102, begun=100.0)
    assert verdict.kind is VerdictKind.FAIL
    assert judged_units(evidence) == 0.0


@pytest.mark.parametrize("begun", [1000.0, None], ids=["known arrivals", "unknown arrivals"])
def test_a_few_errors_among_the_few_that_have_ended_are_no_breakdown(begun: float | None) -> None:
    """2 % fail at once: 20 of 1000 that began, and of the good ones only ten have ended."""
    evidence, verdict = fold(Evidence.fresh(PLAN), Look(0, 30), bad=20, n=30, begun=begun)
    assert verdict.kind is VerdictKind.INSUFFICIENT
    assert (evidence.standings()["errors"].reading.log_catastrophic or 0.0) < 1.0


def test_a_record_gives_the_same_evidence() -> None:
    evidence, times, rows = Evidence.fresh(PLAN), looks(4), []
    for look in times:
        rows.append({"errors": Observation(Ratio(30, 40), Ratio(2, 100), begun=100.0)})
        evidence, _ = evidence.fold(look, rows[-1])
    again = judged(read(write(Record(PLAN, tuple(times), tuple(rows)))))
    assert again.to_state()["metrics"] == evidence.to_state()["metrics"]


def test_in_a_settled_step_equal_arms_of_the_serving_world_look_equal_to_a_tenth_of_the_tolerance() -> None:
    """80 canary pods beside 80 stable ones, mean times of 24,000 requests each; 10 % is tolerated."""
    service = Service(rate=1600, replicas=160, users=Users(prompt=200.0, answer=30.0))
    worlds = Worlds(np.random.default_rng(11), service, 1, Canary())
    worlds.fleet.warmth[:] = 3000
    worlds.advance(40)
    worlds.weight[0] = 0.5
    start = counters(worlds)
    wait = lasting(worlds.fleet)[Moment.END]
    worlds.advance(5)
    assert bias(counters(worlds) - start)["vllm:e2e_request_latency_seconds"] < -0.2
    worlds.advance(wait - 5)
    settled = counters(worlds)
    worlds.advance(30)
    found = bias(counters(worlds) - settled)
    assert found["vllm:e2e_request_latency_seconds"] == pytest.approx(0.0, abs=0.01)
    assert found["vllm:request_time_per_output_token_seconds"] == pytest.approx(0.0, abs=0.01)


def counters(worlds: Worlds) -> np.ndarray:
    """Of the canary's pods together, and of as many stable ones that serve."""
    service = worlds.service
    arms = worlds.new[0, : service.canaries(0.5)], worlds.stable[0, : service.stables(0.5)]
    return np.stack([worlds.fleet.counters[lanes].sum(0) for lanes in arms])


def bias(grown: np.ndarray) -> dict[str, float]:
    """By histogram, by which part the canary's mean is above the control's."""
    begins = itertools.accumulate((len(edges) + 1 for edges in FAMILIES.values()), initial=0)
    means = {
        family: grown[:, SUMS + number] / grown[:, first : first + len(FAMILIES[family]) + 1].sum(1)
        for number, (family, first) in enumerate(zip(FAMILIES, begins, strict=False))
    }
    return {family: canary / control - 1 for family, (canary, control) in means.items()}
