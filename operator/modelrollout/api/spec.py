"""What the user asks for: the `spec` of a ModelRollout, as pydantic models.

These models are the single source of the CRD's schema (see `api.crd`) and of every default. They
read what the API server stored, so unknown fields are ignored here and refused there.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from modelrollout.api.evaluations import Evaluation
from modelrollout.api.quantities import Duration, Fraction
from modelrollout.api.transitions import Transition
from modelrollout.api.wire import Name, Wire

URI_PATTERN = (
    r"^(hf://[^/\s:@\p{Cc}\p{Cf}]+/[^/\s:@\p{Cc}\p{Cf}]+"
    r"|(s3|gs|pvc)://[^/\s\p{Cc}\p{Cf}]+(/[^\s\p{Cc}\p{Cf}]*)?|file:///[^\s\p{Cc}\p{Cf}]+)$"
)
"""No colon and no @ in a Hugging Face name: other tools write a revision after these."""
VISIBLE_PATTERN = r"^[^\p{Cc}\p{Cf}]*$"
PACK_METRIC_PATTERN = r"^[a-z0-9-]+/[a-z0-9-]+$"
HTTP_PATTERN = r"^https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?$"
COOKIE_PATTERN = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"
PATH_PATTERN = r"^/[!-~]*$"

Uri = Annotated[str, Field(max_length=512, pattern=URI_PATTERN)]
ServedName = Annotated[str, Field(min_length=1, max_length=128, pattern=VISIBLE_PATTERN)]
Text = Annotated[str, Field(max_length=1024)]
Percent = Annotated[int, Field(ge=0, le=100)]


# ── what makes pods answer differently ──────────────────────────────────────────────────────────


class Adapter(Wire):
    """A LoRA adapter served beside the base model."""

    name: Name
    """Clients ask for the adapter by this name."""
    uri: Uri
    """Where it lies, written as model.uri is."""


class Model(Wire):
    """Which weights are served, and under which name clients ask for them."""

    uri: Uri
    """hf://org/name, s3://bucket/path, gs://bucket/path, pvc://claim/path or file:///path."""
    revision: Annotated[str, Field(max_length=128, pattern=VISIBLE_PATTERN)] | None = None
    """Commit, tag or version of the weights at that address; without it, whatever is there when a pod
    starts."""
    served_name: ServedName | None = None
    """Clients send this name, so it must not differ between revisions; default: the rollout's name."""
    served_names: Annotated[list[ServedName], Field(max_length=16)] = Field(default_factory=list)
    """More names under which clients may ask for the same model; the server counts all under servedName."""
    adapters: Annotated[list[Adapter], Field(max_length=16)] = Field(default_factory=list)
    """LoRA adapters that are served beside the base model."""


class Drain(Wire):
    """How long a pod that leaves may finish the streams it has."""

    timeout: Duration = "2m"
    """After this long its streams are cut."""


class Probe(Wire):
    """A request that a new pod must answer with a 2xx status before users are sent to it."""

    path: Annotated[str, Field(pattern=PATH_PATTERN, max_length=512)]
    """Such as /v1/embeddings."""
    body: dict[str, Any] | None = None
    """Posted as JSON, with the model's name if the server wants it; without a body the request is a GET."""


class Runtime(Wire):
    """The server that loads the model: image, arguments, hardware."""

    server: Name = "vllm"
    """vllm, sglang, or openai for any server with an OpenAI API that your own command and args start."""
    image: Annotated[str, Field(min_length=1, max_length=512, pattern=VISIBLE_PATTERN)]
    """The server's container image, with a tag or a digest."""
    command: Annotated[list[Text], Field(max_length=16)] = Field(default_factory=list)
    """The command that starts the server. Empty: the image's own."""
    args: Annotated[list[Text], Field(max_length=64)] = Field(default_factory=list)
    """Arguments of the server. The operator adds those for the model, its name and the port."""
    env: Annotated[list[dict[str, Any]], Field(max_length=64)] = Field(default_factory=list)
    """Kubernetes EnvVar objects."""
    resources: dict[str, Any] = Field(default_factory=dict)
    """Kubernetes ResourceRequirements."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    """The port on which the server answers."""
    probe: Probe | None = None
    """Instead of what the operator asks a new pod: chat completions, completions, embeddings and so on,
    whichever the server has first."""
    startup_deadline: Duration = "30m"
    """Loading a model is progress until then; afterwards the revision has failed to start."""
    drain: Drain = Drain()
    pod_template: dict[str, Any] = Field(default_factory=dict)
    """Overlay, merged by name over the pod template that the operator builds."""


class Prompts(Wire):
    """Prompts and templates are rolled out like weights: their content is part of the revision."""

    config_map: Name
    """Name of the ConfigMap that holds them, in the same namespace."""


# ── where traffic is moved ──────────────────────────────────────────────────────────────────────


class GatewayTraffic(Wire):
    """Weights in one named rule of a Gateway API route."""

    http_route: Name | None = None
    """Name of the HTTPRoute that holds the rule."""
    grpc_route: Name | None = None
    """Name of the GRPCRoute that holds the rule."""
    rule: Annotated[str, Field(min_length=1, max_length=253)]
    """Name of the rule in that route. Only this rule is changed."""


class IstioTraffic(Wire):
    """Weights in one named http route of an Istio VirtualService."""

    virtual_service: Name
    """Name of the VirtualService that holds the route."""
    route: Annotated[str, Field(min_length=1, max_length=253)]
    """Name of the http route in that VirtualService. Only this one is changed."""
    destination_rule: Name | None = None
    """Named: split over its subsets `stable` and `canary` instead of over two Services."""


class Sticky(Wire):
    """A user who saw the canary keeps seeing it while the weight grows."""

    header: Annotated[str, Field(min_length=1, max_length=128)]
    """A request header with two digits, 00–99, that the caller derives from a hash of the user."""


class Traffic(Wire):
    """The Service that clients call, and what splits its traffic.

    With neither gateway nor istio the Service itself is the router: it splits by pod counts.
    """

    service: Name
    """Name of the Service that clients call. It exists already; the operator makes two more beside it,
    for stable and canary."""
    gateway: GatewayTraffic | None = None
    istio: IstioTraffic | None = None
    sticky: Sticky | None = None
    arm_headers: bool = False
    """Answers say who gave them: X-Model-Version, such as chat@kcqrsqm2fb, and X-Experiment-ID while a
    revision is on trial."""
    tolerance: Percent = 5
    """Points of weight by which a split made of replica counts may miss a step's weight."""
    close_connections_after: Duration | None = None
    """Where the Service itself is the router: so long after all users have moved, the pods of the old
    revision are restarted one by one, which ends the connections that clients kept open to it. It stays warm.
    Without it, such clients stay with the old revision until its pods end."""


# ── how the new revision meets the users ────────────────────────────────────────────────────────


class Match(Wire):
    """Requests that carry this header, query parameter or cookie with exactly this value go to the canary."""

    header: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """Name of a request header."""
    query: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """Name of a query parameter."""
    cookie: Annotated[str, Field(min_length=1, max_length=128, pattern=COOKIE_PATTERN)] | None = None
    """Name of a cookie. Other cookies may be beside it."""
    value: Annotated[str, Field(min_length=1, max_length=256)]
    """The whole value that the header, parameter or cookie must have."""


class Pause(Wire):
    """Waits for the promote annotation, or for `duration` when given."""

    duration: Duration | None = None
    """How long to wait. Without it a person goes on with the annotation modelrollout.io/promote=step."""


class Step(Wire):
    """One entry of the plan: exactly one of mirror, weight, match, pause, evaluate."""

    mirror: Annotated[int, Field(ge=1, le=100)] | None = None
    """Percent of requests that are copied to the new revision; users get the answers of stable."""
    weight: Annotated[int, Field(ge=1, le=100)] | None = None
    """Percent of requests that the new revision answers."""
    match: Annotated[list[Match], Field(min_length=1, max_length=8)] | None = None
    """Requests that go to the new revision whole, whatever the weight."""
    pods: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Pods of the new revision for those who match, at most spec.replicas. Only beside match, because nobody
    knows how many will match: without it they get one pod."""
    pause: Pause | None = None
    """Waits for a person, or for a while."""
    evaluate: Name | None = None
    """Waits until the evaluation of this name, one of spec.evaluations, has passed the new revision."""
    for_: Annotated[Duration | None, Field(alias="for")] = None
    """The shortest stay; the step also waits for a Pass verdict when there are metrics."""


class Curve(Wire):
    """Shorthand for weight steps; the expansion is shown in status.plan."""

    shape: Literal["linear", "exponential"]
    """Whether the weights grow by equal amounts or by equal factors."""
    start: Annotated[int, Field(ge=1, le=50)] = 5
    """Percent of requests at the first step."""
    steps: Annotated[int, Field(ge=2, le=20)] = 4
    """How many steps there are, the last one of which is 100 percent."""
    for_: Annotated[Duration, Field(alias="for")] = "10m"
    """The shortest stay at each step."""


class Canary(Wire):
    """A new revision gets more and more of the users."""

    steps: Annotated[list[Step], Field(max_length=32)] = Field(default_factory=list)
    """What the new revision gets, one after the other. Every step but a pause waits for a Pass when
    there are metrics."""
    curve: Curve | None = None


class BlueGreen(Wire):
    """The whole new environment beside the old one, then one move.

    `steps` may put a mirror, a match or a canary before the move.
    """

    preview: Name | None = None
    """Name of a Service that the operator makes for the new revision; default: `<service>-canary`."""
    warm_for: Duration = "0s"
    """How long the new revision must have been ready before the move."""
    steps: Annotated[list[Step], Field(max_length=32)] = Field(default_factory=list)
    """Steps before the move: pauses, and with a route also mirror, match and weight."""


class Strategy(Wire):
    """How a new revision meets the users: exactly one of canary and blueGreen."""

    canary: Canary | None = None
    """More and more users, step by step."""
    blue_green: BlueGreen | None = None
    """All users at once, after the new revision stood ready beside the old one."""


# ── what decides ────────────────────────────────────────────────────────────────────────────────


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
    tolerate: Tolerance | None = None
    """How much worse than stable is still good enough."""
    slo: Fraction | None = None
    """Absolute limit on the bad share, whatever the control does."""
    edges: Annotated[list[Fraction], Field(min_length=1, max_length=6)] | None = None
    """Histograms: the bucket edges that decide. Default: those that tell most about this service."""
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
    metrics: Annotated[list[Metric], Field(max_length=16)] = Field(default_factory=list)
    """What the two revisions are compared by. Empty: requests that vLLM refused, failed or ended with an
    error, time to first token, and scrapes that it did not answer; with traffic.istio also the success rate
    that Istio's proxies count."""


# ── messages ────────────────────────────────────────────────────────────────────────────────────


class Notify(Wire):
    """Where messages about this rollout's transitions go. Nothing waits for them."""

    secret: Name
    """A Secret in the namespace of the rollout, with any of the keys urls (addresses of chats, mail and
    pagers as Apprise writes them, one a line), webhook and webhook-key (an address that gets CloudEvents, and
    the key that signs them) and ca.crt (certificates in PEM that the webhook is trusted by). The operator may
    read it only where its administrator listed the name in the chart's value notify.secrets."""
    when: Annotated[list[Transition], Field(max_length=9)] = Field(default_factory=list)
    """The kinds of transition that are sent. Empty: all but entered and noted."""


Deletion = Literal["orphan", "drain"]


class Spec(Wire):
    """What is asked for. Write it, and the operator makes it so."""

    replicas: Annotated[int, Field(ge=1, le=1000)] = 1
    """Pods of the revision that serves. An autoscaler may write it, through the scale subresource."""
    model: Model
    """The model. A change here is a new revision."""
    runtime: Runtime
    """The server that loads it. A change here is a new revision, but for drain and startupDeadline."""
    prompts: Prompts | None = None
    """Prompts and chat templates. A change of their content is a new revision."""
    traffic: Traffic
    """How users reach the model, and where their requests are split."""
    strategy: Strategy
    """How a new revision meets the users."""
    analysis: Analysis | None = None
    """What a new revision is judged by. Without it steps pass by time alone."""
    evaluations: Annotated[list[Evaluation], Field(max_length=8)] = Field(default_factory=list)
    """Golden sets that judge a revision's answers, each run by a Job. docs/quality.md says how."""
    rollback_window: Duration = "1h"
    """How long the old revision stays warm after promotion."""
    notify: Annotated[list[Notify], Field(max_length=8)] = Field(default_factory=list)
    """Where messages go when the rollout begins, passes a step, waits for a person, or ends."""
    deletion: Deletion = "orphan"
    """What `kubectl delete` of this resource does to users.

    orphan: nobody is cut off. The pods of the serving revision stay, with the Services that lead to them.
    drain: everything goes. The route and the Service are given back as they were found, then the pods finish
    the answers that they have begun and end.
    """
