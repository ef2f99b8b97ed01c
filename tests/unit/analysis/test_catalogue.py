"""Metrics by name, and metrics of one's own."""

from dataclasses import replace

import pytest

from modelrollout.analysis.counters.expression import Matcher, Unreadable, read
from modelrollout.analysis.counters.matchers import Arms, ArmsNotNamed, By, Split, matchers, scope
from modelrollout.analysis.inputs.metric import Consequence, Direction, Kind, Tolerance
from modelrollout.analysis.packs import catalogue
from modelrollout.analysis.packs.defaults import analysis_of
from modelrollout.analysis.packs.limits import Unresolvable
from modelrollout.analysis.packs.pack import packs, parse_pack
from modelrollout.api import analysis, spec


def one(**metric):
    [resolved] = catalogue.resolve([analysis.Metric(**metric)])
    return resolved


def why(**metric):
    [problem] = catalogue.problems([analysis.Metric(**metric)])
    assert problem.reason == "UnusableMetric"
    return problem.message


# ── packs ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", sorted(catalogue.known_metrics()))
def test_each_metric_tolerates_something_and_is_described_in_a_phrase(name):
    metric = one(use=name).metric
    assert metric.name == name
    assert metric.tolerance != Tolerance()
    assert metric.unit
    assert metric.sentence[:1].islower()
    assert not metric.sentence.endswith(".")


def test_the_packs_that_the_documentation_promises_are_there():
    promised = {
        *("time-to-first-token", "time-per-output-token", "e2e-per-token", "queue-time", "preemptions"),
        *("length-finish-share", "restarts", "tokens-per-request", "cost-per-1k-tokens", "cache-hit-rate"),
        *("success-rate", "unfinished"),
    }
    assert promised <= packs()["vllm"].entries.keys()
    for pack in ("istio-gateway", "istio", "http"):
        assert {"success-rate", "request-duration"} <= packs()[pack].entries.keys()


def test_what_the_user_writes_wins_over_the_pack():
    plain = one(use="vllm/cache-hit-rate").metric
    assert plain.direction is Direction.DECREASE_IS_BAD
    assert (plain.is_critical, plain.reverts) == (False, False)
    written = one(
        use="vllm/cache-hit-rate",
        name="hits",
        tolerate={"absolute": "0.2"},
        direction="increase-is-bad",
        weight="2.5",
        critical=True,
        on_fail="revert",
    ).metric
    assert (written.name, written.tolerance, written.weight) == ("hits", Tolerance(1.0, 0.2), 2.5)
    assert written.direction is Direction.INCREASE_IS_BAD
    assert written.is_critical
    assert written.consequence is Consequence.REVERT


def test_an_absolute_limit_judges_the_canary_alone():
    assert one(use="http/success-rate", slo="0.01").metric.tolerance == Tolerance(0.0, 0.01)


def test_a_share_of_requests_that_breaks_down_reverts_from_a_look_or_two():
    """The promise of docs/verdicts.md: 10 points beyond the control, twice the tolerance where that is more,
    and 20 % for an absolute limit."""
    own = {"ratio": {"bad": "sum(bad_total{$arm})", "total": "sum(all_total{$arm})"}}
    assert one(use="http/success-rate").metric.catastrophic == 0.1
    assert one(name="own", **own, tolerate={"absolute": "0.01"}).metric.catastrophic == 0.1
    assert one(name="own", **own, tolerate={"absolute": "0.08"}).metric.catastrophic == 0.16
    assert one(name="own", **own, tolerate={"absolute": "0.6"}).metric.catastrophic is None
    assert one(use="http/success-rate", slo="0.01").metric.catastrophic == 0.2
    assert one(use="http/success-rate", slo="0.3").metric.catastrophic is None
    assert one(use="vllm/time-to-first-token").metric.catastrophic is None


def test_latencies_and_queues_are_known_to_grow_with_load():
    grows = {name for name in catalogue.known_metrics() if one(use=name).metric.feels_load}
    assert grows >= {
        "vllm/time-to-first-token",
        "vllm/preemptions",
        "vllm/rejections",
        "istio/request-duration",
    }
    assert not grows & {"vllm/success-rate", "vllm/restarts", "istio-gateway/success-rate"}


@pytest.mark.parametrize(
    ("use", "begins"),
    [
        (
            "vllm/ttft",
            "There is no metric vllm/ttft: did you mean vllm/time-to-first-token? There are vllm/time-to",
        ),
        ("vllm/error-rate", "There is no metric vllm/error-rate: did you mean vllm/success-rate? There are "),
        ("istio/sucess-rate", "There is no metric istio/sucess-rate: did you mean istio/success-rate?"),
        ("vlm/queue-time", "There is no metric vlm/queue-time: did you mean vllm/queue-time?"),
        (
            "nginx/x",
            "There is no metric nginx/x: the packs are drift, feedback, http, istio-gateway, istio, vllm, ",
        ),
    ],
)
def test_an_unknown_metric_is_answered_with_what_there_is_the_nearest_first(use, begins):
    assert why(use=use).startswith(begins)


def test_all_that_is_wrong_is_said_at_once():
    wrong = [
        analysis.Metric(use="vllm/nothing"),
        analysis.Metric(use="vllm/restarts"),
        analysis.Metric(use="x/y"),
    ]
    assert len(catalogue.problems(wrong)) == 2


def test_limits_that_a_kind_cannot_have_are_refused():
    assert "slo limits a share of requests" in why(use="vllm/time-to-first-token", slo="0.01")
    assert "counted events tolerate a ratio" in why(use="vllm/restarts", tolerate={"absolute": "0.1"})


def test_arrivals_are_counted_where_failures_are_seen():
    def by(*uses):
        return catalogue.arrivals([analysis.Metric(use=use) for use in uses]).by

    assert by("vllm/restarts", "istio-gateway/success-rate") is By.ENVOY_CLUSTER
    assert by("http/success-rate", "istio/success-rate") is By.ISTIO_DESTINATION
    assert by("http/success-rate") is By.REVISION
    assert catalogue.arrivals([]).families() == {"vllm:time_to_first_token_seconds_count"}


def test_arrivals_follow_from_what_the_packs_say_of_themselves():
    for pack in packs().values():
        assert pack.vantage in ("proxy", "pod", "application")
        if pack.arrivals is not None:
            metric = next(iter(pack.entries))
            assert catalogue.arrivals([analysis.Metric(use=f"{pack.name}/{metric}")]) == pack.arrivals


def test_metrics_of_ones_own_prove_the_split_by_their_own_total():
    ratio = {"bad": 'sum(x_total{$arm,code="5"})', "total": "sum(x_total{$arm})"}
    own = analysis.Metric(name="own", ratio=ratio, tolerate={"absolute": "0.01"})
    assert catalogue.arrivals([own]).parts["arrivals"] == (read("x_total"),)
    slow = analysis.Metric(
        name="slow", histogram={"buckets": "sum by (le) (y_bucket{$arm})"}, tolerate={"ratio": "1.1"}
    )
    assert catalogue.arrivals([slow]).parts["arrivals"] == (read('y_bucket{le="+Inf"}'),)
    assert catalogue.arrivals([own, analysis.Metric(use="istio/success-rate")]).by is By.ISTIO_DESTINATION


def test_the_old_name_of_a_pack_is_read_and_its_new_one_is_said():
    old, new = one(use="envoy/timeouts"), one(use="istio-gateway/timeouts")
    assert old.recipe == new.recipe
    assert old.name == "envoy/timeouts", "status and evidence keep the name that was written"
    said = catalogue.remarks([analysis.Metric(use="envoy/timeouts"), analysis.Metric(use="vllm/restarts")])
    assert said == {"envoy/timeouts": "The pack envoy is called istio-gateway: write istio-gateway/timeouts."}


@pytest.mark.parametrize(("on_fail", "said"), [("revert", True), ("hold", False), (None, False)])
def test_a_scalar_that_reverts_is_said_to_be_outside_the_promised_risk(on_fail, said):
    use = "vllm/cost-per-1k-tokens"
    assert (use in catalogue.remarks([analysis.Metric(use=use, on_fail=on_fail)])) is said
    assert not catalogue.remarks([analysis.Metric(use="http/success-rate", on_fail=on_fail)])


def test_what_envoy_gateway_cannot_tell_apart_is_refused_with_what_to_judge_instead():
    assert "one cluster for all backends of a rule" in why(use="envoy-gateway/success-rate")
    assert "http/success-rate" in why(use="envoy-gateway/anything")


@pytest.mark.parametrize("by", [By.ENVOY_CLUSTER, By.ISTIO_DESTINATION])
@pytest.mark.parametrize("split", [Split.SERVICES, Split.SUBSETS])
def test_after_promotion_the_stable_name_leads_to_the_new_revision(by, split):
    before = Arms("ml", "chat", "chat", stable="old", canary="new", split=split)
    after = replace(before, moved=True)
    if by is By.ISTIO_DESTINATION and split is Split.SUBSETS:  # told apart by the workload, which has no role
        assert matchers(by, after, "canary") == matchers(by, before, "canary")
    else:
        assert matchers(by, after, "canary") == matchers(by, before, "control")
        assert matchers(by, after, "control") == matchers(by, before, "canary")


def test_a_rollout_that_names_no_metrics_is_judged_by_refusals_failures_and_waiting():
    plain = {
        "model": {"uri": "hf://a/b"}, "runtime": {"image": "vllm"}, "traffic": {"service": "chat"},
        "strategy": {"canary": {"curve": {"shape": "linear"}}},
        "analysis": {"prometheus": {"address": "http://prom"}},
    }  # fmt: skip
    alone = analysis_of(spec.Spec.model_validate(plain))
    mesh = {"service": "chat", "istio": {"virtualService": "chat", "route": "r"}}
    meshed = analysis_of(spec.Spec.model_validate({**plain, "traffic": mesh}))
    names = [metric.use for metric in alone.metrics]
    assert {"http/client-error-rate", "http/success-rate", "vllm/time-to-first-token"} <= set(names)
    assert [metric.use for metric in meshed.metrics] == [*names, "istio/success-rate"]
    assert not catalogue.problems(meshed.metrics)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"buckets": ["x_bucket"]}, "buckets means nothing for the kind ratio"),
        ({"total": None}, "total is missing"),
        ({"bad": ["rate(x[1m])"]}, "rate() is a function"),
        ({"kind": "gauge"}, "'gauge' is not a valid Kind"),
        ({"tolerate": {"absolute": "2"}}, "between -1 and 1"),
    ],
)
def test_a_malformed_pack_is_refused(change, says):
    entry = {
        "kind": "ratio",
        "unit": "share",
        "tolerate": {"absolute": "0.01"},
        "sentence": "requests that failed",
        "bad": ["bad_total"],
        "total": ["all_total"],
    }
    entry = {key: value for key, value in {**entry, **change}.items() if value is not None}
    with pytest.raises(ValueError) as refused:
        parse_pack(
            "mine",
            {
                "about": "",
                "vantage": "pod",
                "arms": "revision",
                "arrivals": "a_total",
                "metrics": {"x": entry},
            },
        )
    assert says in str(refused.value)


# ── one's own ───────────────────────────────────────────────────────────────────────────────────


def test_counters_of_ones_own_are_read_as_series():
    resolved = one(
        name="thumbs-down",
        ratio={
            "bad": 'sum(feedback_total{$arm,thumb="down"}) + sum(reports_total{$arm})',
            "total": "sum by (pod) (feedback_total{$arm})",
        },
        tolerate={"absolute": "0.01"},
    )
    [[down, reports]] = resolved.recipe.parts["bad"]
    assert (down.sign, down.selector.family, down.selector.matchers) == (
        1,
        "feedback_total",
        (Matcher("thumb", "=", "down"),),
    )
    assert reports.selector.family == "reports_total"
    assert resolved.recipe.families() == {"feedback_total", "reports_total"}
    assert resolved.metric.kind is Kind.RATIO


def test_an_expression_of_ones_own_stays_as_it_is():
    value = "sum(rate(cost_dollars_total{$arm}[5m])) / sum(rate(answers_total{$arm}[5m]))"
    resolved = one(name="cost", scalar={"value": value}, tolerate={"ratio": "1.1"})
    assert resolved.recipe.expression == value
    assert not resolved.metric.reverts


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("sum(rate(errors_total{$arm}[1m]))", "rate() is a function of counters"),
        ("increase(errors_total{$arm}[1m])", "increase() is a function of counters"),
        ("sum(errors_total{$arm}[5m])", "'[' stands where ')' is expected"),
        ("sum(errors_total{$arm}) / 2", "'/' stands where '+' is expected"),
        ('sum(errors_total{code="5"})', "without $arm"),
        ("sum(a_total{$arm}) + sum(b_total)", "b_total stands there without $arm"),
        ("sum(errors_total{$arm}", "it ends too early"),
        ("sum(errors_total{$arm}) sum(b{$arm})", "'sum' stands where '+' is expected"),
        ('errors_total{$arm,code=~"("}', "is no regular expression"),
        ("errors_total{$arm,code=5}", "code = 5 is no label matcher"),
        ("", "it ends too early"),
    ],
)
def test_what_is_no_sum_of_counters_is_refused_with_what_to_write(query, says):
    with pytest.raises(Unreadable) as refused:
        read(query, per_arm=True)
    assert says in str(refused.value)
    assert "Write sum(name{$arm})" in str(refused.value)


def test_terms_may_be_subtracted():
    terms = read('-a{x="1"} + sum(b) - sum by (le) (c{y!~"z.*"}) - sum(d) by (le)')
    assert [(term.sign, term.selector.family) for term in terms] == [
        (-1, "a"),
        (1, "b"),
        (-1, "c"),
        (-1, "d"),
    ]


@pytest.mark.parametrize(
    ("matcher", "taken", "left"),
    [
        ('a="x"', {"a": "x"}, {}),
        ('a!="x"', {}, {"a": "x"}),
        ('a=~"x.*"', {"a": "xy"}, {"a": "yx"}),
        ('a!~"x|y"', {"a": "xy"}, {"a": "y"}),
        ('a=""', {}, {"a": "x"}),
        ("a='it\\'s \"\\\\\"'", {"a": 'it\'s "\\"'}, {"a": "it's"}),
    ],
)
def test_matchers_mean_what_they_mean_in_prometheus(matcher, taken, left):
    [term] = read(f"counter{{{matcher}}}")
    assert term.selector.takes(taken)
    assert not term.selector.takes(left)
    [again] = read(f"counter{{{term.selector.matchers[0]}}}")
    assert again == term


# ── telling the arms apart ──────────────────────────────────────────────────────────────────────


def arms(split):
    return Arms("ml", "chat", "web", stable="old", canary="new", split=split)


def test_pods_are_told_apart_by_their_revision():
    assert ",".join(map(str, matchers(By.REVISION, arms(Split.PODS), "canary"))) == (
        'namespace="ml",rollout="chat",revision="new"'
    )


@pytest.mark.parametrize(
    ("by", "split", "label", "canary", "control"),
    [
        (
            By.ENVOY_CLUSTER,
            Split.SERVICES,
            "cluster_name",
            "outbound|80||web-canary.ml.svc.cluster.local",
            "outbound|80||web-stable.ml.svc.cluster.local",
        ),
        (
            By.ENVOY_CLUSTER,
            Split.SUBSETS,
            "cluster_name",
            "outbound|80|canary|web.ml.svc.cluster.local",
            "outbound|80|stable|web.ml.svc.cluster.local",
        ),
        (
            By.ISTIO_DESTINATION,
            Split.SERVICES,
            "destination_service",
            "web-canary.ml.svc.cluster.local",
            "web-stable.ml.svc.cluster.local",
        ),
        (By.ISTIO_DESTINATION, Split.SUBSETS, "destination_workload", "chat-new", "chat-old"),
        (By.ISTIO_DESTINATION, Split.PODS, "destination_workload", "chat-new", "chat-old"),
    ],
)
def test_proxies_tell_the_arms_apart_by_destination(by, split, label, canary, control):
    for side, mine, other in (("canary", canary, control), ("control", control, canary)):
        wanted = matchers(by, arms(split), side)

        def takes(value, wanted=wanted):
            labels = {label: value, "destination_workload_namespace": "ml"}
            return all(matcher.takes(labels) for matcher in wanted)

        assert takes(mine)
        assert not takes(other)
        assert not takes(mine.replace(".ml.", ".other.").replace("chat-", "chat-x-"))
    both = scope(by, arms(split))
    assert (both.label, len(both.values)) == (label, 2)


def test_one_service_for_both_arms_tells_a_proxy_nothing():
    with pytest.raises(ArmsNotNamed, match="a proxy's counters do not name the pod's revision"):
        scope(By.ENVOY_CLUSTER, arms(Split.PODS))


def test_edges_are_for_histograms() -> None:
    [resolved] = catalogue.resolve([analysis.Metric(use="vllm/time-to-first-token", edges=["1", "0.5"])])
    assert resolved.metric.edges == (0.5, 1.0)
    with pytest.raises(Unresolvable, match="leave them out"):
        catalogue.resolve([analysis.Metric(use="vllm/success-rate", edges=["1"])])
