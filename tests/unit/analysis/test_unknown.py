"""Counting knows what it does not know: a past, a gap, a changed name, a number that is published once."""

import math
from dataclasses import replace

import pytest

from modelrollout.analysis.counters.silence import explained, silent_pods
from modelrollout.analysis.counters.targets import targets_of
from modelrollout.analysis.evidence.evidence import Evidence
from modelrollout.analysis.inputs.metric import Kind, Metric, Tolerance
from modelrollout.analysis.inputs.observation import (
    Events,
    Histogram,
    Observation,
    ProblemKind,
    Ratio,
    Scalar,
)
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.kinds.scalar import Series as Differences
from modelrollout.api import analysis as spec
from tests.unit.analysis.given import judge, look
from tests.unit.analysis.scrapes import ARMS, ATTEMPTS, LOOK, counter, observed, steady, target, window

REQUESTS = "http_requests_total"
BOTH = [*target("a", "new"), *target("b", "old")]
BEFORE, AFTER = ATTEMPTS[:12], ATTEMPTS[12:]
"""Scrapes until the middle of the look, and from there on."""


def own(bad, total, **more):
    ratio = {"bad": f"sum({bad})", "total": f"sum({total})"}
    return spec.Metric(name="own", ratio=ratio, tolerate={"absolute": "0.01"}, **more)


# ── series that go on under other labels ────────────────────────────────────────────────────────


def relabelled(pod, revision, status, past, per_scrape):
    """One counter whose series gets a label in the middle of the look."""
    whole = {t: past + per_scrape * i for i, t in enumerate(ATTEMPTS)}
    old, new = {t: whole[t] for t in BEFORE}, {t: whole[t] for t in AFTER}
    return [
        counter(pod, revision, REQUESTS, old, handler="/v1/chat", status=status),
        counter(pod, revision, REQUESTS, new, handler="/v1/chat", status=status, zone="a"),
    ]


def test_a_series_that_gets_a_label_brings_no_past():
    counters = [
        *relabelled("a", "new", "2xx", 1_000, 2),
        *relabelled("a", "new", "5xx", 400, 0),
        *relabelled("b", "old", "2xx", 900_000, 20),
    ]
    seen = observed("http/success-rate", counters, BOTH)
    assert seen.canary == Ratio(0, 2 * 5)  # all but what came between the two scrapes
    assert seen.control == Ratio(0, 20 * 5)


def test_a_proxys_series_that_gets_a_label_brings_no_past():
    def proxied(role, past, code):
        family, host = "istio_requests_total", f"chat-{role}.ml.svc.cluster.local"
        labels = {"reporter": "source", "response_code": code, "destination_service": host}
        series = ((BEFORE, {}), (AFTER, {"zone": "a"}))
        return [
            counter("gateway", "", family, dict.fromkeys(ts, past), **labels, **more) for ts, more in series
        ]

    counters = [
        *proxied("canary", 400, "500"),
        *proxied("canary", 1000, "200"),
        *proxied("stable", 9e5, "200"),
    ]
    seen = observed("istio/success-rate", counters, BOTH)
    assert (seen.canary, seen.control) == (Ratio(0, 0), Ratio(0, 0))


def test_buckets_whose_edges_are_written_anew_bring_no_past():
    def buckets(pod, revision):
        family = "vllm:time_to_first_token_seconds_bucket"
        for edge, written, past in (("1", "1.0", 900.0), ("2", "2.0", 950.0), ("+Inf", "+Inf", 1000.0)):
            grown = {t: past + i for i, t in enumerate(ATTEMPTS)}
            if edge == written:
                yield counter(pod, revision, family, grown, le=edge)
                continue
            yield counter(pod, revision, family, {t: grown[t] for t in BEFORE}, le=edge)
            yield counter(pod, revision, family, {t: grown[t] for t in AFTER}, le=written)

    seen = observed("vllm/time-to-first-token", [*buckets("a", "new"), *buckets("b", "old")], BOTH)
    assert seen.problem is not None or sum(seen.canary.counts) <= 6


def test_the_first_error_beside_series_that_go_on_still_counts_whole():
    ok = [
        counter(*arm, REQUESTS, steady(10), status="2xx", handler="/v1")
        for arm in (("a", "new"), ("b", "old"))
    ]
    first = counter("a", "new", REQUESTS, dict.fromkeys(AFTER, 7.0), status="5xx", handler="/v1")
    assert observed("http/success-rate", [*ok, first], BOTH).canary == Ratio(7, 67)


def test_counters_of_a_process_that_began_again_count_whole():
    old = counter("a", "new", REQUESTS, dict.fromkeys(BEFORE, 500.0), status="2xx", handler="/v1/chat")
    new = counter("a", "new", REQUESTS, dict.fromkeys(AFTER, 9.0), status="2xx", handler="/v1/completions")
    control = counter("b", "old", REQUESTS, steady(10), status="2xx", handler="/v1/chat")
    scrapes = [*target("a", "new", began={ATTEMPTS[0]: -1e6, AFTER[0]: AFTER[0] - 3}), *target("b", "old")]
    assert observed("http/success-rate", [old, new, control], scrapes).canary == Ratio(0, 9)


# ── gaps ────────────────────────────────────────────────────────────────────────────────────────


def test_what_a_pod_did_while_it_did_not_answer_is_counted_when_it_answers_again():
    hung = [t for t in ATTEMPTS if 915.0 < t < 1015.0]
    samples = {t: value for t, value in steady(10).items() if t not in hung}
    counters = [
        counter("a", "new", REQUESTS, samples, status="2xx", handler="/v1"),
        counter("b", "old", REQUESTS, steady(10), status="2xx", handler="/v1"),
    ]
    scrapes = [*target("a", "new", down=hung), *target("b", "old")]
    seen = observed("http/success-rate", counters, scrapes, window(reach=90.0))
    assert seen.canary == Ratio(0, 140)  # from 915 to 1055
    assert seen.control == Ratio(0, 60)


def test_a_server_that_hangs_is_seen_by_the_scrapes_that_it_does_not_answer():
    hung = [t for t in ATTEMPTS if t > 1000.0]
    scrapes = [*target("a", "new", down=hung), *target("b", "old")]
    seen = observed("vllm/failed-scrapes", [], scrapes)
    assert (seen.canary, seen.control) == (Events(6, 6), Events(0, 6))


@pytest.mark.parametrize(
    ("down", "attempts", "silent"),
    [
        ([t for t in ATTEMPTS if t > 1000.0], ATTEMPTS, 1),  # hangs
        ([t for t in ATTEMPTS if t > 1020.0], ATTEMPTS, 0),  # was counted in a part of the look
        (ATTEMPTS[:16], ATTEMPTS, 0),  # loads its model
        ((), ATTEMPTS[:9], 0),  # ended, and is not asked any more
        ((), ATTEMPTS, 0),
    ],
)
def test_a_pod_that_hangs_is_known_from_one_that_loads_and_one_that_ended(down, attempts, silent):
    scrapes = [*target("a", "new", attempts, down), *target("c", "new"), *target("b", "old", down=down)]
    assert silent_pods(targets_of(scrapes), ARMS, LOOK) == silent


def test_no_step_passes_while_a_pod_of_the_canary_hangs():
    good = Observation(Ratio(2, 5000), Ratio(20, 5000))
    hung = replace(good, silent=1)
    rows = [*[good] * 3, hung, good]
    _, verdicts = judge(
        Plan((Metric("errors", tolerance=Tolerance(1, 0.005), phi=1.0),)), [{"errors": r} for r in rows]
    )
    assert [v.reason for v in verdicts[2:]] == ["NotWorse", "PodsSilent", "NotWorse"]
    assert "1 pod of the canary answered no scrape" in verdicts[3].message


def test_a_server_that_loads_its_model_has_failed_no_scrape():
    scrapes = [*target("a", "new", down=ATTEMPTS[:13]), *target("b", "old")]
    assert observed("vllm/failed-scrapes", [], scrapes).canary == Events(0, 2)


# ── names that changed ──────────────────────────────────────────────────────────────────────────


def served(pod, revision, family, per_scrape, **labels):
    return counter(pod, revision, family, steady(per_scrape), **labels)


def test_an_error_counter_that_the_new_version_names_otherwise_is_not_health():
    counters = [
        served("a", "new", "all_total", 10), served("a", "new", "failures_total", 3),
        served("b", "old", "all_total", 10), served("b", "old", "errors_total", 1),
    ]  # fmt: skip
    seen = observed(own("errors_total{$arm}", "all_total{$arm}"), counters, BOTH)
    assert seen.problem.kind is ProblemKind.NOT_COMPARABLE
    assert "no series of errors_total" in seen.problem.message


def test_a_label_that_the_new_version_names_otherwise_is_not_health():
    arms = (("a", "new", "code"), ("b", "old", "status"))
    counters = [served(*arm, REQUESTS, 5, **{name: code}) for *arm, name in arms for code in ("200", "500")]
    seen = observed(
        own('http_requests_total{$arm,status=~"5.."}', "http_requests_total{$arm}"), counters, BOTH
    )
    assert seen.problem.kind is ProblemKind.NOT_COMPARABLE


def test_a_canary_without_errors_is_healthy_where_its_counter_could_show_them():
    arms = (("a", "new"), ("b", "old"))
    counters = [served(*arm, REQUESTS, 10, status="2xx", handler="/v1") for arm in arms]
    counters.append(served("b", "old", REQUESTS, 5, status="5xx", handler="/v1"))
    assert observed("http/success-rate", counters, BOTH).canary == Ratio(0, 60)


def test_a_counter_that_would_hardly_have_counted_yet_is_zero():
    counters = [*(served(*arm, "all_total", 10) for arm in (("a", "new"), ("b", "old")))]
    counters.append(counter("b", "old", "errors_total", dict.fromkeys(ATTEMPTS, 1.0)))
    assert observed(own("errors_total{$arm}", "all_total{$arm}"), counters, BOTH).canary == Ratio(0, 60)


# ── numbers that are published once ─────────────────────────────────────────────────────────────

SCORE = Metric("score", Kind.SCALAR, Tolerance(1.0, 0.05))


def test_a_number_that_is_published_once_is_one_look_and_proves_nothing():
    evidence = Evidence.fresh(Plan((SCORE,), planned_looks=60))
    for number in range(1, 61):
        evidence, verdict = evidence.fold(look(number), {"score": Observation(Scalar(0.78), Scalar(0.80))})
    assert verdict.metrics["score"].promote_e == 1.0
    assert evidence.entries["score"].used == 1
    assert "published once" in verdict.metrics["score"].message


@pytest.mark.parametrize("offset", [0.0, 1e6, -3e8])
def test_where_the_numbers_lie_does_not_change_how_they_differ(offset):
    series, far = Differences(), Differences()
    for number in range(40):
        step = ((number * 7919) % 13 - 6) / 64  # exact in binary, so that the offset takes nothing away
        series, far = series.add(step), far.add(step + offset)
    assert math.isclose(series.error, far.error, rel_tol=1e-9)
    assert math.isclose(series.effective, far.effective, rel_tol=1e-9)
    assert math.isclose(series.mean, far.mean - offset, abs_tol=1e-6)


# ── silence ─────────────────────────────────────────────────────────────────────────────────────


def test_a_metric_without_requests_says_that_another_one_counted_some():
    nothing = Histogram((1.0,), (0.0, 0.0))
    seen = explained(
        {
            "ttft": Observation(nothing, Histogram((1.0,), (5.0, 1.0))),
            "client-errors": Observation(Ratio(43, 43), Ratio(0, 90)),
        }
    )
    assert seen["ttft"].problem.kind is ProblemKind.NO_DATA
    assert "client-errors counted 43 requests, 43 of them bad" in seen["ttft"].problem.message
    assert seen["client-errors"].problem is None


def test_an_arm_without_any_request_has_no_traffic():
    nothing = {"ttft": Observation(Histogram((1.0,), (0.0, 0.0)), Histogram((1.0,), (5.0, 1.0)))}
    assert explained(nothing) == nothing


def test_a_canary_that_refuses_every_request_is_reverted_though_the_others_have_nothing():
    ttft = Metric("ttft", Kind.HISTOGRAM, Tolerance(1.1))
    refused = Metric("client-errors", tolerance=Tolerance(1.0, 0.01), catastrophic=0.2)
    errors = Metric("errors", tolerance=Tolerance(1.0, 0.005), catastrophic=0.2)
    evidence = Evidence.fresh(Plan((ttft, errors, refused), planned_looks=60))
    nothing = Observation(Histogram((1.0,), (0.0, 0.0)), Histogram((1.0,), (80.0, 10.0)))
    seen = {
        "ttft": nothing,
        "errors": Observation(Ratio(0, 43), Ratio(0, 90)),
        "client-errors": Observation(Ratio(43, 43), Ratio(0, 90)),
    }
    _, verdict = evidence.fold(look(1), explained(seen))
    assert (verdict.kind, verdict.reason) == ("Fail", "Catastrophic")
