"""The ways in which Prometheus misleads who judges a canary, each against a real Prometheus.

Fourteen of them come from vLLM's metrics as they are; every test shows what the naive query says, where that
can be asked, and what is counted here.
"""

import asyncio
import math
import time

import pytest

from modelrollout.analysis.evidence.decision import VerdictKind
from modelrollout.analysis.evidence.evidence import Evidence
from modelrollout.analysis.inputs.observation import Events, Histogram, Look, ProblemKind, Ratio, Sum
from modelrollout.analysis.inputs.plan import Plan
from tests.apiserver.exporters import (
    FAST,
    Slot,
    arms_of,
    await_scrapes,
    count,
    looking,
    question,
    scraping,
)

OK = 'http_requests_total{handler="/v1/completions",status="2xx"}'
REFUSED = 'http_requests_total{handler="/v1/completions",status="4xx"}'
FAILED = 'http_requests_total{handler="/v1/completions",status="5xx"}'
TTFT, TTFT_EDGES = "vllm:time_to_first_token_seconds", (0.1, 0.25, 0.5, 1.0)
QUEUE, QUEUE_EDGES = "vllm:request_queue_time_seconds", (0.3, 0.5, 0.8)


def finished(reason: str, engine: int = 0) -> str:
    return f'vllm:request_success_total{{engine="{engine}",finished_reason="{reason}"}}'


def slots():
    """One pod for each arm, and what tests need besides."""
    rollouts = (
        *("first-scrape", "lazy", "lazily-born", "dead", "idle", "floor", "same-bucket", "one-sample"),
        *("restart", "overtaken", "crashed", "sum-first", "length", "all-cold", "loading"),
        *("load", "late-errors", "gave-up", "ranks", "cold-new", "cold-old"),
    )
    yield from (Slot(rollout, revision) for rollout in rollouts for revision in ("new", "old"))
    yield from (Slot("crashed", "new"), Slot("sum-first", "new"))
    yield from (Slot("cold-new", "new"), Slot("cold-old", "old"))
    yield from (Slot("unlabelled", ""), Slot("unlabelled", "old"))
    yield from (Slot("short", revision, ("slow",)) for revision in ("new", "old"))


SLOTS = tuple(slots())


@pytest.fixture(scope="module")
def bed(tmp_path_factory):
    with scraping(tmp_path_factory.mktemp("targets"), SLOTS) as scraped:
        yield scraped


@pytest.fixture(autouse=True)
def _clean(bed):
    yield
    bed.stop()


@pytest.fixture
def url(bed):
    return bed.prometheus.url


def of(bed, pod, family, *, window):
    """The naive query about one pod."""
    name = bed.labels_of(pod)["pod"]
    return bed.prometheus.query(f'sum(increase({family}{{pod="{name}"}}[{window}]))')


# ── the fourteen ────────────────────────────────────────────────────────────────────────────────


async def test_requests_before_the_first_scrape_of_a_new_pod_are_counted(bed, url):
    control = bed.pod("first-scrape", "old")
    control.set({OK: 100})
    with looking(control) as seen:
        canary = bed.pod("first-scrape", "new", age=0)
        canary.set({OK: 3, REFUSED: 3})
        await_scrapes(canary)
    counted = await count(question(url, "http/client-error-rate", rollout="first-scrape"), seen.look)
    assert counted.observations["http/client-error-rate"].canary == Ratio(3, 6)
    [(_, naive)] = of(bed, canary, "http_requests_total", window="1m")
    assert naive == 0  # Prometheus knows no value before the first one


async def test_an_error_counter_that_never_counted_is_zero_where_its_requests_are_counted(bed, url):
    pods = arms_of(bed, "lazy", series={OK: 5})
    with looking(pods.canary, pods.control) as seen:
        pods.canary.add(OK, 7)
        pods.control.add(OK, 9)
    counted = await count(question(url, "http/success-rate", rollout="lazy"), seen.look)
    observed = counted.observations["http/success-rate"]
    assert (observed.canary, observed.control) == (Ratio(0, 7), Ratio(0, 9))
    assert bed.prometheus.query('sum(rate(http_requests_total{rollout="lazy",status="5xx"}[1m]))') == []


async def test_an_error_counter_born_in_the_look_counts_from_zero(bed, url):
    pods = arms_of(bed, "lazily-born", series={OK: 5})
    with looking(pods.canary, pods.control) as seen:
        pods.canary.add(OK, 7)
        pods.canary.add(FAILED, 2)
        pods.control.add(OK, 9)
    counted = await count(question(url, "http/success-rate", rollout="lazily-born"), seen.look)
    assert counted.observations["http/success-rate"].canary == Ratio(2, 9)


async def test_a_dead_canary_is_not_a_canary_without_errors(bed, url):
    pods = arms_of(bed, "dead", series={OK: 5})
    await_scrapes(pods.canary, pods.control)
    pods.canary.answers = False
    with looking(pods.canary, pods.control) as seen:
        pods.control.add(OK, 9)
    counted = await count(question(url, "http/success-rate", rollout="dead"), seen.look)
    problem = counted.observations["http/success-rate"].problem
    assert problem.kind is ProblemKind.NO_DATA
    assert "None of the 1 known pods of the canary answered a scrape" in problem.message
    errors = '(sum(rate(http_requests_total{rollout="dead",revision="new",status="5xx"}[1m])) or vector(0))'
    assert bed.prometheus.query(errors) == [({}, 0)]  # the usual mend makes it one


async def test_labels_that_no_relabelling_copied_are_no_data_and_say_so(bed, url):
    control = bed.pod("unlabelled", "old")
    canary = bed.pod("unlabelled", "")
    for pod in (control, canary):
        pod.set({OK: 5})
    with looking(control, canary) as seen:
        canary.add(OK, 7)
    counted = await count(question(url, "http/success-rate", rollout="unlabelled"), seen.look)
    problem = counted.observations["http/success-rate"].problem
    assert problem.kind is ProblemKind.NO_DATA
    assert "copy the namespace and the pod labels modelrollout.io/rollout" in problem.message


async def test_idle_arms_hold_though_their_quantile_is_not_a_number(bed, url):
    pods = arms_of(bed, "idle")
    for pod in (pods.canary, pods.control):
        pod.observe(TTFT, 0.2, edges=TTFT_EDGES)
    with looking(pods.canary, pods.control) as seen:
        pass
    asked = question(url, "vllm/time-to-first-token", rollout="idle")
    counted = await count(asked, seen.look)
    observed = counted.observations["vllm/time-to-first-token"]
    assert observed.canary == observed.control == Histogram(TTFT_EDGES, (0, 0, 0, 0, 0))
    quantile = f'histogram_quantile(0.95, sum by (le) (rate({TTFT}_bucket{{rollout="idle"}}[1s])))'
    [(_, naive)] = bed.prometheus.query(quantile)
    assert math.isnan(naive)  # no threshold is ever crossed
    _, verdict = Evidence.fresh(Plan((asked.metrics[0].metric,))).fold(counted.look, counted.observations)
    assert verdict.kind is VerdictKind.INSUFFICIENT


async def test_times_below_the_first_bucket_edge_stay_one_bucket_and_no_interpolated_quantile(bed, url):
    pods = arms_of(bed, "floor")
    for pod in (pods.canary, pods.control):
        pod.observe(QUEUE, edges=QUEUE_EDGES)
    with looking(pods.canary, pods.control) as seen:
        pods.canary.observe(QUEUE, *[0.000_008] * 40, edges=QUEUE_EDGES)
        pods.control.observe(QUEUE, *[0.000_008] * 40, edges=QUEUE_EDGES)
    counted = await count(question(url, "vllm/queue-time", rollout="floor"), seen.look)
    assert counted.observations["vllm/queue-time"].canary == Histogram(QUEUE_EDGES, (40, 0, 0, 0))
    quantile = f'histogram_quantile(0.95, sum by (le) (increase({QUEUE}_bucket{{rollout="floor"}}[5s])))'
    [(_, naive)] = bed.prometheus.query(quantile)
    assert naive == pytest.approx(0.285, abs=0.001)  # the true time is 8 microseconds


async def test_arms_within_one_bucket_are_told_apart_by_their_means(bed, url):
    family, edges = "vllm:e2e_request_latency_seconds", (0.3, 0.5, 1.0)
    tokens = "vllm:request_generation_tokens"
    pods = arms_of(bed, "same-bucket")
    for pod in (pods.canary, pods.control):
        pod.observe(family, edges=edges)
        pod.observe(tokens, edges=(10.0, 100.0))
    with looking(pods.canary, pods.control) as seen:
        for pod, seconds in ((pods.canary, 0.28), (pods.control, 0.14)):
            pod.observe(family, *[seconds] * 20, edges=edges)
            pod.observe(tokens, *[10] * 20, edges=(10.0, 100.0))
    asked = question(url, "vllm/end-to-end-latency", "vllm/e2e-per-token", rollout="same-bucket")
    counted = await count(asked, seen.look)
    histogram, mean = (
        counted.observations[f"vllm/{name}"] for name in ("end-to-end-latency", "e2e-per-token")
    )
    assert histogram.canary == histogram.control == Histogram(edges, (20, 0, 0, 0))
    assert mean.canary == Sum(pytest.approx(5.6), 200)
    assert mean.control == Sum(pytest.approx(2.8), 200)


async def test_a_look_needs_no_second_sample_within_it(bed, url):
    pods = arms_of(bed, "one-sample", series={OK: 5})
    with looking(pods.canary, pods.control) as seen:
        for pod in (pods.canary, pods.control):
            pod.add(OK, 4)
    look = seen.look
    naive = bed.prometheus.query('rate(http_requests_total{rollout="one-sample"}[50ms])', at=look.end)
    counted = await count(question(url, "http/success-rate", rollout="one-sample"), look)
    observed = counted.observations["http/success-rate"]
    assert (observed.canary, observed.control) == (Ratio(0, 4), Ratio(0, 4))
    assert naive == []


async def test_looks_shorter_than_the_scrape_interval_say_what_to_set(bed, url):
    canary, control = (bed.pod("short", revision) for revision in ("new", "old"))
    for pod in (canary, control):
        pod.set({OK: 5})
    await_scrapes(canary, control)
    now = time.time()
    counted = await count(question(url, "http/success-rate", rollout="short"), Look(now - 0.3, now))
    problem = counted.observations["http/success-rate"].problem
    assert problem.kind is ProblemKind.NOT_COMPARABLE
    assert "set analysis.interval to at least 1s" in problem.message
    counted = await count(question(url, "http/success-rate", rollout="short"), Look(now - 1.6, now))
    assert counted.observations["http/success-rate"].problem is None


async def test_a_restart_costs_no_requests_and_adds_none(bed, url):
    pods = arms_of(bed, "restart", series={OK: 500})
    with looking(pods.canary, pods.control) as seen:
        pods.canary.add(OK, 10)
        await_scrapes(pods.canary)
        pods.canary.restarted()
        pods.canary.set({OK: 3})
        pods.control.add(OK, 9)
    asked = question(url, "http/success-rate", "vllm/restarts", rollout="restart")
    counted = await count(asked, seen.look)
    assert counted.observations["http/success-rate"].canary == Ratio(0, 13)
    restarts = counted.observations["vllm/restarts"]
    assert (restarts.canary.count, restarts.control.count) == (1, 0)
    assert restarts.canary.exposure == pytest.approx(seen.look.end - seen.look.start, abs=3 * FAST)
    [(_, naive)] = of(bed, pods.canary, "http_requests_total", window="10s")
    assert naive != round(naive)  # extrapolated


async def test_a_restart_is_seen_when_the_counter_overtook_its_old_value(bed, url):
    pods = arms_of(bed, "overtaken", series={OK: 5})
    with looking(pods.canary, pods.control) as seen:
        pods.canary.restarted()
        pods.canary.set({OK: 7})
    counted = await count(question(url, "http/success-rate", rollout="overtaken"), seen.look)
    assert counted.observations["http/success-rate"].canary == Ratio(0, 7)


async def test_a_crashed_pod_does_not_live_on_in_a_range(bed, url):
    pods = arms_of(bed, "crashed", series={OK: 5})
    survivor = bed.pod("crashed", "new")
    survivor.set({OK: 5})
    with looking(pods.canary, pods.control, survivor):
        pods.canary.add(OK, 50)
    pods.canary.answers = False
    with looking(pods.canary, pods.control, survivor) as seen:
        survivor.add(OK, 2)
    counted = await count(question(url, "http/success-rate", rollout="crashed"), seen.look)
    assert counted.observations["http/success-rate"].canary == Ratio(0, 2)
    [(_, naive)] = of(bed, pods.canary, "http_requests_total", window="1m")
    assert naive > 40


async def test_pods_are_added_up_bucket_by_bucket(bed, url):
    pods = arms_of(bed, "sum-first")
    second = bed.pod("sum-first", "new")
    for pod in (pods.canary, pods.control, second):
        pod.observe(TTFT, edges=TTFT_EDGES)
    with looking(pods.canary, pods.control, second) as seen:
        pods.canary.observe(TTFT, *[0.05] * 90, edges=TTFT_EDGES)
        second.observe(TTFT, *[0.7] * 10, edges=TTFT_EDGES)
    counted = await count(question(url, "vllm/time-to-first-token", rollout="sum-first"), seen.look)
    assert counted.observations["vllm/time-to-first-token"].canary == Histogram(TTFT_EDGES, (90, 0, 0, 10, 0))


async def test_longer_answers_are_not_slower_tokens(bed, url):
    latency, tokens = "vllm:e2e_request_latency_seconds", "vllm:request_generation_tokens"
    pods = arms_of(bed, "length")
    for pod in (pods.canary, pods.control):
        pod.observe(latency, edges=(1.0, 5.0))
        pod.observe(tokens, edges=(100.0, 500.0))
    with looking(pods.canary, pods.control) as seen:
        for pod, length in ((pods.canary, 200), (pods.control, 100)):
            pod.observe(latency, *[0.01 * length] * 10, edges=(1.0, 5.0))
            pod.observe(tokens, *[length] * 10, edges=(100.0, 500.0))
    asked = question(url, "vllm/e2e-per-token", "vllm/tokens-per-request", rollout="length")
    counted = await count(asked, seen.look)
    per_token, length = (
        counted.observations[f"vllm/{name}"] for name in ("e2e-per-token", "tokens-per-request")
    )
    assert per_token.canary.sum / per_token.canary.n == pytest.approx(0.01)
    assert per_token.control.sum / per_token.control.n == pytest.approx(0.01)
    assert (length.canary, length.control) == (Sum(2000, 10), Sum(1000, 10))


@pytest.mark.parametrize(("young", "other"), [("new", "old"), ("old", "new")])
async def test_cold_pods_are_left_out_of_either_arm(bed, url, young, other):
    rollout = f"cold-{young}"
    warm, steady = bed.pod(rollout, young), bed.pod(rollout, other)
    await_scrapes(warm, steady)
    await asyncio.sleep(0.5)
    cold = bed.pod(rollout, young, age=0)
    for pod in (warm, steady, cold):
        pod.set({OK: 5})
    with looking(warm, steady, cold) as seen:
        warm.add(OK, 10)
        cold.add(OK, 1000)
        steady.add(OK, 20)
    arms = {"new": "canary", "old": "control"}
    cold_for = seen.start - cold.began
    counted = await count(question(url, "http/success-rate", rollout=rollout, warm_up=cold_for), seen.look)
    assert getattr(counted.observations["http/success-rate"], arms[young]) == Ratio(0, 10)
    counted = await count(question(url, "http/success-rate", rollout=rollout), seen.look)
    assert getattr(counted.observations["http/success-rate"], arms[young]) == Ratio(0, 1010)


async def test_an_arm_of_cold_pods_alone_drops_the_look(bed, url):
    pods = arms_of(bed, "all-cold", series={OK: 5})
    with looking(pods.canary, pods.control) as seen:
        pods.canary.add(OK, 10)
    counted = await count(question(url, "http/success-rate", rollout="all-cold", warm_up=30), seen.look)
    problem = counted.observations["http/success-rate"].problem
    assert problem.kind is ProblemKind.DROPPED
    assert "warm-up of 30 s" in problem.message


async def test_a_pod_that_loaded_for_long_is_cold_from_its_first_answer(bed, url):
    control, canary = bed.pod("loading", "old"), bed.pod("loading", "new", age=60)
    canary.answers = False
    for pod in (control, canary):
        pod.set({OK: 5})
    await_scrapes(control, canary)
    await asyncio.sleep(0.5)
    canary.answers = True
    with looking(control, canary) as seen:
        canary.add(OK, 10)
    counted = await count(question(url, "http/success-rate", rollout="loading", warm_up=0.6), seen.look)
    problem = counted.observations["http/success-rate"].problem
    assert problem.kind is ProblemKind.DROPPED
    assert "of the canary" in problem.message
    counted = await count(question(url, "http/success-rate", rollout="loading"), seen.look)
    assert counted.observations["http/success-rate"].canary == Ratio(0, 10)


async def test_a_lightly_loaded_canary_looks_expensive_and_its_load_says_why(bed, url):
    tokens, begun = "vllm:generation_tokens_total", "vllm:time_to_first_token_seconds_count"
    pods = arms_of(bed, "load", series={tokens: 0, begun: 0})
    with looking(pods.canary, pods.control) as seen:
        for pod, requests in ((pods.canary, 5), (pods.control, 95)):
            pod.add(tokens, 100 * requests)
            pod.add(begun, requests)
    asked = question(url, "vllm/cost-per-1k-tokens", rollout="load")
    counted = await count(asked, seen.look)
    cost = counted.observations["vllm/cost-per-1k-tokens"]
    assert (cost.canary.n, cost.control.n) == (500, 9500)
    assert cost.canary.sum / cost.canary.n > 10 * cost.control.sum / cost.control.n
    assert (counted.arrived.canary, counted.arrived.control) == (5, 95)
    assert 1 / 19 < counted.arrived.load < 1 / 5  # as far as five requests show it
    assert not asked.metrics[0].metric.reverts


async def test_streams_that_fail_under_200_are_seen_by_the_finish_reason(bed, url):
    series = {OK: 0, finished("stop"): 0, finished("error"): 0, finished("abort"): 0}
    pods = arms_of(bed, "late-errors", series=series)
    with looking(pods.canary, pods.control) as seen:
        for pod, errors in ((pods.canary, 6), (pods.control, 0)):
            pod.add(OK, 20)
            pod.add(finished("stop"), 20 - errors)
            pod.add(finished("error"), errors)
    asked = question(url, "http/success-rate", "vllm/success-rate", rollout="late-errors")
    counted = await count(asked, seen.look)
    assert counted.observations["http/success-rate"].canary == Ratio(0, 20)
    assert counted.observations["vllm/success-rate"].canary == Ratio(6, 20)


async def test_requests_that_clients_gave_up_are_seen_as_unfinished(bed, url):
    begun, ended = "vllm:time_to_first_token_seconds_count", "vllm:e2e_request_latency_seconds_count"
    pods = arms_of(bed, "gave-up", series={begun: 10, ended: 10})
    with looking(pods.canary, pods.control) as seen:
        for pod, left in ((pods.canary, 8), (pods.control, -1)):  # one more ended than began: it ran before
            pod.add(begun, 20)
            pod.add(ended, 20 - left)
    counted = await count(question(url, "vllm/unfinished", rollout="gave-up"), seen.look)
    observed = counted.observations["vllm/unfinished"]
    assert (observed.canary, observed.control) == (Sum(8, 20), Sum(-1, 20))


async def test_data_parallel_engines_are_added_up_and_stay_one_pod(bed, url):
    ranks = {finished(reason, engine): 0 for engine in (0, 1) for reason in ("stop", "error", "abort")}
    pods = arms_of(bed, "ranks", series=ranks)
    with looking(pods.canary, pods.control) as seen:
        pods.canary.add(finished("stop", 0), 10)
        pods.canary.add(finished("stop", 1), 5)
        pods.canary.add(finished("error", 1), 1)
    counted = await count(question(url, "vllm/success-rate", "vllm/restarts", rollout="ranks"), seen.look)
    assert counted.observations["vllm/success-rate"].canary == Ratio(1, 16)
    length = seen.look.end - seen.look.start
    assert counted.observations["vllm/restarts"].canary == Events(0, pytest.approx(length, abs=3 * FAST))
