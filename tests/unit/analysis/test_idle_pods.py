"""Stable pods that rest carry nothing: they count neither as carriers of load nor as quiet pods."""

import pytest

from modelrollout.analysis.counters.gather import Facts
from modelrollout.analysis.counters.growth import Window
from modelrollout.analysis.counters.load import arrivals, idle_pods
from modelrollout.analysis.counters.matchers import Arms, By
from modelrollout.analysis.counters.observe import observe
from modelrollout.analysis.counters.series import Place, Series
from modelrollout.analysis.counters.targets import Target
from modelrollout.analysis.inputs.observation import Events, Look
from modelrollout.analysis.packs.catalogue import arrivals as arrivals_of
from modelrollout.analysis.packs.catalogue import resolve, served
from modelrollout.api import analysis as spec

ARMS = Arms("ml", "chat", "chat", stable="old", canary="new")
RESTARTS = spec.Metric(use="vllm/restarts")
BEGUN = "vllm:time_to_first_token_seconds_count"
TIMES = [float(moment) for moment in range(0, 91, 5)]
LOOK = Look(30.0, 60.0)
WINDOW = Window(LOOK, 15.0, -300.0, 0.0)


def facts(pods):
    """`pods`: revision and requests a second of each."""
    series, targets = [], {}
    for number, (revision, rate) in enumerate(pods):
        where = {"namespace": "ml", "rollout": "chat", "revision": revision, "job": "pods"}
        where |= {"pod": f"{revision}-{number}", "instance": f"{number}:8000"}
        targets[Place.of(where)] = Target(where, tuple(TIMES), tuple(TIMES), ((0.0, -1000.0),))
        series.append(Series({**where, "__name__": BEGUN}, TIMES, [100 + moment * rate for moment in TIMES]))
    return Facts.of(tuple(series), targets)


HALF = facts([("old", 10), ("old", 10), ("old", 0), ("old", 0), ("new", 10), ("new", 10)])
RECIPE = arrivals_of([RESTARTS])


def test_the_load_of_the_control_is_that_of_the_pods_that_serve():
    idle = idle_pods(RECIPE, ARMS, HALF, WINDOW)
    assert idle == {"ml/old-2", "ml/old-3"}
    found = arrivals(RECIPE, ARMS, HALF, WINDOW, idle)
    assert (found.canary, found.control) == (600, 600)
    assert found.load == pytest.approx(1.0)
    assert arrivals(RECIPE, ARMS, HALF, WINDOW).load > 1.5


def test_without_any_request_no_pod_is_called_idle():
    assert not idle_pods(RECIPE, ARMS, facts([("old", 0), ("old", 0), ("new", 1)]), WINDOW)


def test_events_per_pod_and_second_are_those_of_the_pods_that_serve():
    """Pods that do nothing do not crash either, and an equal canary would look worse beside them."""
    (metric,) = resolve([RESTARTS])
    idle = idle_pods(RECIPE, ARMS, HALF, WINDOW)
    assert observe(metric, ARMS, HALF, WINDOW).control == Events(0, 120)
    seen = observe(metric, ARMS, HALF, WINDOW, idle)
    assert (seen.canary, seen.control) == (Events(0, 60), Events(0, 60))


def test_which_pods_are_idle_is_asked_of_the_pods_also_where_a_gateway_counts_the_requests():
    metrics = [spec.Metric(use="istio-gateway/success-rate"), spec.Metric(use="vllm/time-to-first-token")]
    assert arrivals_of(metrics).by is By.ENVOY_CLUSTER
    assert served(metrics) == RECIPE
    assert not idle_pods(arrivals_of(metrics), ARMS, HALF, WINDOW), "a gateway cannot tell"
