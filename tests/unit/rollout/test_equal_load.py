"""In every judged step each pod of both revisions carries the same, and stable can always carry everybody."""

from __future__ import annotations

import pytest

from modelrollout.analysis.betting.ladder import is_alike
from modelrollout.api.spec import Spec
from modelrollout.rollout import steps
from modelrollout.rollout.actions import Narrow, PointService, Rest, Scale, SetTraffic, Widen
from modelrollout.rollout.capacity import needed
from modelrollout.rollout.equal_load import serving, serving_at
from modelrollout.rollout.exposure import exposure
from modelrollout.traffic.router import Problem, Split
from tests.unit.rollout.reading import condition, said
from tests.unit.rollout.world import (
    LOADING,
    METRICS,
    SERVICE_ONLY,
    Operator,
    installed,
    on_trial,
    revision_named,
    spec_of,
    with_steps,
)

FIRST, SECOND = revision_named("vllm:1"), revision_named("vllm:2")
HALF = with_steps({"weight": 50, "for": "10m"}, analysis=METRICS)
SUBSETS = {"service": "chat", "istio": {"virtualService": "v", "route": "r", "destinationRule": "d"}}


def at_half() -> Operator:
    """Two of four stable pods rest."""
    operator = on_trial(HALF)
    assert (operator.world.narrowed, operator.world.pods[FIRST].out) == (True, 2)
    assert operator.world.in_rotation(FIRST) == 2
    return operator


# ── how many serve ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("weight", "pods", "replicas", "expected"),
    [
        (25, 1, 4, 3),
        (50, 2, 4, 2),
        (20, 1, 4, 4),
        (5, 1, 4, 4),
        (50, 1, 2, 1),
        (50, 10, 20, 10),
        (10, 2, 20, 18),
    ],
)
def test_as_many_stable_pods_serve_as_carry_what_a_canary_pod_carries(
    weight: int, pods: int, replicas: int, expected: int
) -> None:
    assert serving(weight, 100 - weight, pods, replicas) == expected


@pytest.mark.parametrize("replicas", [1, 2, 3, 4, 5, 7, 8, 16, 50])
def test_never_fewer_serve_than_stables_share_needs_and_whole_pods_make_the_load_equal(replicas: int) -> None:
    for weight in range(1, 100):
        pods = max(1, needed(weight, replicas))
        count = serving(weight, 100 - weight, pods, replicas)
        assert needed(100 - weight, replicas) <= count <= replicas
        load = weight * count / ((100 - weight) * pods)
        if weight * replicas % 100 == 0:
            assert is_alike(load), f"{weight} % of {replicas}"


def test_each_step_of_four_pods_from_a_whole_pod_on_is_at_equal_load_and_asks_for_latency() -> None:
    spec = spec_of(analysis=METRICS)
    plan = steps.expand(spec)
    terms = [exposure(plan, index, spec).terms(None) for index in range(3)]
    assert [serving_at(plan, index, spec) for index in range(3)] == [4, 3, 2]
    assert [each.alike for each in terms] == [False, True, True]


def test_evidence_goes_on_from_25_to_50_percent_because_each_pod_carries_the_same() -> None:
    spec = spec_of(analysis=METRICS)
    plan = steps.expand(spec)
    before = exposure(plan, 1, spec).per_pod
    assert exposure(plan, 2, spec).terms(before).carry


@pytest.mark.parametrize(
    "spec",
    [
        spec_of(),
        spec_of(analysis={**METRICS, "equalLoad": False}),
        with_steps({"weight": 50}, analysis=METRICS, traffic=SERVICE_ONLY),
        with_steps({"weight": 50}, analysis=METRICS, traffic=SUBSETS),
        with_steps({"mirror": 50}, analysis=METRICS),
        with_steps({"match": [{"header": "x", "value": "y"}]}, analysis=METRICS),
        spec_of(analysis=METRICS, strategy={"blueGreen": {"steps": [{"weight": 10}]}}),
    ],
    ids=["no metrics", "turned off", "Service", "subsets", "copies", "unknown share", "blue/green"],
)
def test_all_stable_pods_serve_where_nothing_could_be_made_equal(spec: Spec) -> None:
    plan = steps.expand(spec)
    assert {serving_at(plan, index, spec) for index in range(len(plan))} == {spec.replicas}


# ── the way out ─────────────────────────────────────────────────────────────────────────────────


def test_pods_rest_only_after_the_route_has_taken_the_split_and_the_clock_waits_for_it() -> None:
    operator = installed(HALF)
    world = operator.world
    world.ask(HALF.model_copy(update={"runtime": spec_of("vllm:2").runtime}))
    operator.wait(LOADING - 1)
    world.now += 1
    while world.reading() != Split(50):
        world.propagate()
        operator.run_once()
    world.settled = False
    operator.settle()
    assert (world.narrowed, world.pods[FIRST].out) == (False, 0)
    world.settled = True
    plan = operator.run_once()
    assert plan.actions == (Rest(FIRST, 2), Narrow(FIRST)), "labels before the selector"
    assert operator.status.step is not None
    operator.run_once()
    assert operator.status.step.started_at is None, "the endpoints have not followed"
    world.propagate()
    operator.settle()
    assert operator.status.step.started_at is not None


def test_what_rests_goes_on_resting_while_the_pods_of_the_next_step_load() -> None:
    operator = on_trial(spec_of(analysis=METRICS))
    operator.judged(1200)
    world = operator.world
    assert operator.status.step is not None
    assert (operator.status.step.index, world.reading()) == (2, Split(25))
    assert (world.narrowed, world.pods[FIRST].out) == (True, 1)
    operator.judged(2 * LOADING)
    assert (world.reading(), world.pods[FIRST].out) == (Split(50), 2)


def test_a_promotion_ends_with_all_pods_in_rotation() -> None:
    operator = on_trial(HALF)
    operator.judged(3600)
    assert operator.status.phase == "Watching"
    assert not operator.world.narrowed


# ── the way back ────────────────────────────────────────────────────────────────────────────────


def test_an_abort_calls_all_pods_back_in_one_write_before_the_route_moves() -> None:
    operator = at_half()
    operator.world.say("abort")
    plan = operator.run_once()
    assert plan.actions[:2] == (Widen(FIRST), SetTraffic(Split(), urgent=True))
    operator.settle()
    assert operator.status.phase == "Reverted"
    assert operator.world.pods[FIRST].out == 0, "and the labels are taken back afterwards"


def test_a_revert_by_the_metrics_does_the_same() -> None:
    operator = at_half()
    operator.world.judge("Fail")
    assert operator.run_once().actions[:2] == (Widen(FIRST), SetTraffic(Split(), urgent=True))


def test_pods_that_rest_count_as_ready_and_as_able_to_take_everybody() -> None:
    operator = at_half()
    assert operator.status.stable is not None
    assert operator.status.stable.ready == 4
    assert condition(operator, "Available")[0] == "True"


def test_when_a_pod_in_rotation_dies_one_that_rests_takes_its_place() -> None:
    operator = at_half()
    operator.world.kill(FIRST)
    operator.world.propagate()
    assert operator.world.in_rotation(FIRST) == 1
    plan = operator.run_once()
    assert plan.actions[0] == Rest(FIRST, 1)
    assert operator.world.in_rotation(FIRST) == 2
    operator.wait(LOADING)
    assert (operator.world.ready(FIRST), operator.world.in_rotation(FIRST)) == (4, 2)


def test_when_too_few_stable_pods_are_left_all_of_them_serve() -> None:
    operator = at_half()
    operator.world.kill(FIRST, 3)
    operator.world.propagate()
    assert operator.run_once().actions[0] == Widen(FIRST)


def test_when_the_canary_loses_its_pods_all_stable_pods_serve_before_the_route_moves() -> None:
    operator = at_half()
    operator.world.kill(SECOND, 2)
    operator.world.propagate()
    actions = operator.run_once().actions
    widened, moved = actions.index(Widen(FIRST)), actions.index(SetTraffic(Split()))
    assert widened < moved


def test_fewer_replicas_call_all_pods_back_before_any_pod_goes() -> None:
    operator = at_half()
    operator.world.scale(2)
    actions = operator.run_once().actions
    assert actions.index(Widen(FIRST)) < actions.index(Scale(FIRST, 2))
    operator.wait(LOADING)
    assert operator.world.in_rotation(FIRST) == 1


def test_when_somebody_else_sends_everybody_to_stable_all_its_pods_serve() -> None:
    operator = at_half()
    operator.world.drift(Split())
    actions = operator.run_once().actions
    assert actions[0] == Widen(FIRST)


def test_a_route_that_cannot_be_used_any_more_keeps_no_pod_from_the_users() -> None:
    operator = at_half()
    operator.world.problem = Problem("NoService", "There is no Service chat.")
    operator.world.kill(FIRST)
    operator.world.propagate()
    operator.settle()
    assert operator.world.in_rotation(FIRST) == 2


def test_a_deleted_rollout_leaves_no_pod_out_of_rotation() -> None:
    operator = at_half()
    operator.world.deleting = True
    assert operator.run_once().actions[0] == Widen(FIRST)
    operator.settle()
    assert operator.world.pods[FIRST].out == 0


def test_a_rollout_without_metrics_writes_no_label() -> None:
    operator = on_trial(with_steps({"weight": 50, "for": "10m"}))
    operator.wait(3600)
    assert not [call for call in operator.world.calls if isinstance(call, Rest | Narrow | Widen)]


def test_a_stable_service_that_is_pointed_elsewhere_selects_all_pods() -> None:
    operator = on_trial(HALF)
    operator.judged(3600)
    calls = operator.world.calls
    assert PointService("stable", SECOND) in calls[calls.index(Narrow(FIRST)) :]
    assert Widen(FIRST) not in calls, "the names move, and that write widens the selector too"


# ── the cost, where it cannot or should not be so ───────────────────────────────────────────────


@pytest.mark.parametrize(
    ("weight", "cost"),
    [(5, "looks better than it will be"), (25, "may be reverted"), (50, "may hold the step for ever")],
)
def test_who_lets_all_pods_serve_reads_what_that_costs_once(weight: int, cost: str) -> None:
    spec = with_steps({"weight": weight, "for": "10m"}, analysis={**METRICS, "equalLoad": False})
    operator = on_trial(spec)
    operator.judged(120)
    assert condition(operator, "TrafficSplit") == ("True", "UnequalLoad")
    assert cost in said(operator, "TrafficSplit")
    assert "analysis.equalLoad is false" in said(operator, "TrafficSplit")
    assert operator.notes.count("UnequalLoad") == 1


def test_while_the_condition_says_something_worse_what_may_mislead_is_not_announced() -> None:
    operator = on_trial(with_steps({"weight": 50, "for": "10m"}, analysis={**METRICS, "equalLoad": False}))
    operator.notes.clear()
    operator.world.split_mismatch = "asked for 50 %, counted 40 %"
    for _ in range(3):
        operator.wait(60)
    assert condition(operator, "TrafficSplit") == ("False", "NotComparable")
    assert operator.notes.count("UnequalLoad") == 0
    operator.world.split_mismatch = None
    operator.wait(60)
    assert operator.notes.count("UnequalLoad") == 1, "the condition says it again"


def test_a_step_of_less_than_one_pod_is_no_reason_to_warn() -> None:
    operator = on_trial(spec_of(analysis=METRICS))
    assert condition(operator, "TrafficSplit") == ("True", "AsDesired")
