"""Requests that ended with their process: a canary that fails and dies between two scrapes hides nothing."""

import pytest

from modelrollout.analysis.counters.targets import targets_of
from modelrollout.analysis.evidence.decision import VerdictKind
from modelrollout.analysis.inputs.metric import Metric, Tolerance
from modelrollout.analysis.inputs.observation import Observation, Ratio
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.packs import catalogue
from modelrollout.api import analysis as spec
from modelrollout.sources.question import reach_over_gaps
from tests.unit.analysis.given import judge
from tests.unit.analysis.scrapes import ARMS, ATTEMPTS, EVERY, LOOK, counter, observed, steady, target, window

DIED = 1015.0
"""The last scrape that the process answered which ends in the look."""
BEFORE = [t for t in ATTEMPTS if t <= DIED]
DEEP = window(reach=60.0)


def ended(pod, revision, points):
    """Requests that the engine finished, none of them with an error."""
    family = "vllm:request_success_total"
    good = counter(pod, revision, family, points, finished_reason="stop")
    return [good, counter(pod, revision, family, dict.fromkeys(points, 0.0), finished_reason="error")]


def running(pod, revision, points, family="vllm:num_requests_running"):
    return [
        counter(pod, revision, family, points),
        counter(pod, revision, "vllm:num_requests_waiting", dict.fromkeys(points, 0.0)),
    ]


def alive(pod, revision):
    return [*ended(pod, revision, steady(10)), *running(pod, revision, dict.fromkeys(ATTEMPTS, 6.0))]


def crashed(pod="a", last=4.0):
    """A pod of the canary with `last` requests at its last answer before another process is there."""
    again = [t for t in ATTEMPTS if t > DIED + 2 * EVERY]
    points = dict.fromkeys(BEFORE, 6.0) | {DIED: last} | dict.fromkeys(again, 0.0)
    whole = {t: 100.0 + 10 * i for i, t in enumerate(BEFORE)} | {t: 10.0 * i for i, t in enumerate(again)}
    counters = [*ended(pod, "new", whole), *running(pod, "new", points)]
    down = [t for t in ATTEMPTS if DIED < t < again[0]]
    return counters, target(pod, "new", down=down, began={ATTEMPTS[0]: -1e6, again[0]: again[0] - 3})


def test_requests_that_ran_when_a_process_crashed_count_as_failed():
    counters, scrapes = crashed()
    seen = observed(
        "vllm/success-rate",
        [*counters, *alive("c", "new"), *alive("b", "old")],
        [*scrapes, *target("c", "new"), *target("b", "old")],
        DEEP,
    )
    assert seen.canary == Ratio(4, 2 * 10 + 10 + 60 + 4, cut=4)
    assert seen.control == Ratio(0, 60)


def test_a_canary_of_one_pod_that_crashed_and_still_warms_up_hides_nothing():
    counters, scrapes = crashed()
    warming = window(reach=60.0, warm_up=60.0)
    both = [*scrapes, *target("b", "old")]
    seen = observed("vllm/success-rate", [*counters, *alive("b", "old")], both, warming)
    assert seen.canary == Ratio(4, 4, cut=4)


def vanished(points, per_scrape=10.0):
    """A pod of the canary that is not asked any more after DIED, beside one that is."""
    finished = ended("a", "new", steady(per_scrape, times=BEFORE))
    own = [*finished, *running("a", "new", dict.fromkeys(BEFORE, 6.0) | points)]
    counters = [*own, *alive("c", "new"), *alive("b", "old")]
    return counters, [*target("a", "new", BEFORE), *target("c", "new"), *target("b", "old")]


@pytest.mark.parametrize(
    ("points", "per_scrape", "cut"),
    [
        ({}, 10.0, 6),  # ten ended and ten began
        ({DIED: 9.0}, 0.0, 9),  # three began, and nothing ends any more
        ({DIED - EVERY: 8.0, DIED: 3.0}, 5.0, 0),  # five ended, none began: it drains
        ({DIED - EVERY: 2.0, DIED: 0.0}, 2.0, 0),  # drained
    ],
)
def test_a_pod_that_vanishes_has_lost_what_ran_unless_it_began_nothing_more(points, per_scrape, cut):
    seen = observed("vllm/success-rate", *vanished(points, per_scrape), DEEP)
    grown = 2 * per_scrape  # the scrapes in the look that it answered
    assert seen.canary == Ratio(cut, 60 + grown + cut, cut)


def test_what_vanished_is_counted_in_one_look_alone():
    counters, scrapes = vanished({})
    looks = [(LOOK.start + 10 * i, LOOK.start + 10 * (i + 1)) for i in range(-4, 6)]
    seen = [
        observed("vllm/success-rate", counters, scrapes, window(type(LOOK)(*ends), reach=60.0))
        for ends in looks
    ]
    assert [each.canary.cut for each in seen if each.canary].count(6) == 1


def test_a_server_that_scrapes_nobody_for_a_while_has_lost_no_pod():
    counters, _ = vanished({})
    nobody = [t for t in ATTEMPTS if t <= DIED or t > LOOK.end - 5]
    scrapes = [*target("a", "new", BEFORE), *target("c", "new", nobody), *target("b", "old", nobody)]
    assert observed("vllm/success-rate", counters, scrapes, DEEP).canary.cut == 0


def test_the_first_samples_of_a_look_reach_back_to_the_last_answers_of_what_has_gone():
    _, scrapes = vanished({})
    look = type(LOOK)(DIED + 2 * EVERY - 1, DIED + 2 * EVERY + 9)
    assert look.start - reach_over_gaps(targets_of(scrapes), ARMS, look) < DIED - EVERY


def test_where_a_gateway_counts_failures_nothing_is_concluded_from_what_ran():
    pods, gateway = spec.Metric(use="vllm/success-rate"), spec.Metric(use="istio-gateway/success-rate")
    assert catalogue.resolve([pods])[0].recipe.running
    assert not catalogue.resolve([pods, gateway])[0].recipe.running
    late = spec.Metric(use="istio-gateway/request-duration")
    assert catalogue.resolve([pods, late])[0].recipe.running


def test_a_gauge_of_ones_own_says_what_ran():
    ratio = {
        "bad": "sum(errors_total{$arm})",
        "total": "sum(all_total{$arm})",
        "running": "sum(now_running{$arm})",
    }
    own = spec.Metric(name="own", ratio=ratio, tolerate={"absolute": "0.01"})
    arms = (("a", "new", BEFORE), ("c", "new", ATTEMPTS), ("b", "old", ATTEMPTS))
    counters = [counter(pod, arm, "all_total", steady(10, times=times)) for pod, arm, times in arms]
    counters += [counter(pod, arm, "now_running", dict.fromkeys(times, 5.0)) for pod, arm, times in arms]
    scrapes = [each for pod, arm, times in arms for each in target(pod, arm, times)]
    assert observed(own, counters, scrapes, DEEP).canary == Ratio(5, 60 + 20 + 5, cut=5)


ERRORS = Metric("errors", tolerance=Tolerance(1.0, 0.005), phi=1.0, catastrophic=0.1)


def test_one_crash_alone_reverts_nobody_and_crashes_that_go_on_do():
    good = Observation(Ratio(0, 100), Ratio(0, 100))
    crash = Observation(Ratio(20, 100, cut=20), Ratio(0, 100))
    plan = Plan((ERRORS,), planned_looks=60)
    _, once = judge(plan, [{"errors": row} for row in [*[good] * 5, crash, *[good] * 5]])
    assert VerdictKind.FAIL not in [verdict.kind for verdict in once]
    assert "20 requests ran" in once[5].metrics["errors"].message
    _, again = judge(plan, [{"errors": row} for row in [good, *[crash] * 6]])
    assert again[-1].reason == "CanaryWorse"
    _, failed = judge(
        plan, [{"errors": row} for row in [good, *[Observation(Ratio(60, 100), good.control)] * 2]]
    )
    assert failed[-1].reason == "Catastrophic"  # the same in failures that were counted
