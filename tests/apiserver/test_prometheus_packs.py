"""Every metric of every pack, as the real exporters name it, on a real Prometheus; and what proxies count."""

import asyncio
import time
from itertools import product

import pytest

from modelrollout.analysis.counters.matchers import Split
from modelrollout.analysis.evidence.evidence import Evidence
from modelrollout.analysis.inputs.metric import Kind
from modelrollout.analysis.inputs.observation import Look, ProblemKind, Ratio
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.packs import catalogue
from modelrollout.analysis.packs.pack import packs
from modelrollout.sources.looks import LookSource
from tests.apiserver.exporters import Slot, arms_of, await_scrapes, count, looking, question, scraping
from tests.servers.vllm_metrics import Metrics, one_two_five

ROLLOUTS = ("packs", "older", "drift", "past", "web", "mesh")
SLOTS = (
    *(Slot(rollout, revision) for rollout, revision in product(ROLLOUTS, ("new", "old"))),
    *(Slot("", "", extra={"pod": f"gateway-{i}"}) for i in range(5)),
)


@pytest.fixture(scope="module")
def bed(tmp_path_factory):
    with scraping(tmp_path_factory.mktemp("targets"), SLOTS) as scraped:
        yield scraped


@pytest.fixture
def url(bed):
    yield bed.prometheus.url
    bed.stop()


async def one(asked, look):
    """What a question about a single metric found."""
    [observation] = (await count(asked, look)).observations.values()
    return observation


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
    asked = question(url, "istio-gateway/success-rate", rollout="web", split=split)
    counted = await count(asked, seen.look)
    observed = counted.observations["istio-gateway/success-rate"]
    assert (observed.canary, observed.control) == (Ratio(5, 5), Ratio(0, 20))
    assert (counted.arrived.canary, counted.arrived.control) == (5, 20)


async def test_a_proxy_cannot_tell_arms_apart_that_share_a_service(url):
    now = time.time()
    asked = question(url, "istio-gateway/success-rate", rollout="web", split=Split.PODS)
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


OPINIONS = (("thumbs", "down"), ("csat", "1"), ("csat", "2"))


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
    lines += [f'llm_feedback_total{{kind="{kind}",value="{value}"}} 0' for kind, value in OPINIONS]
    lines += [f'llm_conversations_total{{outcome="{outcome}"}} 0' for outcome in ("handover", "left")]
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("process_start"))


async def test_each_metric_of_each_pack_is_found_under_the_names_that_exporters_use(bed, url):
    pods = arms_of(bed, "packs")
    pods.canary.set(everything("new"))
    pods.control.set(everything("old"))
    with looking(pods.canary, pods.control) as seen:
        pass
    asked = question(url, *sorted(catalogue.known_metrics()), rollout="packs")
    observations = (await count(asked, seen.look)).observations
    assert {name: o.problem.message for name, o in observations.items() if o.problem} == {}
    kinds = {metric.name: metric.metric.kind for metric in asked.metrics}
    assert {name for name, o in observations.items() if o.canary.fault()} == set()
    assert len(observations["vllm/time-to-first-token"].canary.edges) == 22
    assert set(kinds.values()) == {Kind.RATIO, Kind.HISTOGRAM, Kind.COUNTING, Kind.DRIFT, Kind.SCALAR}


async def test_other_prompts_in_one_arm_are_seen_in_vllms_histogram_though_its_buckets_end_elsewhere(
    bed, url
):
    pods = arms_of(bed, "drift")
    family = "vllm:request_prompt_tokens"
    for pod, most in ((pods.canary, 1024), (pods.control, 4096)):
        pod.observe(family, edges=one_two_five(most))
    with looking(pods.canary, pods.control) as seen:
        pods.canary.observe(family, *([300] * 400 + [30] * 600), edges=one_two_five(1024))
        pods.control.observe(family, *([300] * 400 + [30] * 3600), edges=one_two_five(4096))
    asked = question(url, "drift/prompt-tokens", rollout="drift")
    observed = await one(asked, seen.look)
    plan = Plan(tuple(each.metric for each in asked.metrics), planned_looks=10)
    _, verdict = Evidence.fresh(plan).fold(seen.look, {"drift/prompt-tokens": observed})
    assert verdict.reason == "HeldByMetric"
    assert "the traffic is not split at random" in verdict.message
    assert "KS distance 0.300" in verdict.message
    assert "canary 400 of 1,000 (40 %) above 50 tokens, control 400 of 4,000 (10 %)" in verdict.message


async def test_prompts_that_are_longer_than_in_their_own_past_have_drifted(bed, url):
    pod, family, edges = arms_of(bed, "past").control, "vllm:request_prompt_tokens", one_two_five(1024)
    pod.observe(family, edges=edges)
    await_scrapes(pod)
    began, window = time.time(), 3
    before, after = [30] * 900 + [70] * 100, [300] * 850 + [150] * 100 + [70] * 50
    for part, lengths in enumerate((before, before, after)):
        await asyncio.sleep(max(0.0, began + part * window + 0.3 - time.time()))
        pod.observe(family, *lengths, edges=edges)
        await_scrapes(pod)
    await asyncio.sleep(max(0.0, began + 3 * window - time.time()))
    source = LookSource()
    asked = question(url, "drift/prompt-tokens", rollout="past")
    (found,) = await source.own_past(asked, window, 2 * window, began + 3 * window)
    await source.close()
    assert found.drifted
    assert found.text.startswith("prompt-tokens: 95 % above 100 tokens, 0 % before")


async def test_the_older_names_of_a_pack_are_found_as_well(bed, url):
    older = {
        "vllm:gpu_prefix_cache_hits_total": "vllm:prefix_cache_hits_total",
        "vllm:gpu_prefix_cache_queries_total": "vllm:prefix_cache_queries_total",
    }
    known = packs()["vllm"].entries["cache-hit-rate"].recipe.families()
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
