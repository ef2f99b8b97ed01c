"""Rules that need several parts of the spec, and those on the whole resource."""

from __future__ import annotations

from collections.abc import Mapping

from modelrollout.api import spec, wire
from modelrollout.api.rules.rule import DURATION, Rule, at_least, literal
from modelrollout.api.rules.strategy import CONTESTS

CANARY = "!has(self.strategy.canary) || !has(self.strategy.canary.steps) || self.strategy.canary.steps"
BLUE_GREEN = (
    "!has(self.strategy.blueGreen) || !has(self.strategy.blueGreen.steps) || self.strategy.blueGreen.steps"
)
ROUTED = "has(self.traffic.gateway) || has(self.traffic.istio)"
NO_QUERY = """all(s, !has(s.match) || s.match.all(m, !has(m.query) && !has(m.cookie)
    && (!has(m.and) || m.and.all(c, !has(c.query) && !has(c.cookie)))))"""
LOOK = f"""(has(self.analysis.interval) && self.analysis.interval.matches({DURATION})
    ? duration(self.analysis.interval) : duration('30s'))"""
LONG_ENOUGH = f"all(s, !has(s.__for__) || {at_least('s.__for__', LOOK)})"
EVALUATED = """all(s, !has(s.evaluate)
    || has(self.evaluations) && self.evaluations.exists(e, e.name == s.evaluate))"""
TOO_SHORT = "shorter than one look: write a `for` of at least analysis.interval (30s unless you set it)"
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

ON_MODELS: Mapping[type[wire.Wire], tuple[Rule, ...]] = {
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
