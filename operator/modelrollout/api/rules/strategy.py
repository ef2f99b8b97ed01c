"""Rules on the steps of the plan."""

from __future__ import annotations

from collections.abc import Mapping

from modelrollout.api import contest, strategy, wire
from modelrollout.api.rules.rule import RISK, Rule, at_least, exactly_one, literal, number, placed

COOKIE_VALUE = r"^[!#-+\x2d-:<-\[\]-~]*$"
"""RFC 6265, cookie-octet."""

CONTESTS = "(has(s.experiment) || has(s.bandit))"

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

SHARE = "x > 0.0 && x < 1.0"

ABOVE_0 = Rule(number("self", "x > 0.0"), 'it is above 0: write a number such as "0.05"')
SUMS = {
    "sum": "spent_total",
    "squares": "spent_squares_total",
    "per": "requests_total",
    "per_squares": "requests_squares_total",
    "products": "spent_times_requests_total",
}

ON_MODELS: Mapping[type[wire.Wire], tuple[Rule, ...]] = {
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
            f"{exactly_one('use', 'successes', 'sum')} && has(self.use) != has(self.users)",
            "write use, such as feedback/handover; or successes and users, the counters of one arm; or, for "
            "a mean, sum, squares and users",
        ),
        Rule(
            "has(self.sum) == has(self.squares)",
            "how much users differ cannot be seen from a sum, and without it nothing is tested: write "
            "squares beside sum, a counter to which each user adds the square of the value, or count "
            "successes",
        ),
        Rule(
            "has(self.per) == has(self.perSquares) && has(self.per) == has(self.products) "
            "&& (has(self.sum) || !has(self.per))",
            "a ratio by user is tested from sums over users of both values, their squares and their product: "
            "write sum, squares, per, perSquares and products",
        ),
    ),
    contest.Experiment: (
        Rule(
            f"""has(self.metric.sum)
                || {number("self.baseline", SHARE)} && {number("self.smallestEffect", SHARE)}""",
            "baseline and smallestEffect are shares of the users: write numbers between 0 and 1, such as "
            '"0.10" for one of ten',
        ),
        Rule(
            "has(self.metric.sum) == has(self.deviation)",
            "how many users a mean or a ratio takes depends on how much they differ: write deviation beside "
            "metric.sum, and leave it out for a share",
        ),
    ),
    contest.Bandit: (
        Rule(
            "!has(self.reward.sum)",
            "a bandit is rewarded by a share of users: write successes and users, or use, or run an "
            "experiment for a mean",
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
}
"""Model -> rules on the object, in the order in which they are said."""


ON_FIELDS: Mapping[tuple[type[wire.Wire], str], tuple[Rule, ...]] = {
    (strategy.Canary, "steps"): STEP_LIST,
    (strategy.BlueGreen, "steps"): STEP_LIST,
    (contest.Measure, "successes"): (placed("sum(orders_total{$arm})"),),
    (contest.Measure, "users"): (placed("sum(visitors_total{$arm})"),),
    **{(contest.Measure, field): (placed(f"sum({example}{{$arm}})"),) for field, example in SUMS.items()},
    **{(contest.Experiment, field): (ABOVE_0,) for field in ("smallest_effect", "deviation")},
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
}
"""(model, attribute) -> rules on the value, checked only where it is given."""
