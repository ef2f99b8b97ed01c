"""Regular expressions of users: matched as Prometheus does, in bounded time whatever they are."""

import time

import pytest

from modelrollout.analysis.counters import patterns
from modelrollout.analysis.counters.expression import Matcher, Unreadable, read
from modelrollout.analysis.inputs.observation import ProblemKind, Ratio
from modelrollout.api import analysis as spec
from tests.unit.analysis.scrapes import counter, observed, steady, target

SCRAPED = [*target("c-0", "new"), *target("s-0", "old")]


def failing(expression):
    """A ratio whose bad requests are those with such a code."""
    return spec.Metric(
        name="own",
        ratio={
            "bad": f"sum(requests_total{{$arm,code=~{expression!r}}})",
            "total": "sum(requests_total{$arm})",
        },
        tolerate={"absolute": "0.01"},
    )


def both(*codes):
    arms = (("c-0", "new"), ("s-0", "old"))
    return [counter(*arm, "requests_total", steady(10), code=code) for arm in arms for code in codes]


@pytest.mark.parametrize(
    "bomb", ["(a+)+b", "(a|a)*b", "(a|aa)+$b", "(.*a){12}b", "((a?){20}){20}b", "([ab]*a[ab]{12})+c"]
)
def test_an_expression_that_explodes_in_a_backtracking_engine_is_matched_at_once(bomb):
    began = time.process_time()
    assert not Matcher("code", "=~", bomb).takes({"code": "a" * 40})
    assert time.process_time() - began < 0.2


def test_a_matcher_means_what_it_means_in_prometheus():
    assert Matcher("code", "=~", "5..|0").takes({"code": "503"})
    assert not Matcher("code", "=~", "5..").takes({"code": "5033"})  # anchored at both ends
    assert Matcher("code", "!~", "5..").takes({})  # a label that is absent is empty
    assert Matcher("code", "=~", "a.b").takes({"code": "a\nb"})


@pytest.mark.parametrize("expression", ["(", "(?=a)", r"(a)\1", "(x{0,1000}){1000}"])
def test_what_prometheus_would_not_take_is_refused_when_it_is_written(expression):
    with pytest.raises(Unreadable, match="no regular expression"):
        read(f"errors_total{{code=~'{expression}'}}".replace("\\", "\\\\"))


def test_a_label_that_is_too_long_for_a_large_expression_holds_and_says_so():
    seen = observed(failing("(a|b|cc){100}x"), both("a" * 5000, "200"), SCRAPED)
    assert seen.problem.kind is ProblemKind.INVALID
    assert "5,000 characters is too long for the regular expression '(a|b|cc){100}x'" in seen.problem.message


def test_a_label_that_differs_in_every_series_is_not_matched_a_hundred_thousand_times():
    seen = observed(failing("5.."), both(*(str(code) for code in range(patterns.MOST_VALUES + 1))), SCRAPED)
    assert seen.problem.kind is ProblemKind.INVALID
    assert "The label code of requests_total has 1,001 different values" in seen.problem.message


def test_labels_of_usual_length_are_counted_as_ever():
    assert observed(failing("5.."), both("200", "503"), SCRAPED).canary == Ratio(60, 120)
