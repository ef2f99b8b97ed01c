"""Data that cannot be counted, or only with care, against a real Prometheus."""

import asyncio
import time
from itertools import pairwise, product

import pytest

from modelrollout.analysis.inputs.observation import Histogram, Look, ProblemKind, Ratio, Scalar
from modelrollout.api import analysis as spec
from tests.apiserver.exporters import (
    FAST,
    SLOW,
    Slot,
    arms_of,
    await_scrapes,
    count,
    looking,
    question,
    scraping,
)

OK = 'http_requests_total{handler="/v1/completions",status="2xx"}'
FAILED = 'http_requests_total{handler="/v1/completions",status="5xx"}'
TTFT, EDGES = "vllm:time_to_first_token_seconds", (0.1, 0.25, 0.5, 1.0)
ITL, OLD_ITL = "vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"


def slots():
    rollouts = (
        *(
            "edges",
            "mixed-edges",
            "bucket-reset",
            "renamed",
            "version",
            "nan",
            "negative",
            "too-many",
            "discovered",
            "gap",
        ),
        *("again", "own", "scalar", "gone", "removed", "feedback"),
    )
    for rollout, revision in product(rollouts, ("new", "old")):
        yield Slot(rollout, revision, ("pods", "again") if rollout == "again" else ("pods",))
    yield Slot("mixed-edges", "new")
    yield from (Slot("intervals", "new", ("slow",)), Slot("intervals", "old"))
    yield Slot("", "", extra={"pod": "feedback"})


SLOTS = tuple(slots())


@pytest.fixture(scope="module")
def bed(tmp_path_factory):
    with scraping(tmp_path_factory.mktemp("targets"), SLOTS) as scraped:
        yield scraped


@pytest.fixture(autouse=True)
def _stop(bed):
    yield
    bed.stop()


@pytest.fixture
def url(bed):
    return bed.prometheus.url


async def one(asked, look):
    """What a question about a single metric found."""
    [observation] = (await count(asked, look)).observations.values()
    return observation


# ── histograms ──────────────────────────────────────────────────────────────────────────────────


async def test_arms_with_different_edges_come_as_they_are_and_are_not_compared(bed, url):
    pods = arms_of(bed, "edges")
    pods.canary.observe(TTFT, edges=(0.1, 0.5))
    pods.control.observe(TTFT, edges=EDGES)
    with looking(pods.canary, pods.control) as seen:
        pods.canary.observe(TTFT, 0.2, edges=(0.1, 0.5))
        pods.control.observe(TTFT, 0.2, edges=EDGES)
    observed = await one(question(url, "vllm/time-to-first-token", rollout="edges"), seen.look)
    assert observed.canary == Histogram((0.1, 0.5), (0, 1, 0))
    assert observed.control == Histogram(EDGES, (0, 1, 0, 0, 0))


async def test_pods_of_one_arm_with_different_edges_are_no_distribution(bed, url):
    pods, second = arms_of(bed, "mixed-edges"), bed.pod("mixed-edges", "new")
    pods.canary.observe(TTFT, edges=EDGES)
    pods.control.observe(TTFT, edges=EDGES)
    second.observe(TTFT, edges=(0.1, 0.5))
    with looking(pods.canary, pods.control, second) as seen:
        pass
    observed = await one(question(url, "vllm/time-to-first-token", rollout="mixed-edges"), seen.look)
    assert observed.problem.kind is ProblemKind.NOT_COMPARABLE
    assert "0.25, 1 only in some" in observed.problem.message


async def test_a_quantity_renamed_between_versions_is_still_compared(bed, url):
    pods = arms_of(bed, "renamed", {'vllm:request_success_total{finished_reason="stop"}': 0})
    arms = ((pods.canary, ITL), (pods.control, OLD_ITL))
    for pod, family in arms:
        pod.observe(family, edges=EDGES)
    with looking(pods.canary, pods.control) as seen:
        for pod, family in arms:
            pod.observe(family, *[0.05] * 90, *[0.2] * 10, edges=EDGES)
            pod.add('vllm:request_success_total{finished_reason="stop"}', 10)
    observed = await one(question(url, "vllm/inter-token-latency", rollout="renamed"), seen.look)
    assert observed.canary == observed.control == Histogram(EDGES, (9, 1, 0, 0, 0))  # of 10 requests


async def test_what_a_version_does_not_count_is_no_data_and_not_zero(bed, url):
    reasons = {
        f'vllm:request_success_total{{finished_reason="{reason}"}}': 0 for reason in ("stop", "length")
    }
    pods = arms_of(bed, "version", reasons)
    pods.canary.add('vllm:request_success_total{finished_reason="repetition"}', 0)
    with looking(pods.canary, pods.control) as seen:
        pods.control.add('vllm:request_success_total{finished_reason="stop"}', 10)
    observed = await one(question(url, "vllm/degenerate-output", rollout="version"), seen.look)
    assert observed.problem.kind is ProblemKind.NO_DATA
    assert "control" in observed.problem.message


async def test_one_bucket_that_fell_resets_the_whole_histogram(bed, url):
    pods = arms_of(bed, "bucket-reset")
    for pod in (pods.canary, pods.control):
        pod.tells_start = False
        pod.observe(TTFT, *[0.05] * 2, *[0.7] * 8, edges=EDGES)
    with looking(pods.canary, pods.control) as seen:
        pods.canary.set({})
        pods.canary.observe(TTFT, *[0.05] * 4, *[0.3] * 2, edges=EDGES)
    counted = await count(question(url, "vllm/time-to-first-token", rollout="bucket-reset"), seen.look)
    assert counted.observations["vllm/time-to-first-token"].canary == Histogram(EDGES, (4, 0, 2, 0, 0))


# ── numbers that are not counts ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("rollout", "value"),
    [("nan", "NaN"), ("negative", -4), ("too-many", 50)],
    ids=["NaN", "negative", "x > n"],
)
async def test_a_counter_that_cannot_be_is_refused_by_the_engine(bed, url, rollout, value):
    pods = arms_of(bed, rollout, {"bad_total": 0, "all_total": 10})
    with looking(pods.canary, pods.control) as seen:
        pods.canary.series["bad_total"] = value
        pods.canary.add("all_total", 5)
    own = spec.Metric(
        name="own",
        ratio={"bad": "sum(bad_total{$arm})", "total": "sum(all_total{$arm})"},
        tolerate={"absolute": "0.01"},
    )
    observed = await one(question(url, own, rollout=rollout), seen.look)
    assert observed.canary.fault() is not None


# ── scraping ────────────────────────────────────────────────────────────────────────────────────


async def test_two_jobs_that_scrape_one_pod_count_it_once(bed, url):
    pods = arms_of(bed, "again", {OK: 5})
    with looking(pods.canary, pods.control) as seen:
        pods.canary.add(OK, 7)
        await_scrapes(pods.canary)
    observed = await one(question(url, "http/success-rate", rollout="again"), seen.look)
    assert observed.canary == Ratio(0, 7)
    [(_, both)] = bed.prometheus.query('sum(http_requests_total{rollout="again",revision="new"})')
    assert both == 24


async def test_arms_scraped_at_different_intervals_lose_nothing_over_looks(bed, url):
    canary, control = bed.pod("intervals", "new"), bed.pod("intervals", "old")
    for pod in (canary, control):
        pod.set({OK: 5})
    added, ends = 0, []
    with looking(canary, control) as seen:
        for length in (2 * SLOW, 2 * SLOW):
            ends.append((ends[-1] if ends else seen.start) + length)
            while time.time() < ends[-1]:
                canary.add(OK)
                control.add(OK)
                added += 1
                await asyncio.sleep(0.05)
    looks = [Look(start, end) for start, end in pairwise([seen.start, *ends, seen.look.end + SLOW])]
    asked = question(url, "http/success-rate", rollout="intervals")
    observed = [await one(asked, look) for look in looks]
    assert [o.problem for o in observed] == [None] * 3
    assert sum(o.canary.total for o in observed) == sum(o.control.total for o in observed) == added


async def test_a_failed_scrape_moves_requests_to_the_next_look_and_loses_none(bed, url):
    pods = arms_of(bed, "gap", {OK: 5})
    with looking(pods.canary, pods.control) as first:
        pods.canary.add(OK, 3)
        await_scrapes(pods.canary)
        pods.canary.answers = False
        pods.canary.add(OK, 4)
        pods.control.add(OK, 1)
    await_scrapes(pods.canary)  # one that began within the look may still be reading
    pods.canary.answers = True
    await_scrapes(pods.canary, pods.control)
    second = Look(first.look.end, time.time() + 2 * FAST)
    asked = question(url, "http/success-rate", rollout="gap")
    assert (await one(asked, first.look)).canary == Ratio(0, 3)
    assert (await one(asked, second)).canary == Ratio(0, 4)


async def test_a_pod_with_a_past_that_prometheus_just_found_brings_none_of_it(bed, url):
    pods = arms_of(bed, "discovered", {OK: 5})
    with looking(pods.canary, pods.control) as seen:
        old = bed.discover(Slot("discovered", "new"))
        old.set({OK: 100_000})
        await_scrapes(old)
        old.add(OK, 2)
        pods.canary.add(OK, 7)
        await_scrapes(old)
    observed = await one(question(url, "http/success-rate", rollout="discovered"), seen.look)
    assert observed.canary == Ratio(0, 9)


async def test_a_look_whose_last_scrape_never_arrives_is_dropped(bed, url):
    pods = arms_of(bed, "removed", {OK: 5})
    with looking(pods.canary, pods.control) as seen:
        pods.canary.add(OK, 7)
    bed.remove(pods.canary)
    look = Look(seen.start, time.time())
    observed = await one(question(url, "http/success-rate", rollout="removed"), look)
    assert observed.problem.kind is ProblemKind.DROPPED
    assert "newest scrape of the canary" in observed.problem.message


async def test_the_same_look_asked_again_later_counts_the_same(bed, url):
    pods = arms_of(bed, "gone", {OK: 5, FAILED: 0})
    with looking(pods.canary, pods.control) as seen:
        pods.canary.add(OK, 7)
        pods.canary.add(FAILED, 1)
    asked = question(url, "http/success-rate", "vllm/restarts", rollout="gone")
    first = await count(asked, seen.look)
    pods.canary.add(FAILED, 50)
    pods.canary.restarted()
    await_scrapes(pods.canary)
    pods.control.close()
    again = await count(asked, seen.look)
    assert again.observations == first.observations
    assert first.observations["http/success-rate"].canary == Ratio(1, 8)


# ── expressions ─────────────────────────────────────────────────────────────────────────────────


def own_scalar(value):
    return spec.Metric(name="own", scalar={"value": value}, tolerate={"ratio": "1.1"})


async def test_an_expression_gives_each_arm_its_own_number(bed, url):
    pods = arms_of(bed, "own", {"cost": 1.5})
    pods.control.set({"cost": 2.5})
    await_scrapes(pods.canary, pods.control)
    observed = await one(
        question(url, own_scalar("2 * sum(cost{$arm})"), rollout="own"), Look(0, time.time())
    )
    assert (observed.canary, observed.control) == (Scalar(3.0), Scalar(5.0))


async def test_an_expression_without_one_number_holds_and_says_why(bed, url):
    pods = arms_of(bed, "scalar", {'cost{kind="a"}': 1, 'cost{kind="b"}': 2})
    await_scrapes(pods.canary, pods.control)
    look = Look(0, time.time())
    for value, kind, says in (
        ("cost{$arm}", ProblemKind.NOT_COMPARABLE, "2 series for the canary"),
        ("sum(nothing{$arm})", ProblemKind.NO_DATA, "gives nothing for the canary"),
        ("0 * sum(cost{$arm}) / 0", ProblemKind.NO_DATA, "gives NaN"),
        ("sum(cost{$arm}", ProblemKind.PROVIDER_ERROR, "refused 'sum(cost{namespace="),
    ):
        problem = (await one(question(url, own_scalar(value), rollout="scalar"), look)).problem
        assert problem.kind is kind
        assert says in problem.message


async def test_own_counters_whose_labels_are_the_applications_are_counted(bed, url):
    arms = arms_of(bed, "feedback", {OK: 5})
    app = bed.pod("", "")
    labels = {revision: f'rollout="feedback",revision="{revision}"' for revision in ("old", "new")}
    app.set({f"votes_total{{{labels['old']}}}": 50})
    with looking(app, arms.canary, arms.control) as seen:
        app.add(f"votes_total{{{labels['old']}}}", 10)
        app.add(f"votes_total{{{labels['new']}}}", 6)
        app.add(f'votes_total{{{labels["new"]},thumb="down"}}', 2)
    own = spec.Metric(
        name="thumbs-down",
        ratio={"bad": 'sum(votes_total{$arm,thumb="down"})', "total": "sum(votes_total{$arm})"},
        tolerate={"absolute": "0.01"},
    )
    observed = await one(question(url, own, rollout="feedback"), seen.look)
    assert (observed.canary, observed.control) == (Ratio(2, 8), Ratio(0, 10))
