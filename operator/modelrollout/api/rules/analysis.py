"""Rules on the metrics and alerts that judge, and on evaluations."""

from __future__ import annotations

from collections.abc import Mapping

from modelrollout.api import analysis, evaluations, wire
from modelrollout.api.rules.rule import (
    DURATION,
    RISK,
    Rule,
    at_least,
    exactly_one,
    number,
    optional_number,
    placed,
)

WINDOW, PAST = "(has(self.window) ? self.window : '24h')", "(has(self.past) ? self.past : '168h')"

ON_MODELS: Mapping[type[wire.Wire], tuple[Rule, ...]] = {
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
            "!has(self.by) || (has(self.use) || has(self.ratio)) && !has(self.slo)",
            "by splits a share of requests that is compared with stable's: leave it out, or write a ratio "
            "with tolerate",
        ),
        Rule(
            "!has(self.prices) || has(self.use) && self.use == 'vllm/cost-per-1k-tokens'",
            "prices belong to vllm/cost-per-1k-tokens: leave them out, or write use: vllm/cost-per-1k-tokens",
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
    analysis.OwnPast: (
        Rule(
            f"""!{WINDOW}.matches({DURATION}) || !{PAST}.matches({DURATION})
                || duration({PAST}) >= duration({WINDOW}) + duration({WINDOW})""",
            "the past holds at least two windows, so that it is seen how much they differ: write a longer "
            "past or a shorter window",
        ),
    ),
}
"""Model -> rules on the object, in the order in which they are said."""


ON_FIELDS: Mapping[tuple[type[wire.Wire], str], tuple[Rule, ...]] = {
    (analysis.RatioQuery, "bad"): (placed('sum(errors_total{$arm,code="500"})'),),
    (analysis.RatioQuery, "total"): (placed("sum(requests_total{$arm})"),),
    (analysis.RatioQuery, "running"): (placed("sum(requests_running{$arm})"),),
    (analysis.HistogramQuery, "buckets"): (placed("sum by (le) (latency_seconds_bucket{$arm})"),),
    (analysis.ScalarQuery, "value"): (placed("sum(rate(cost_dollars_total{$arm}[1m]))"),),
    (analysis.Metric, "by"): (
        Rule(
            "self.matches('^[a-zA-Z_][a-zA-Z0-9_]*$')",
            "by is a label of the counters: write its name, such as tenant",
        ),
    ),
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
            f"!self.matches({DURATION}) || duration(self) <= duration('1h')",
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
            f"!self.matches({DURATION}) || duration(self) <= duration('60s')",
            "one question takes at most a minute: write 60s or less",
        ),
    ),
    (analysis.OwnPast, "window"): (
        Rule(at_least("self", "duration('1h')"), "a window holds at least one hour: write 1h or more"),
    ),
    (analysis.OwnPast, "past"): (
        Rule(
            f"!self.matches({DURATION}) || duration(self) <= duration('1440h')",
            "the past is at most 60 days: write 1440h or less",
        ),
    ),
    (analysis.Analysis, "interval"): (
        Rule(at_least("self", "duration('1s')"), "a look lasts at least one second: write 1s or more"),
    ),
    (analysis.Analysis, "false_revert_risk"): (RISK,),
    (analysis.Analysis, "miss_risk"): (RISK,),
    (evaluations.Evaluation, "timeout"): (
        Rule(at_least("self", "duration('1m')"), "an evaluation gets at least a minute: write 1m or more"),
    ),
}
"""(model, attribute) -> rules on the value, checked only where it is given."""
