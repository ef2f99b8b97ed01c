"""What the API server refuses at `kubectl apply`, and the sentence it says: CEL rules on `api.spec`.

Each sentence says what to write instead. Rules read durations and decimals only where they are well
formed, so that one mistake brings one sentence. Every rule has a row in `tests/apiserver/test_crd.py`.

The API server bounds the cost of a rule before it runs, from maxItems and maxLength. It loses these
bounds in `a.?b.orValue(c)`, so rules ask `has(a.b)` first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from modelrollout.api import (
    analysis,
    contest,
    evaluations,
    model,
    quantities,
    registry,
    spec,
    strategy,
    traffic,
    wire,
)
from modelrollout.api.names import PREFIX


@dataclass(frozen=True)
class Rule:
    """One entry of x-kubernetes-validations."""

    rule: str
    """CEL; true means accepted."""
    message: str
    expression: str | None = None
    """CEL for the message where it can name numbers; `message` is said when it fails."""

    def to_schema(self) -> dict[str, str]:
        entry = {"rule": " ".join(self.rule.split()), "message": self.message}
        if self.expression:
            entry["messageExpression"] = " ".join(self.expression.split())
        return entry


FORMATS: Mapping[str, str] = {
    quantities.DURATION_PATTERN: "write a duration in hours, minutes and seconds, such as 30s, 10m or 1h30m",
    quantities.FRACTION_PATTERN: 'write a decimal number in quotes, such as "0.01" or "1.10"',
    wire.NAME_PATTERN: "write lower-case letters, digits and dashes, with a letter or digit at both ends",
    model.PLAIN_URI_PATTERN: (
        "write where the adapter lies: hf://org/name, pvc://claim/path or file:///path; aliases and branches "
        "are looked up for model.uri only"
    ),
    model.URI_PATTERN: (
        "write hf://org/name or hf://org/name@branch (a commit belongs in model.revision), s3://bucket/path, "
        "gs://bucket/path, pvc://claim/path, file:///path, mlflow://name@alias or mlflow://name/version"
    ),
    registry.ALIAS_PATTERN: "write an alias as MLflow has them: letters, digits, dashes and underscores",
    evaluations.WHEN_PATTERN: (
        "write beforeTraffic, afterPromotion, onDrift or a cron expression of five fields, such as 0 2 * * *"
    ),
    evaluations.KEY_PATTERN: "write the key of a ConfigMap: letters, digits, dashes, dots and underscores",
    model.VISIBLE_PATTERN: "it holds a control character or an invisible one: write it without",
    analysis.PACK_METRIC_PATTERN: "write pack/metric, such as vllm/time-to-first-token",
    strategy.COOKIE_PATTERN: "write the cookie's name alone, in letters, digits and dashes, such as canary",
    model.PATH_PATTERN: "write a path that begins with a slash, such as /v1/embeddings",
    analysis.HTTP_PATTERN: (
        "write http:// or https://, a host, and if need be a port and a path, such as "
        "http://prometheus.monitoring:9090; a user name and password belong in a Secret"
    ),
}
"""Pattern of a string in `api.spec` -> what to write; the API server's own words would quote the pattern."""


def literal(text: str) -> str:
    """A CEL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def exactly_one(*fields: str) -> str:
    """CEL: one of these fields is given and no other."""
    flags = ", ".join(f"has(self.{field})" for field in fields)
    return f"[{flags}].filter(given, given).size() == 1"


def number(text: str, condition: str) -> str:
    """CEL: the decimal string `text`, called `x` in `condition`, meets it. True for what is no decimal."""
    return f"(!{text}.matches({_FRACTION}) || [double({text})].all(x, {condition}))"


def optional_number(text: str, condition: str) -> str:
    return f"(!has({text}) || {number(text, condition)})"


def at_least(duration: str, least: str) -> str:
    """CEL: the duration string is given and not shorter than `least`, a CEL duration. Ill-formed is true."""
    return f"(!{duration}.matches({_DURATION}) || duration({duration}) >= {least})"


COOKIE_VALUE = r"^[!#-+\x2d-:<-\[\]-~]*$"
"""RFC 6265, cookie-octet."""
_FRACTION = literal(quantities.FRACTION_PATTERN)
_DURATION = literal(quantities.DURATION_PATTERN)

CANARY = "!has(self.strategy.canary) || !has(self.strategy.canary.steps) || self.strategy.canary.steps"
BLUE_GREEN = (
    "!has(self.strategy.blueGreen) || !has(self.strategy.blueGreen.steps) || self.strategy.blueGreen.steps"
)
ROUTED = "has(self.traffic.gateway) || has(self.traffic.istio)"
NO_QUERY = """all(s, !has(s.match) || s.match.all(m, !has(m.query) && !has(m.cookie)
    && (!has(m.and) || m.and.all(c, !has(c.query) && !has(c.cookie)))))"""
LOOK = f"""(has(self.analysis.interval) && self.analysis.interval.matches({_DURATION})
    ? duration(self.analysis.interval) : duration('30s'))"""
LONG_ENOUGH = f"all(s, !has(s.__for__) || {at_least('s.__for__', LOOK)})"
WINDOW, PAST = "(has(self.window) ? self.window : '24h')", "(has(self.past) ? self.past : '168h')"
EVALUATED = """all(s, !has(s.evaluate)
    || has(self.evaluations) && self.evaluations.exists(e, e.name == s.evaluate))"""
TOO_SHORT = "shorter than one look: write a `for` of at least analysis.interval (30s unless you set it)"
CONTESTS = "(has(s.experiment) || has(s.bandit))"
TOLERANCE = "(has(self.traffic.tolerance) ? self.traffic.tolerance : 5)"

# k canary pods beside the stable ones carry 100 k / (replicas + k) percent. The two k next to the
# wanted weight are tried, with 1 <= k <= replicas; all in whole numbers, so that nothing is rounded.
NEAREST_PODS = """[0, 1]
    .map(up, s.weight * self.replicas / (100 - s.weight) + up)
    .map(k, k < 1 ? 1 : (k > self.replicas ? self.replicas : k))"""
REACHABLE = f"""!has(s.weight) || s.weight >= 100 || {NEAREST_PODS}.exists(k,
    100 * k - s.weight * (self.replicas + k) <= {TOLERANCE} * (self.replicas + k)
    && s.weight * (self.replicas + k) - 100 * k <= {TOLERANCE} * (self.replicas + k))"""
# Only before the operator has looked at the rollout: later an autoscaler writes replicas, and what they make
# of the weights is said when a step needs it (rollout/advance.py).
NEW = "!has(self.status) || !has(self.status.phase)"
REACHABLE_WEIGHTS = """[1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 100, 200, 500]
    .filter(k, k < self.replicas)
    .map(k, (200 * k + self.replicas + k) / (2 * (self.replicas + k))) + [50, 100]"""
POD_SPLIT = (  # filled in by format(), because the cost of adding texts of unknown length has no bound
    "without a route the split is made of pod counts; with %d replicas it can be %s percent, give or take "
    "%d points: write such weights, raise replicas or traffic.tolerance, or name traffic.gateway or "
    "traffic.istio"
)

CARRIED = (
    Rule(
        exactly_one("header", "query", "cookie"),
        "write exactly one of header, query and cookie: where the request carries the value",
    ),
    Rule(
        f"!has(self.cookie) || self.value.matches({literal(COOKIE_VALUE)})",
        "no browser sends such a value in a cookie: write it without blanks, quotes, commas, semicolons "
        "and backslashes",
    ),
)

STEP_LIST = (
    Rule(
        """self.filter(s, has(s.weight)).map(s, s.weight).isSorted()
           && self.all(s, !has(s.weight) || self.exists_one(t, has(t.weight) && t.weight == s.weight))""",
        "weights must grow from step to step: write each larger than the one before, such as 5, 25, 50",
    ),
    Rule(
        f"""self.filter(s, !has(s.pause) && !has(s.evaluate))
            .map(s, has(s.weight) || {CONTESTS} ? 1 : 0).isSorted()""",
        "mirror and match come before users are split: move these steps before the first weight",
    ),
    Rule(
        """self.filter(s, has(s.weight) || has(s.experiment)).map(s, has(s.weight) ? s.weight
           : has(s.experiment.split) ? s.experiment.split : 50).isSorted()""",
        "an experiment keeps the users that the new revision has: write a split from the weight of the step "
        "before it to the weight of the step after it",
    ),
)

RISK = Rule(
    number("self", "x > 0.0 && x < 0.5"),
    'a risk lies above 0 and below 0.5: write a probability such as "0.01"',
)

SHARE = Rule(
    number("self", "x > 0.0 && x < 1.0"),
    'it is a share of the users: write a number between 0 and 1, such as "0.10" for one of ten',
)


def ours(flag: str, field: str) -> Rule:
    """Of a vLLM: a flag that the operator writes. Its words are joined by dashes or underscores."""
    spelled = "^--" + flag.removeprefix("--").replace("-", "[-_]") + "(=|$)"
    return Rule(
        f"""has(self.server) && self.server != 'vllm' || !has(self.args)
            || !self.args.exists(a, a.matches({literal(spelled)}))""",
        f"leave {flag} out of args: the operator writes it from {field}",
    )


ON_MODELS: Mapping[type[wire.Wire], tuple[Rule, ...]] = {
    model.Model: (
        Rule(
            "!has(self.servedName) || !has(self.adapters) || self.adapters.all(a, a.name != self.servedName)",
            "an adapter has the base model's name, and clients choose by name: give it another name",
        ),
        Rule(
            """!has(self.revision) || !self.uri.startsWith('mlflow://')
                && !(self.uri.startsWith('hf://') && self.uri.contains('@'))""",
            "uri and revision both say which version: write the branch behind @ in uri or the commit in "
            "revision, and no revision with mlflow://",
        ),
    ),
    model.Runtime: (
        ours("--model", "model.uri"),
        ours("--revision", "model.revision"),
        ours("--served-model-name", "model.servedName and model.servedNames"),
        ours("--port", "runtime.port"),
    ),
    traffic.GatewayTraffic: (
        Rule(
            exactly_one("httpRoute", "grpcRoute"),
            "write exactly one of httpRoute and grpcRoute: the route that holds the rule",
        ),
    ),
    traffic.Traffic: (
        Rule(
            "!(has(self.gateway) && has(self.istio))",
            "gateway and istio are both named, and two routers would fight over one split: keep the one that "
            "users come through",
        ),
        Rule(
            "!has(self.sticky) || has(self.gateway) || has(self.istio)",
            "sticky needs a route to match the header in: name traffic.gateway or traffic.istio, or leave "
            "sticky out",
        ),
        Rule(
            "!has(self.closeConnectionsAfter) || !(has(self.gateway) || has(self.istio))",
            "a route moves each request, whatever connection it comes by: leave closeConnectionsAfter out",
        ),
        Rule(
            "size(self.service) <= 56",
            "the Service's name is too long to make <service>-stable and <service>-canary of it: use one of "
            "at most 56 characters",
        ),
    ),
    strategy.Carried: CARRIED,
    strategy.Match: CARRIED,
    strategy.Step: (
        Rule(
            exactly_one("mirror", "weight", "match", "pause", "evaluate", "experiment", "bandit"),
            "a step is exactly one of mirror, weight, match, pause, evaluate, experiment and bandit: make a "
            "step of each",
        ),
        Rule(
            "!has(self.experiment) || !has(self.__for__)",
            "an experiment lasts until its users were counted, so it takes no `for`: leave it out",
        ),
        Rule(
            "!has(self.bandit) || !has(self.__for__)",
            "a bandit takes no `for`: write bandit.every for how long each weight stays, and bandit.limit "
            "for the whole",
        ),
        Rule(
            "!has(self.evaluate) || !has(self.__for__)",
            "an evaluation lasts until it has passed, so it takes no `for`: leave it out, or put a "
            "pause step before it",
        ),
        Rule(
            "!has(self.pods) || has(self.match)",
            "pods belongs to a match step: how many pods a weight or a mirror takes is known without it",
        ),
        Rule(
            "!has(self.share) || has(self.match)",
            "share belongs to a match step, where it is a percentage of those who match: write weight for a "
            "percentage of all requests",
        ),
        Rule(
            "!has(self.pause) || !has(self.__for__)",
            "a pause takes no `for`: write pause: {duration: 10m}, or pause: {} to wait for the promote "
            "annotation",
        ),
    ),
    contest.Measure: (
        Rule(
            "has(self.successes) == has(self.users) && has(self.use) != has(self.users)",
            "write either use, such as feedback/handover, or both successes and users, the counters of one "
            "arm",
        ),
    ),
    strategy.Canary: (
        Rule(
            "(has(self.steps) && self.steps.size() > 0) != has(self.curve)",
            "write exactly one of steps (at least one) and curve",
        ),
    ),
    strategy.Strategy: (
        Rule(exactly_one("canary", "blueGreen"), "write exactly one of canary and blueGreen"),
    ),
    analysis.Tolerance: (
        Rule(
            optional_number("self.ratio", "x >= 1.0"),
            "ratio says how many times worse the canary may be: write 1 or more, such as "
            '"1.10" for 10 % worse',
        ),
        Rule(
            f"""has(self.ratio) && {number("self.ratio", "x != 1.0")}
                || has(self.absolute) && {number("self.absolute", "x > 0.0")}""",
            "nothing is tolerated, and no number of requests can show that: write a ratio above 1 such as "
            '"1.10", or an absolute part above 0 such as "0.005"',
        ),
    ),
    analysis.Metric: (
        Rule(
            exactly_one("use", "ratio", "histogram", "events", "mean", "scalar"),
            "a metric is exactly one of use, ratio, histogram, events, mean and scalar",
        ),
        Rule(
            "has(self.use) || has(self.name)",
            "a metric of your own needs a name: status, Events and reports speak of it by that name",
        ),
        Rule(
            "has(self.use) || has(self.tolerate) || has(self.slo)",
            'say how much worse the canary may be: write tolerate, such as {absolute: "0.01"}, or slo',
        ),
        Rule(
            f"""has(self.scalar) || has(self.mean) || has(self.use) || !has(self.tolerate)
                || {optional_number("self.tolerate.absolute", "x < 1.0")}""",
            "an absolute tolerance is a share of requests: write less than 1, such as "
            '"0.005" for half a point',
        ),
        Rule(
            "!has(self.limits) || has(self.use) && self.use == 'vllm/goodput'",
            "limits belong to vllm/goodput: leave them out, or write use: vllm/goodput",
        ),
        Rule(
            f"has(self.scalar) || {optional_number('self.slo', 'x > 0.0 && x < 1.0')}",
            'slo limits a share of requests: write a number between 0 and 1, such as "0.01"',
        ),
        Rule(
            "!has(self.direction) || self.direction != 'change-is-bad' || has(self.scalar)",
            "only a scalar can be judged in both directions: write increase-is-bad or decrease-is-bad",
        ),
    ),
    analysis.Analysis: (
        Rule(
            """!has(self.metrics) || self.metrics.all(m, has(m.name)
                 ? self.metrics.exists_one(n, has(n.name) && n.name == m.name)
                 : !has(m.use)
                   || self.metrics.exists_one(n, !has(n.name) && has(n.use) && n.use == m.use))""",
            "two metrics have the same name: give one of them a name of its own",
        ),
        Rule(
            """!has(self.alerts) || self.alerts.all(a, self.alerts.exists_one(b, b.name == a.name))""",
            "two entries of alerts have the same name: keep one of them",
        ),
    ),
    registry.Registry: (
        Rule(
            "!has(self.interval) || " + at_least("self.interval", "duration('10s')"),
            "a registry is asked every ten seconds at most: write 10s or more",
        ),
    ),
    analysis.OwnPast: (
        Rule(
            f"""!{WINDOW}.matches({_DURATION}) || !{PAST}.matches({_DURATION})
                || duration({PAST}) >= duration({WINDOW}) + duration({WINDOW})""",
            "the past holds at least two windows, so that it is seen how much they differ: write a longer "
            "past or a shorter window",
        ),
    ),
    spec.Spec: (
        Rule(
            """!self.model.uri.startsWith('mlflow://')
                || has(self.registry) && has(self.registry.address)""",
            "mlflow:// is looked up in an MLflow server: write its address in registry.address, such as "
            "http://mlflow.mlops:5000",
        ),
        Rule(
            """!has(self.registry) || !has(self.registry.follow) || !self.registry.follow
                || !self.model.uri.startsWith('mlflow://') || !self.model.uri.endsWith(
                    has(self.registry.championAlias) ? '@' + self.registry.championAlias : '@champion')""",
            "the operator itself moves registry.championAlias to what serves, so it cannot be followed: let "
            "model.uri name the alias that people move, such as mlflow://name@challenger",
        ),
        Rule(
            f"{ROUTED} || {CANARY}.all(s, !has(s.mirror) && !has(s.match))",
            "without a route the Service splits by pod counts and can neither copy nor match requests: name "
            "traffic.gateway or traffic.istio, or leave the mirror and match steps out",
        ),
        Rule(
            f"{ROUTED} || {BLUE_GREEN}.all(s, has(s.pause) || has(s.evaluate))",
            "without a route blueGreen moves all users at once: name traffic.gateway or traffic.istio, or "
            "keep only pause and evaluate steps",
        ),
        Rule(
            f"has(self.analysis) || ({CANARY}.all(s, !{CONTESTS})) && ({BLUE_GREEN}.all(s, !{CONTESTS}))",
            "an experiment and a bandit count users in Prometheus: write spec.analysis with its address; its "
            "metrics go on as guardrails",
        ),
        Rule(
            f"{ROUTED} || {CANARY}.all(s, !{CONTESTS})",
            "without a route the split is made of pod counts, which can neither deal out users nor follow "
            "what they do: name traffic.gateway or traffic.istio for an experiment or a bandit",
        ),
        Rule(
            f"""has(self.traffic.sticky)
                || ({CANARY}.all(s, !has(s.experiment))) && ({BLUE_GREEN}.all(s, !has(s.experiment)))""",
            "an experiment gives each user one revision: write traffic.sticky: {header: x-cohort}, with the "
            "header that says who the user is",
        ),
        Rule(
            f"!has(self.holdback) || self.holdback == 0 || {ROUTED}",
            "without a route nobody can be held back: name traffic.gateway or traffic.istio, or leave "
            "holdback out",
        ),
        Rule(
            f"({CANARY}.{EVALUATED}) && ({BLUE_GREEN}.{EVALUATED})",
            "a step waits for an evaluation that does not exist: give it the name of one in spec.evaluations",
        ),
        Rule(
            f"""!has(self.traffic.gateway) || !has(self.traffic.gateway.grpcRoute)
                || ({CANARY}.{NO_QUERY}) && ({BLUE_GREEN}.{NO_QUERY})""",
            "gRPC requests have no query parameters and no cookies: match a header instead",
        ),
        Rule(
            f"!has(self.analysis) || ({CANARY}.{LONG_ENOUGH}) && ({BLUE_GREEN}.{LONG_ENOUGH})",
            f"a step is {TOO_SHORT}",
        ),
        Rule(
            f"""!has(self.analysis) || !has(self.strategy.canary) || !has(self.strategy.canary.curve)
                || !has(self.strategy.canary.curve.__for__)
                || {at_least("self.strategy.canary.curve.__for__", LOOK)}""",
            f"the curve's steps are {TOO_SHORT}",
        ),
    ),
}
"""Model -> rules on the object, in the order in which they are said."""


def placed(query: str) -> Rule:
    return Rule(
        "self.contains('$arm')",
        f"write $arm where the label matchers of one arm belong, such as {query}",
    )


ON_FIELDS: Mapping[tuple[type[wire.Wire], str], tuple[Rule, ...]] = {
    (evaluations.Evaluation, "timeout"): (
        Rule(at_least("self", "duration('1m')"), "an evaluation gets at least a minute: write 1m or more"),
    ),
    (strategy.Canary, "steps"): STEP_LIST,
    (strategy.BlueGreen, "steps"): STEP_LIST,
    (contest.Measure, "successes"): (placed("sum(orders_total{$arm})"),),
    (contest.Measure, "users"): (placed("sum(visitors_total{$arm})"),),
    (contest.Experiment, "baseline"): (SHARE,),
    (contest.Experiment, "smallest_effect"): (SHARE,),
    (contest.Experiment, "risk"): (RISK,),
    (contest.Experiment, "power"): (
        Rule(
            number("self", "x >= 0.5 && x < 1.0"),
            'power is the chance to find the effect: write a number from "0.5" to below "1", such as "0.8"',
        ),
    ),
    (contest.Bandit, "sure"): (
        Rule(
            number("self", "x > 0.5 && x < 1.0"),
            'sure is a probability: write a number above "0.5" and below "1", such as "0.95"',
        ),
    ),
    (contest.Bandit, "every"): (
        Rule(at_least("self", "duration('10s')"), "each weight stays a while: write 10s or more"),
    ),
    (analysis.RatioQuery, "bad"): (placed('sum(errors_total{$arm,code="500"})'),),
    (analysis.RatioQuery, "total"): (placed("sum(requests_total{$arm})"),),
    (analysis.HistogramQuery, "buckets"): (placed("sum by (le) (latency_seconds_bucket{$arm})"),),
    (analysis.ScalarQuery, "value"): (placed("sum(rate(cost_dollars_total{$arm}[1m]))"),),
    (analysis.Metric, "weight"): (
        Rule(number("self", "x > 0.0"), 'a weight is above 0: write a number such as "1" or "2.5"'),
    ),
    (analysis.Prometheus, "labels"): (
        Rule(
            "self.all(name, name.matches('^[a-zA-Z_][a-zA-Z0-9_]*$') && size(name) <= 64)",
            "labels are those of Prometheus: write names of letters, digits and underscores, such as "
            "cluster: eu",
        ),
        Rule(
            "self.all(name, !(name in ['namespace', 'rollout', 'revision', '__name__']))",
            "the operator writes namespace, rollout and revision itself: leave them out of labels",
        ),
    ),
    (analysis.Alert, "for_"): (
        Rule(
            f"!self.matches({_DURATION}) || duration(self) <= duration('1h')",
            "an alert is waited for at most an hour: write 1h or less here, and the rest into `for` of its "
            "rule",
        ),
    ),
    (analysis.Alert, "matchers"): (
        Rule(
            "self.all(name, name.matches('^[a-zA-Z_][a-zA-Z0-9_]*$') && size(name) <= 64)",
            "matchers are labels of Prometheus: write names of letters, digits and underscores, such as "
            "severity: critical",
        ),
        Rule(
            "self.all(name, !(name in ['namespace', 'rollout', 'revision', 'alertname', 'alertstate']))",
            "the operator looks for namespace, rollout, revision and the alert's name itself: leave them out "
            "of matchers",
        ),
    ),
    (analysis.Prometheus, "timeout"): (
        Rule(
            f"!self.matches({_DURATION}) || duration(self) <= duration('60s')",
            "one question takes at most a minute: write 60s or less",
        ),
    ),
    (analysis.OwnPast, "window"): (
        Rule(at_least("self", "duration('1h')"), "a window holds at least one hour: write 1h or more"),
    ),
    (analysis.OwnPast, "past"): (
        Rule(
            f"!self.matches({_DURATION}) || duration(self) <= duration('1440h')",
            "the past is at most 60 days: write 1440h or less",
        ),
    ),
    (analysis.Analysis, "interval"): (
        Rule(at_least("self", "duration('1s')"), "a look lasts at least one second: write 1s or more"),
    ),
    (analysis.Analysis, "false_revert_risk"): (RISK,),
    (analysis.Analysis, "miss_risk"): (RISK,),
}
"""(model, attribute) -> rules on the value, checked only where it is given."""

POD_LABELS = Rule(
    f"!has(self.labels) || self.labels.all(label, !label.startsWith('{PREFIX}'))",
    f"the operator tells revisions apart by the labels {PREFIX}…: leave them out of the pod template",
)

NAME_LENGTH = 52
"""A Deployment is named `<rollout>-<revision>`, and its name is a label value of at most 63 characters."""

NOTHING_SERVES = """!has(oldSelf.status) || !has(oldSelf.status.stable) || (has(oldSelf.status.phase)
    && oldSelf.status.phase == 'Installing' && !has(oldSelf.status.originalTraffic))"""
"""CEL: a slip in a name may still be corrected, because nobody calls it yet."""


def of_spec(cel: str) -> str:
    """The same CEL where `self` is the resource."""
    return cel.replace("self.", "self.spec.")


ON_RESOURCE: tuple[Rule, ...] = (
    Rule(
        f"size(self.metadata.name) <= {NAME_LENGTH} && self.metadata.name.matches('{wire.NAME_PATTERN}')",
        f"Deployments are named after the rollout and its revision: use a name of at most {NAME_LENGTH} "
        "lower-case letters, digits and dashes",
    ),
    Rule(
        f"""{NOTHING_SERVES}
           || (has(self.spec.model.servedName) ? self.spec.model.servedName : self.metadata.name)
           == (has(oldSelf.spec.model.servedName) ? oldSelf.spec.model.servedName : self.metadata.name)""",
        "model.servedName cannot change once a revision serves, because clients ask for the model by this "
        "name: make a new ModelRollout for another name",
    ),
    Rule(
        f"{NOTHING_SERVES} || self.spec.traffic.service == oldSelf.spec.traffic.service",
        "traffic.service cannot change once a revision serves, because users are on the old one: make a new "
        "ModelRollout for the other Service",
    ),
    Rule(
        f"!({NEW}) || {of_spec(f'{ROUTED} || {CANARY}.all(s, {REACHABLE})')}",
        "without a route the split is made of pod counts, which cannot meet these weights: raise "
        "replicas or traffic.tolerance, or name traffic.gateway or traffic.istio",
        expression=of_spec(f"{literal(POD_SPLIT)}.format([self.replicas, {REACHABLE_WEIGHTS}, {TOLERANCE}])"),
    ),
)
