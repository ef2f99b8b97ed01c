"""From samples to counts: what a look may contain, and what it must not."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrollout.analysis.counters.gather import Facts
from modelrollout.analysis.counters.growth import Window, growth, pod_seconds
from modelrollout.analysis.counters.halves import halves_of
from modelrollout.analysis.counters.series import Series
from modelrollout.analysis.counters.targets import Target, targets_of
from modelrollout.analysis.inputs.observation import Events, Histogram, Look, ProblemKind, Ratio, Sum
from modelrollout.analysis.inputs.schedule import first_look, look_ending_by, next_look
from modelrollout.analysis.packs import catalogue
from modelrollout.api import analysis as spec
from tests.unit.analysis.scrapes import (
    ARMS,
    ATTEMPTS,
    counter,
    observed,
    steady,
    target,
    window,
)

REQUESTS, FINISHED = "http_requests_total", "vllm:request_success_total"
BOTH = [*target("a", "new"), *target("b", "old")]


def arms(canary, control, family=REQUESTS, **labels):
    return [counter("a", "new", family, canary, **labels), counter("b", "old", family, control, **labels)]


# ── one counter over looks ──────────────────────────────────────────────────────────────────────

steps = st.lists(st.tuples(st.integers(0, 50), st.booleans()), min_size=2, max_size=30)
cuts = st.lists(st.floats(0.5, 299.5), max_size=8, unique=True)


def process(history):
    """Samples every 10 s of a counter that grew by so much, in a process that may have begun again before."""
    value, began, samples, starts = 0.0, -1e6, {}, []
    for i, (grown, restarted) in enumerate(history):
        moment = 10.0 * i
        if restarted and i:
            value, began = 0.0, moment - 5
        value += grown
        samples[moment] = value
        starts.append((moment, began))
    times = tuple(samples)
    return Series({}, times, tuple(samples.values())), Target({}, times, times, tuple(starts))


@given(steps, cuts)
def test_looks_that_follow_one_another_count_everything_once(history, boundaries):
    series, known = process(history)
    ends = [0.0, *sorted(boundaries), 400.0]
    looks = [Look(a, b) for a, b in pairwise(ends)]
    counted = [growth([series], known, Window(look, -1e6, -1e6))[0] for look in looks]
    assert sum(counted) == sum(grown for grown, _ in history[1:])
    assert all(count >= 0 for count in counted)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.booleans()), min_size=2, max_size=20), cuts
)
def test_bad_units_are_never_more_than_units(history, boundaries):
    bad, known = process([(bad, restarted) for bad, _, restarted in history])
    total, _ = process([(bad + good, restarted) for bad, good, restarted in history])
    ends = [0.0, *sorted(boundaries), 400.0]
    for start, end in pairwise(ends):
        grown = growth([bad, total], known, Window(Look(start, end), -1e6, -1e6))
        assert Ratio(*grown).fault() is None


@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 9), min_size=4, max_size=4), st.booleans()), min_size=2, max_size=12
    )
)
def test_buckets_stay_a_histogram_through_restarts(history):
    """Though nobody tells of the restart, and only the buckets' total is sure to fall."""
    seen, total = [], 0
    for counts, again in history:
        restarted = again and sum(counts) < total
        total = sum(counts) + (0 if restarted else total)
        seen.append((counts, restarted))
    cumulative = [[(sum(counts[: i + 1]), restarted) for counts, restarted in seen] for i in range(4)]
    buckets = [process(column)[0] for column in cumulative]
    _, known = process(cumulative[-1])
    untold = Target({}, known.attempts, known.scrapes)
    grown = growth(buckets, untold, Window(Look(0.0, 400.0), -1e6, -1e6))
    counts = (grown[0], *(b - a for a, b in pairwise(grown)))
    assert Histogram((1.0, 2.0, 3.0), counts).fault() is None


def test_a_counter_is_what_its_last_sample_up_to_then_says():
    canary = {**steady(0), 995.0: 100.0, 1000.0: 103.0, 1060.0: 110.0, 1060.5: 999.0}
    points = dict(sorted(canary.items()))
    points = {t: v for t, v in points.items() if t <= 1000.0 or t >= 1060.0}
    counted = observed("http/success-rate", arms(points, steady(1)), BOTH)
    assert counted.canary == Ratio(0, 7)


# ── births ──────────────────────────────────────────────────────────────────────────────────────


def born(first, began, attempts=ATTEMPTS, down=()):
    """What a canary brings whose counter stands at 40 at its first sample and at 45 at the next."""
    points = {first: 40.0, first + 10: 45.0}
    scrapes = [*target("a", "new", attempts, down, began), *target("b", "old")]
    return observed("http/success-rate", arms(points, steady(1)), scrapes).canary


IN_LOOK = ATTEMPTS[10:]


def test_a_process_born_in_the_look_brings_all_it_counted():
    assert born(1005.0, began=1001.0, attempts=IN_LOOK) == Ratio(0, 45)


def test_a_process_that_was_loading_before_the_look_brings_all_it_counted():
    assert born(1005.0, began=700.0, down=ATTEMPTS[:10]) == Ratio(0, 45)


def test_a_process_older_than_what_is_known_brings_only_what_was_seen_to_grow():
    assert born(1005.0, began=100.0, attempts=IN_LOOK) == Ratio(0, 5)


def test_a_process_of_unknown_age_brings_only_what_was_seen_to_grow():
    assert born(1005.0, began=None, attempts=IN_LOOK) == Ratio(0, 5)


def test_a_process_that_answered_before_and_fell_silent_brings_only_what_was_seen_to_grow():
    assert born(1005.0, began=700.0, down=ATTEMPTS[3:10]) == Ratio(0, 5)


def test_a_counter_made_when_it_first_counts_brings_all_of_it():
    assert born(1015.0, began=100.0) == Ratio(0, 45)


# ── what is not there ───────────────────────────────────────────────────────────────────────────


def test_an_error_counter_that_a_dead_pod_took_along_is_missing_and_not_zero():
    alive = counter("a", "new", "all_total", steady(5))
    dead = counter("c", "new", "bad_total", {975.0: 3.0, 985.0: 4.0})
    control = [counter("b", "old", "all_total", steady(5)), counter("b", "old", "bad_total", steady(0, 1.0))]
    scrapes = [*BOTH, *target("c", "new", down=ATTEMPTS[9:])]
    own = own_ratio("bad_total{$arm}", "all_total{$arm}")
    assert observed(own, [alive, dead, *control], scrapes).problem.kind is ProblemKind.NO_DATA
    assert observed(own, [alive, *control], scrapes).canary == Ratio(0, 30)


def test_what_all_processes_make_at_once_is_missing_and_not_zero():
    counters = arms(steady(5), steady(5), FINISHED, finished_reason="stop")
    assert observed("vllm/success-rate", counters, BOTH).problem.kind is ProblemKind.NO_DATA
    assert observed("vllm/success-rate", counters[:1], BOTH).problem.message.startswith(
        "The canary was scraped"
    )


def test_nothing_known_of_the_rollout_is_about_relabelling():
    problem = observed("http/success-rate", [], []).problem
    assert problem.kind is ProblemKind.NO_DATA
    assert 'revision="new"' in problem.message
    assert "scrape configuration" in problem.message


def test_counters_without_any_scrape_known_are_counted_all_the_same():
    assert observed("http/success-rate", arms(steady(5), steady(1)), []).canary == Ratio(0, 30)


def test_an_absolute_limit_needs_no_control():
    own = own_ratio("bad_total{$arm}", "all_total{$arm}", slo="0.01")
    alive = [counter("a", "new", "all_total", steady(5)), counter("a", "new", "bad_total", steady(1))]
    found = observed(own, alive, target("a", "new"))
    assert (found.canary, found.control, found.problem) == (Ratio(6, 30), None, None)


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_values_that_are_no_counts_reach_the_engine_as_they_are(value):
    canary = {**steady(5), 1025.0: value}
    assert observed("http/success-rate", arms(canary, steady(5)), BOTH).canary.fault() is not None


# ── ages, restarts, loads ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("warm_up", "counted"), [(0, 60), (30, 60), (60, 30)])
def test_a_process_counts_once_it_answers_for_the_warm_up(warm_up, counted):
    """It began to load at 930 and first answered at 955, 45 s before the look."""
    young = target("c", "new", down=ATTEMPTS[:5], began=930.0)
    canary = [*arms(steady(5), steady(5)), counter("c", "new", REQUESTS, steady(5, times=ATTEMPTS[5:]))]
    found = observed("http/success-rate", canary, [*BOTH, *young], window(warm_up=warm_up))
    assert found.canary == Ratio(0, counted)


def test_a_process_of_old_that_is_scraped_only_now_is_warm():
    found_late = ATTEMPTS[8:]
    late = target("c", "new", attempts=found_late, began=100.0)
    canary = [*arms(steady(5), steady(5)), counter("c", "new", REQUESTS, steady(5, times=found_late))]
    found = observed("http/success-rate", canary, [*BOTH, *late], window(warm_up=30))
    assert found.canary == Ratio(0, 60)


def test_restarts_are_counted_of_young_processes_too():
    again = target("a", "new", began={905.0: 0.0, 1015.0: 1008.0, 1045.0: 1040.0})
    found = observed("vllm/restarts", [], [*again, *target("b", "old")], window(warm_up=300))
    assert found.canary == Events(2, 60.0)
    assert found.control == Events(0, 60.0)


def test_a_pod_that_was_down_is_exposed_only_while_it_answered():
    known = targets_of(target("a", "new", down=ATTEMPTS[12:15]))
    assert pod_seconds(*known.values(), window()) == 60.0  # from 995 to 1055
    known = targets_of(target("a", "new", down=ATTEMPTS[12:]))
    assert pod_seconds(*known.values(), window()) == 20.0  # from 995 to 1015


def test_the_cost_of_tokens_is_in_accelerator_seconds():
    counters = arms(steady(100), steady(400), "vllm:generation_tokens_total")
    found = observed("vllm/cost-per-1k-tokens", counters, BOTH)
    assert found.canary == Sum(60_000, 600)
    assert found.canary.sum / found.canary.n == 100


def test_tokens_weigh_as_one_per_request():
    hits = arms(steady(30), steady(10), "vllm:prefix_cache_hits_total")
    queries = arms(steady(100), steady(100), "vllm:prefix_cache_queries_total")
    finished = arms(steady(2), steady(2), FINISHED, finished_reason="stop")
    found = observed("vllm/cache-hit-rate", [*hits, *queries, *finished], BOTH)
    assert found.canary == Ratio(pytest.approx(3.6), pytest.approx(12))
    assert found.control == Ratio(pytest.approx(1.2), pytest.approx(12))


# ── halves and looks ────────────────────────────────────────────────────────────────────────────


def test_halves_are_every_other_pod_and_one_pod_has_none():
    [resolved] = catalogue.resolve([spec.Metric(use="http/success-rate")])
    pods = {"d": 1000, "b": 10, "a": 1, "c": 100}

    def halves(names):
        counters = tuple(counter(pod, "old", REQUESTS, steady(pods[pod])) for pod in names)
        scrapes = [each for pod in names for each in target(pod, "old")]
        return list(halves_of(resolved, ARMS, Facts.of(counters, targets_of(scrapes)), [window()]))

    assert halves("dbac") == [(Ratio(0, 6 * 101), Ratio(0, 6 * 1010))]
    assert halves("a") == []


def test_looks_lie_on_the_wall_clock():
    assert first_look(1000.0, 30.0) == Look(1020.0, 1050.0)
    assert first_look(1020.0, 30.0) == Look(1020.0, 1050.0)
    assert next_look(1050.0, 30.0) == Look(1050.0, 1080.0)
    assert next_look(1050.0, 60.0) == Look(1080.0, 1140.0)
    assert look_ending_by(1060.0, 30.0, settle=5.0) == Look(1020.0, 1050.0)
    assert look_ending_by(1054.0, 30.0, settle=5.0) == Look(990.0, 1020.0)


@given(st.integers(0, 2 * 10**12), st.integers(1, 3600))
def test_the_next_look_begins_where_the_last_one_ended(milliseconds, interval):
    now = milliseconds / 1000
    look = first_look(now, interval)
    assert now <= look.start < now + interval
    assert next_look(look.end, interval) == Look(look.end, look.end + interval)
    assert look.end - look.start == interval


def own_ratio(bad, total, slo=None):
    limit = {"slo": slo} if slo else {"tolerate": {"absolute": "0.01"}}
    return spec.Metric(name="own", ratio={"bad": bad, "total": total}, **limit)
