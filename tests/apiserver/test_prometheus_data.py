"""Data that cannot be counted, or only with care, against a real Prometheus; and a Prometheus that fails."""

import asyncio
import math
import signal
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise, product

import pytest

from modelrollout.analysis import families
from modelrollout.analysis.counters.arms import Split
from modelrollout.analysis.metric import Kind
from modelrollout.analysis.observation import Histogram, Look, ProblemKind, Ratio, Scalar
from modelrollout.api import spec
from modelrollout.sources.looks import LookSource
from modelrollout.sources.prometheus import ProviderError
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
from tests.servers.vllm_metrics import Metrics

OK = 'http_requests_total{handler="/v1/completions",status="2xx"}'
FAILED = 'http_requests_total{handler="/v1/completions",status="5xx"}'
TTFT, EDGES = "vllm:time_to_first_token_seconds", (0.1, 0.25, 0.5, 1.0)
ITL, OLD_ITL = "vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"


def slots():
    rollouts = (
        *("edges", "mixed-edges", "renamed", "version", "nan", "negative", "too-many", "discovered", "gap"),
        *("again", "shared-a", "shared-b", "own", "scalar", "gone", "removed", "halves", "feedback"),
        *("packs", "older", "web", "mesh"),
    )
    doubled = {"again": ("pods", "again"), "halves": ("pods",)}
    for rollout, revision in product(rollouts, ("new", "old")):
        yield Slot(rollout, revision, doubled.get(rollout, ("pods",)))
    yield Slot("mixed-edges", "new")
    yield from (Slot("halves", "old") for _ in range(3))
    yield from (Slot("intervals", "new", ("slow",)), Slot("intervals", "old"))
    yield from (Slot("", "", extra={"pod": f"gateway-{i}"}) for i in range(7))


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


# ── numbers that are none ───────────────────────────────────────────────────────────────────────


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


# ── proxies ─────────────────────────────────────────────────────────────────────────────────────


def cluster(name, **labels):
    known = {"cluster_name": f"outbound|80|{name}.ml.svc.cluster.local", **labels}
    return ",".join(f'{label}="{value}"' for label, value in known.items())


@pytest.mark.parametrize(
    ("split", "canary", "stable"),
    [(Split.SERVICES, "|web-canary", "|web-stable"), (Split.SUBSETS, "canary|web", "stable|web")],
)
async def test_answers_that_no_pod_gave_are_in_the_class_counter(bed, url, split, canary, stable):
    gateway = bed.pod("", "")
    good = f"envoy_cluster_upstream_rq{{{cluster(stable, response_code_class='2xx')}}}"
    by_code = f"envoy_cluster_upstream_rq{{{cluster(stable, response_code='200')}}}"
    unhealthy = f"envoy_cluster_upstream_rq{{{cluster(canary, response_code_class='5xx')}}}"
    gateway.set({good: 100, by_code: 100})
    with looking(gateway) as seen:
        gateway.add(good, 20)
        gateway.add(by_code, 20)
        gateway.add(unhealthy, 5)  # the canary's cluster counts for the first time
    asked = question(url, "envoy/success-rate", rollout="web", split=split)
    counted = await count(asked, seen.look)
    observed = counted.observations["envoy/success-rate"]
    assert (observed.canary, observed.control) == (Ratio(5, 5), Ratio(0, 20))
    assert (counted.arrived.canary, counted.arrived.control) == (5, 20)


async def test_a_proxy_cannot_tell_arms_apart_that_share_a_service(url):
    now = time.time()
    asked = question(url, "envoy/success-rate", rollout="web", split=Split.PODS)
    observed = await one(asked, Look(now - 2, now - 1))
    assert observed.problem.kind is ProblemKind.NOT_COMPARABLE
    assert "judge by vllm/ or http/ metrics" in observed.problem.message


@pytest.mark.parametrize("split", Split)
async def test_requests_that_reached_no_pod_are_istios_failures_and_departed_clients_are_not(bed, url, split):
    def requests(side, code, flags="-"):
        revision, role = ("new", "canary") if side == "canary" else ("old", "stable")
        host = f"mesh-{role}" if split is Split.SERVICES else "mesh"
        return (
            f'istio_requests_total{{reporter="source",response_code="{code}",response_flags="{flags}",'
            f'destination_service="{host}.ml.svc.cluster.local",destination_workload="mesh-{revision}",'
            f'destination_workload_namespace="ml"}}'
        )

    proxy = bed.pod("", "")
    proxy.set({requests("canary", 200): 10, requests("control", 200): 10})
    with looking(proxy) as seen:
        proxy.add(requests("canary", 200), 6)
        proxy.add(requests("canary", 503, "UF"), 2)
        proxy.add(requests("canary", 0, "DC"), 4)
        proxy.add(requests("control", 200), 8)
    observed = await one(question(url, "istio/success-rate", rollout="mesh", split=split), seen.look)
    assert (observed.canary, observed.control) == (Ratio(2, 8), Ratio(0, 8))


# ── all metrics of all packs ────────────────────────────────────────────────────────────────────


def everything(revision):
    """All counters that the packs know, with the families and labels of the real exporters."""
    vllm = Metrics("chat", 1024)
    vllm.count_http("/v1/completions", "POST", 200, 0.1, (10, 10))
    lines = [line for line in vllm.text().splitlines() if line and not line.startswith("#")]
    role = "canary" if revision == "new" else "stable"
    envoy = cluster(f"|packs-{role}")
    lines += [f'envoy_cluster_upstream_rq{{{envoy},response_code_class="2xx"}} 0']
    lines += [f"envoy_cluster_upstream_rq_{name}{{{envoy}}} 0" for name in ("total", "timeout")]
    lines += [f'envoy_cluster_upstream_rq_time_bucket{{{envoy},le="{le}"}} 0' for le in ("1", "+Inf")]
    istio = f'reporter="source",response_code="200",destination_service="packs-{role}.ml.svc.cluster.local"'
    lines += [f"istio_requests_total{{{istio}}} 0"]
    lines += [f'istio_request_duration_milliseconds_bucket{{{istio},le="{le}"}} 0' for le in ("1", "+Inf")]
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("process_start"))


async def test_each_metric_of_each_pack_is_found_under_the_names_that_exporters_use(bed, url):
    pods = arms_of(bed, "packs")
    pods.canary.set(everything("new"))
    pods.control.set(everything("old"))
    with looking(pods.canary, pods.control) as seen:
        pass
    asked = question(url, *sorted(families.known_metrics()), rollout="packs")
    observations = (await count(asked, seen.look)).observations
    assert {name: o.problem.message for name, o in observations.items() if o.problem} == {}
    kinds = {metric.name: metric.metric.kind for metric in asked.metrics}
    assert {name for name, o in observations.items() if o.canary.fault()} == set()
    assert len(observations["vllm/time-to-first-token"].canary.edges) == 22
    assert set(kinds.values()) == {Kind.RATIO, Kind.HISTOGRAM, Kind.COUNTING, Kind.SCALAR}


async def test_the_older_names_of_a_pack_are_found_as_well(bed, url):
    older = {
        "vllm:gpu_prefix_cache_hits_total": "vllm:prefix_cache_hits_total",
        "vllm:gpu_prefix_cache_queries_total": "vllm:prefix_cache_queries_total",
    }
    known = families.packs()["vllm"].entries["cache-hit-rate"].recipe.families()
    assert older.keys() <= known
    pods = arms_of(bed, "older", {'vllm:request_success_total{finished_reason="stop"}': 0})
    for pod, names in ((pods.canary, older.values()), (pods.control, older)):
        for name in names:
            pod.add(name, 100)
    with looking(pods.canary, pods.control) as seen:
        for pod, (hits, queries) in ((pods.canary, older.values()), (pods.control, older)):
            pod.add('vllm:request_success_total{finished_reason="stop"}', 10)
            pod.add(hits, 300)
            pod.add(queries, 1000)
    observed = await one(question(url, "vllm/cache-hit-rate", rollout="older"), seen.look)
    assert observed.canary == observed.control == Ratio(pytest.approx(3), pytest.approx(10))


# ── the past ────────────────────────────────────────────────────────────────────────────────────


async def test_the_controls_past_comes_in_halves_of_its_pods(bed, url):
    control = [bed.pod("halves", "old") for _ in range(4)]
    for pod in control:
        pod.set({OK: 5, FAILED: 0})
    with looking(*control) as seen:
        for number, pod in enumerate(control, 1):
            pod.add(OK, 10**number)
    before = math.ceil(seen.look.end)
    await asyncio.sleep(max(0.0, before - time.time()) + 0.5)
    asked = question(url, "http/success-rate", own_scalar("sum(x{$arm})"), rollout="halves")
    source = LookSource()
    history = await source.history(asked, before, 1.0, looks=3)
    again = await source.history(asked, before, 1.0, looks=3)
    await source.close()
    assert history == again
    assert history["own"] == []
    pairs = history["http/success-rate"]
    assert 1 <= len(pairs) <= 3
    halves = {sum(half.total for half in halves) for halves in zip(*pairs, strict=True)}
    assert sum(halves) == 11110
    assert all(f"{int(half):05d}".count("1") == 2 for half in halves)  # two pods each


# ── many rollouts, one server ───────────────────────────────────────────────────────────────────


def queries_served(bed):
    metric = 'prometheus_http_requests_total{handler="/api/v1/query",code="200"}'
    text = bed.prometheus.http.get("/metrics").text
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in text.splitlines()
        if line.startswith(metric[:30]) and 'handler="/api/v1/query"' in line
    )


async def test_rollouts_that_look_at_the_same_instant_share_their_questions(bed, url):
    both = [arms_of(bed, rollout, {OK: 5}) for rollout in ("shared-a", "shared-b")]
    pods = [pod for pair in both for pod in (pair.canary, pair.control)]
    asked = [question(url, "http/success-rate", rollout=rollout) for rollout in ("shared-a", "shared-b")]
    source = LookSource()
    with looking(*pods) as first:
        pass
    for each in asked:  # the source learns whom it watches
        await source.count(each, first.look)
    with looking(*pods) as seen:
        for pair, more in zip(both, (3, 4), strict=True):
            pair.canary.add(OK, more)
    before = queries_served(bed)
    counted = await asyncio.gather(*(source.count(each, seen.look) for each in asked for _ in range(5)))
    served = queries_served(bed) - before
    await source.close()
    totals = [c.observations["http/success-rate"].canary.total for c in counted]
    assert totals == [3] * 5 + [4] * 5
    assert 2 <= served <= 4  # scrapes and requests; scrapes again where the last was late; instead of twenty


# ── a Prometheus that fails ─────────────────────────────────────────────────────────────────────


async def test_a_frozen_prometheus_is_a_provider_error_and_blocks_nobody(prometheus_factory):
    frozen = prometheus_factory()
    frozen.process.signal(signal.SIGSTOP)
    asked = question(frozen.url, "vllm/time-to-first-token", rollout="chat", timeout=1.0)
    ticks, longest, last = 0, 0.0, time.monotonic()
    source = LookSource()
    task = asyncio.ensure_future(source.count(asked, Look(0, 10)))
    while not task.done():
        await asyncio.sleep(0.01)
        ticks, longest, last = ticks + 1, max(longest, time.monotonic() - last), time.monotonic()
    frozen.process.signal(signal.SIGCONT)
    problem = task.result().observations["vllm/time-to-first-token"].problem
    await source.close()
    assert problem.kind is ProblemKind.PROVIDER_ERROR
    assert "did not answer within 1 s" in problem.message
    assert ticks > 30
    assert longest < 0.5


async def test_a_prometheus_that_is_not_there_says_so_at_once(bed):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        began, source = time.monotonic(), LookSource()
        with pytest.raises(ProviderError, match=r"cannot be reached: .*Connection refused"):
            await source.settle(question(address, "vllm/restarts", rollout="chat"))
    assert time.monotonic() - began < 2
    await source.close()


async def test_something_else_than_prometheus_is_named_as_such():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, *_):
            pass

    source = LookSource()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(ProviderError, match="something that is not Prometheus"):
            await source.settle(question(address, "vllm/restarts", rollout="chat"))
        server.shutdown()
        thread.join()
    await source.close()
