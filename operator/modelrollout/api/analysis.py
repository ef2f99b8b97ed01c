"""What decides on a new revision: metrics, tolerances and risks."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from modelrollout.api.quantities import Duration, Fraction
from modelrollout.api.wire import Name, Wire

PACK_METRIC_PATTERN = r"^[a-z0-9-]+/[a-z0-9-]+$"
HTTP_PATTERN = r"^https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?$"


class PrometheusAuth(Wire):
    """The credentials that the operator sends to Prometheus."""

    secret: Name
    """A Secret in the namespace of the rollout, with any of the keys token (sent as a bearer token),
    username and password, tenant (sent as X-Scope-OrgID) and ca.crt (certificates in PEM to trust). The
    operator may read it only where its administrator listed the name in the chart's value
    prometheus.secrets."""


class Prometheus(Wire):
    """The metrics server that holds the series of both revisions."""

    address: Annotated[str, Field(pattern=HTTP_PATTERN, max_length=512)]
    """Such as http://prometheus.monitoring:9090, without /api/v1."""
    timeout: Duration = "5s"
    """For one question; at most 60s."""
    auth: PrometheusAuth | None = None
    labels: Annotated[dict[str, Annotated[str, Field(max_length=128)]], Field(max_length=8)] = Field(
        default_factory=dict
    )
    """Labels that every series of this rollout has, such as cluster: eu. Needed where one server holds the
    series of several clusters, since namespace, rollout and revision may be the same in each."""


class Tolerance(Wire):
    """How much worse the canary may be: canary <= ratio * control + absolute."""

    ratio: Fraction | None = None
    """How many times worse is tolerated, such as "1.10" for ten percent."""
    absolute: Fraction | None = None
    """How much worse is tolerated beyond that, such as "0.005" for half a point."""


class RatioQuery(Wire):
    """Counters of bad and of all units; `$arm` becomes the label matchers of one arm."""

    bad: Annotated[str, Field(min_length=1, max_length=1024)]
    """PromQL that counts the bad ones of one arm, as a counter."""
    total: Annotated[str, Field(min_length=1, max_length=1024)]
    """PromQL that counts all of one arm, as a counter."""
    running: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """PromQL that gives, as a gauge, how many requests run in the processes of one arm. What runs when a
    process crashes counts as bad, since it is in neither counter."""


class HistogramQuery(Wire):
    """A `_bucket` counter family; `$arm` becomes the label matchers of one arm."""

    buckets: Annotated[str, Field(min_length=1, max_length=1024)]
    """PromQL that gives the bucket counters of one arm, by their label le."""


class EventsQuery(Wire):
    """Counters of rare events and of what they are counted over; `$arm` becomes the label matchers of one
    arm."""

    count: Annotated[str, Field(min_length=1, max_length=1024)]
    """PromQL that counts the events of one arm, as a counter."""
    exposure: Annotated[str, Field(min_length=1, max_length=1024)]
    """PromQL that counts what could have brought one, such as requests, as a counter."""


class MeanQuery(Wire):
    """Counters of the sum and the number of scores that lie in known bounds, such as a judge's."""

    sum: Annotated[str, Field(min_length=1, max_length=1024)]
    """PromQL that sums the scores of one arm, as a counter."""
    count: Annotated[str, Field(min_length=1, max_length=1024)]
    """PromQL that counts the scores of one arm, as a counter."""
    least: Fraction = "0"
    """The least score that there can be."""
    most: Fraction = "1"
    """The greatest score that there can be."""


class Limits(Wire):
    """What a good request keeps, in seconds; both must be edges of the server's buckets."""

    time_to_first_token: Fraction
    """From the request to the first token."""
    time_per_output_token: Fraction
    """For each token after it, on average."""


class ScalarQuery(Wire):
    """Any PromQL that gives one number per arm. Weak evidence: by default it can hold, not revert."""

    value: Annotated[str, Field(min_length=1, max_length=1024)]
    """PromQL that gives the number."""


class Metric(Wire):
    """Either `use: pack/metric`, or a name with one of ratio, histogram, events, mean, scalar."""

    use: Annotated[str, Field(pattern=PACK_METRIC_PATTERN, max_length=128)] | None = None
    """A metric of a pack, such as vllm/time-to-first-token; docs/metrics.md lists them."""
    name: Name | None = None
    """How status, Events and reports call it. Needed for a metric of your own."""
    ratio: RatioQuery | None = None
    """Bad ones of all, such as failed requests."""
    histogram: HistogramQuery | None = None
    """A distribution, such as latencies."""
    events: EventsQuery | None = None
    """Rare events over what could have brought them, such as resets for each request. By default they only
    object."""
    mean: MeanQuery | None = None
    """Scores in known bounds; `tolerate.absolute` is in units of the score."""
    scalar: ScalarQuery | None = None
    """Any one number, such as cost for each token."""
    limits: Limits | None = None
    """For vllm/goodput: what a good request keeps."""
    prices: Annotated[dict[str, Fraction], Field(min_length=1, max_length=16)] | None = None
    """For vllm/cost-per-1k-tokens: what an accelerator costs in an hour, by the value of a label of nodes
    that the pods ask for (nodeSelector or required node affinity), such as NVIDIA-L4, or by its resource,
    such as nvidia.com/gpu. Default: all cost the same."""
    tolerate: Tolerance | None = None
    """How much worse than stable is still good enough."""
    slo: Fraction | None = None
    """Absolute limit on the bad share, whatever the control does."""
    edges: Annotated[list[Fraction], Field(min_length=1, max_length=6)] | None = None
    """Histograms: the bucket edges that decide. Default: those that tell most about this service."""
    by: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Shares of requests: a label, such as tenant. The arms are only compared within its values, so a canary
    whose tenants differ from stable's does not pass or fail for that."""
    direction: Literal["increase-is-bad", "decrease-is-bad", "change-is-bad"] = "increase-is-bad"
    """`change-is-bad` is for scalars only."""
    weight: Fraction = "1"
    """How much this metric counts among the others when all of them together speak for a revert."""
    critical: bool | None = None
    """A step is passed only when every critical metric has shown that it is not worse.

    Default: the kind's own (scalar and counted events: false, everything else: true).
    """
    on_fail: Literal["revert", "hold"] | None = None
    """Default: the kind's own (scalar: hold, everything else: revert)."""

    @property
    def effective_name(self) -> str:
        """What status, Events and reports call it: its name, or what it uses."""
        return self.name or self.use or ""


class Alert(Wire):
    """An alert that decides beside the metrics while it fires."""

    name: Annotated[str, Field(min_length=1, max_length=128)]
    """Its name, the label alertname."""
    from_: Annotated[Literal["prometheus", "alertmanager"], Field(alias="from")] = "prometheus"
    """Where it comes from: the Prometheus of this analysis, or an Alertmanager that posts to the operator,
    where its administrator has turned that on (the chart's alertmanager.enabled)."""
    then: Literal["revert", "hold"] = "hold"
    """What happens once it has fired for `for`: revert sends users back, hold lets no step pass. An alert
    that is to revert holds from its first moment on."""
    for_: Annotated[Duration, Field(alias="for")] = "0s"
    """How long it must fire without a gap, on top of the `for` of its own rule; at most 1h."""
    matchers: Annotated[dict[str, Annotated[str, Field(max_length=128)]], Field(max_length=8)] = Field(
        default_factory=dict
    )
    """Labels that it must have beside namespace and rollout, such as severity: critical."""


OwnMetric = Literal["prompt-tokens", "output-tokens", "latency"]


class OwnPast(Wire):
    """The requests of the revision that serves beside their own past, while no other is on trial."""

    window: Duration = "24h"
    """How much of the present is compared. A day has the whole rhythm of a day."""
    past: Duration = "168h"
    """How much before it: as many windows as fit in."""
    metrics: Annotated[list[OwnMetric], Field(min_length=1, max_length=3)] = Field(
        default_factory=lambda: list(get_args(OwnMetric))
    )
    """Which metrics of the pack drift are compared."""


class Analysis(Wire):
    """How a new revision is compared with the one that serves."""

    prometheus: Prometheus
    """The Prometheus that holds the metrics."""
    interval: Duration = "30s"
    """Length of one look: both revisions are counted at its two ends."""
    false_revert_risk: Fraction = "0.01"
    """The risk that a good revision is sent back: for the whole rollout, all metrics and looks together."""
    miss_risk: Fraction = "0.05"
    """The risk that a step passes a revision that is worse than tolerated."""
    on_insufficient: Literal["pause", "revert", "promoteIfQuiet"] = "pause"
    """What to do when a step has no verdict in time: wait for a person, go back, or go on if nothing
    speaks against the new revision."""
    max_step_duration: Duration = "2h"
    """After this long without a verdict `onInsufficient` applies."""
    warm_up: Duration = "30s"
    """Pods younger than this are left out, in both arms alike."""
    equal_load: bool = True
    """While a route splits users and metrics judge, only so many pods of the old revision serve as give each
    of them the load of a new revision's pod; the others stay loaded and ready, and one write brings them
    back. false: all of them serve, and latency is compared at unequal load."""
    own_past: OwnPast | None = None
    """Compare what the revision that serves is asked, and how it answers, with its own past. What has drifted
    is a Warning Event and the condition Steady, and starts the evaluations with `when: onDrift`; it moves no
    user."""
    metrics: Annotated[list[Metric], Field(max_length=16)] = Field(default_factory=list)
    """What the two revisions are compared by. Empty: requests that vLLM refused, failed or ended with an
    error, time to first token, and scrapes that it did not answer; with traffic.istio also the success rate
    that Istio's proxies count."""
    alerts: Annotated[list[Alert], Field(max_length=16)] = Field(default_factory=list)
    """Alerts that decide too. One is about this rollout when it has the labels namespace and rollout, and
    about the revision on trial when its label revision names it or is missing."""
