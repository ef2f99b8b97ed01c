"""Whatever order of events, faults and deaths: nobody is sent where nobody can answer, and it ends.

`make sweep` looks longer.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from modelrollout.api.problem import Problem
from modelrollout.api.spec import Spec
from modelrollout.api.traffic import GatewayTraffic
from modelrollout.rollout.actions import Plan
from modelrollout.rollout.contest import running
from modelrollout.traffic.router import Split
from tests.unit.rollout.invariants import check_plan, check_rest, check_rotation
from tests.unit.rollout.order import check_order_inside_groups, view_of
from tests.unit.rollout.world import (
    LOADING,
    METRICS,
    SERVICE_ONLY,
    Died,
    Operator,
    World,
    spec_of,
    with_steps,
)

IMAGES = ["vllm:1", "vllm:2", "vllm:3"]
MIXED_STEPS = [
    {"mirror": 20, "for": "1m"},
    {"match": [{"header": "x-beta", "value": "yes"}], "for": "1m"},
    {"weight": 25, "for": "1m"},
    {"pause": {}},
    {"weight": 50, "for": "1m"},
]
COUNTERS = {"successes": "sum(orders{$arm})", "users": "sum(visitors{$arm})"}
EXPERIMENT = {"name": "tone", "metric": COUNTERS, "baseline": "0.10", "smallestEffect": "0.05", "split": 25}
BANDIT = {"name": "earns", "reward": COUNTERS, "every": "5m", "looks": 3}
SPECS: dict[str, Spec] = {
    "canary by weights": spec_of(),
    "canary with metrics": spec_of(analysis=METRICS),
    "metrics that revert when undecided": spec_of(
        analysis={**METRICS, "onInsufficient": "revert", "maxStepDuration": "15m"}
    ),
    "every kind of step": with_steps(*MIXED_STEPS, rollbackWindow="0s"),
    "a plan with an evaluation": with_steps(
        {"mirror": 20}, {"evaluate": "golden"}, {"weight": 25, "for": "1m"}, {"evaluate": "golden"}
    ),
    "an evaluation of what serves": spec_of(
        evaluations=[
            {"name": "golden", "policy": {"configMap": "q"}, "when": "afterPromotion", "onFail": "revert"}
        ]
    ),
    "an experiment and a bandit": with_steps(
        {"experiment": EXPERIMENT}, {"bandit": BANDIT}, analysis=METRICS
    ),
    "canary by pod counts": with_steps({"weight": 20}, {"weight": 50, "for": "1m"}, traffic=SERVICE_ONLY),
    "blue/green by selector": spec_of(traffic=SERVICE_ONLY, strategy={"blueGreen": {"warmFor": "1m"}}),
    "blue/green that ends old connections": spec_of(
        traffic={**SERVICE_ONLY, "closeConnectionsAfter": "2m"}, strategy={"blueGreen": {}}
    ),
    "blue/green on a route": spec_of(strategy={"blueGreen": {"steps": [{"weight": 10, "for": "1m"}]}}),
    "metrics and all pods serving": spec_of(analysis={**METRICS, "equalLoad": False}),
    "users held back": spec_of(
        strategy={"canary": {"steps": [{"weight": 30, "for": "1m"}]}}, holdback=5, rollbackWindow="20m"
    ),
    "one pod": spec_of(replicas=1),
}


class Checked(Operator):
    """Every plan is checked before it is carried out."""

    def run_once(self) -> Plan:
        check_plan(self.world, self.decided())
        check_order_inside_groups(view_of(self))
        plan = super().run_once()
        check_rotation(self.world, self.status)
        return plan


class Rollout(RuleBasedStateMachine):
    operator: Checked

    @initialize(name=st.sampled_from(sorted(SPECS)))
    def begin(self, name: str) -> None:
        self.operator = Checked(World(SPECS[name]))
        self.foreign = False

    @property
    def world(self) -> World:
        return self.operator.world

    # ── the operator ──

    @rule()
    def a_pass(self) -> None:
        self.operator.run_once()

    @rule(calls=st.integers(0, 4))
    def a_pass_that_dies(self, calls: int) -> None:
        self.operator.calls_left = calls
        try:
            self.operator.run_once()
        except Died:
            pass
        finally:
            self.operator.calls_left = None

    @rule(seconds=st.sampled_from([1.0, 45.0, 700.0, 4000.0]))
    def time_goes_by_with_passes(self, seconds: float) -> None:
        self.operator.wait(seconds)

    # ── the cluster ──

    @rule(seconds=st.sampled_from([1.0, 10.0, LOADING, 2000.0]))
    def time_goes_by(self, seconds: float) -> None:
        self.world.now += seconds

    @rule()
    def endpoints_propagate(self) -> None:
        self.world.propagate()

    @rule(data=st.data(), count=st.integers(1, 4))
    def pods_die(self, data: st.DataObject, count: int) -> None:
        if self.world.pods:
            self.world.kill(data.draw(st.sampled_from(sorted(self.world.pods))), count)
            self.world.propagate()

    @rule(data=st.data())
    def a_deployment_is_deleted_by_hand(self, data: st.DataObject) -> None:
        again = sorted({self.world.revision} & set(self.world.pods))
        if again and self.world.problem is None and self.world.route_problem is None:
            del self.world.pods[data.draw(st.sampled_from(again))]
            self.world.propagate()
            self.operator.run_once()  # once the spec has moved on, nobody could make it again

    @precondition(lambda self: len(self.world.services) == 2 and self.world.reading() is not None)
    @rule(weight=st.sampled_from([0, 3, 40, 100]), keeps=st.booleans())
    def somebody_else_writes_the_route(self, weight: int, keeps: bool) -> None:
        self.world.drift(Split(weight) if keeps else None)

    @precondition(lambda self: len(self.world.services) == 2)
    @rule(role=st.sampled_from(["stable", "canary"]))
    def somebody_else_edits_a_service(self, role: Any) -> None:
        self.world.services[role] = None
        self.world.propagate()

    @precondition(lambda self: self.world.gateway)
    @rule(selector=st.sampled_from([{}, {"app": "old"}]))
    def somebody_else_points_the_service_that_people_named(self, selector: dict[str, str]) -> None:
        self.world.named, self.world.named_selector = None, selector

    @rule()
    def the_gateway_takes_its_time(self) -> None:
        self.world.settled = not self.world.settled

    # ── people ──

    @rule(image=st.sampled_from(IMAGES))
    def the_spec_asks_for(self, image: str) -> None:
        self.world.ask(self.world.spec.model_copy(update={"runtime": spec_of(image).runtime}))

    @precondition(lambda self: self.world.spec.traffic.gateway is not None)
    @rule(name=st.sampled_from(["chat", "next"]))
    def the_spec_names_a_route(self, name: str) -> None:
        gateway = GatewayTraffic(http_route=name, rule="completions")
        traffic = self.world.spec.traffic.model_copy(update={"gateway": gateway})
        self.world.ask(self.world.spec.model_copy(update={"traffic": traffic}))

    @rule(replicas=st.integers(1, 6))
    def scaled(self, replicas: int) -> None:
        self.world.scale(replicas)

    @rule(steps=st.sampled_from([[{"weight": 10}], MIXED_STEPS]))
    def the_plan_is_edited(self, steps: list[dict[str, Any]]) -> None:
        if self.world.spec.strategy.canary is not None and self.world.gateway:
            self.world.ask(self.world.spec.model_copy(update={"strategy": with_steps(*steps).strategy}))

    @rule(
        command=st.sampled_from(["kill", "pause", "abort", "rollback", "retry", "promote"]),
        value=st.sampled_from(["true", "step", "full", "step@2", "false", "this", "nonsense!"]),
    )
    def annotated(self, command: str, value: str) -> None:
        self.world.say(command, self.world.revision if value == "this" else value)

    # ── evidence and obstacles ──

    @rule(verdict=st.sampled_from(["Pass", "Insufficient", "ProviderError", "Fail"]))
    def judged(self, verdict: str) -> None:
        self.world.judge(verdict)

    @rule(state=st.sampled_from(["running", "passed", "failed", "error", "insufficient", "lost"]))
    def evaluated(self, state: Any) -> None:
        if state == "lost":
            self.world.gates.clear()
        else:
            self.world.evaluate(state)

    @precondition(lambda self: running(view_of(self.operator)) is not None)
    @rule(hits=st.sampled_from([40, 60, 90]), users=st.sampled_from([100, 300, 2100]))
    def users_are_counted(self, hits: int, users: int) -> None:
        self.operator.count((0.6 * users, 3 * users), (hits / 100 * users, users))

    @rule(mismatch=st.sampled_from([None, "asked for 5 %, counted 40 %"]))
    def the_split_is_counted(self, mismatch: str | None) -> None:
        self.world.split_mismatch = mismatch

    @rule(problem=st.sampled_from([None, Problem("NoService", "There is no Service chat")]))
    def the_spec_becomes_impossible(self, problem: Problem | None) -> None:
        self.world.problem = problem

    @rule(problem=st.sampled_from([None, Problem("NoRule", "The route has no rule completions")]))
    def the_route_becomes_impossible(self, problem: Problem | None) -> None:
        self.world.route_problem = problem

    # ── the end ──

    def teardown(self) -> None:
        """When faults stop it comes to rest, within a bounded time, wherever it was."""
        if not hasattr(self, "operator"):
            return
        world = self.world
        world.problem = world.route_problem = world.split_mismatch = None
        world.settled = True
        world.annotations.clear()
        world.propagate()
        for _ in range(40):
            world.evaluate("passed")
            if running(view_of(self.operator)) is not None:
                self.operator.count((600, 6000), (400, 2000))
            self.operator.judged(30 * 60)
            if self.operator.status.phase in ("Stable", "Watching", "Reverted"):
                break
            if self.operator.status.phase == "Paused":
                world.say("promote", "step")
        self.operator.wait(300)
        check_rest(world, self.operator.status)


# A failing example is not shrunk: that would play thousands of rollouts, and thirty events can be read.
PHASES = [phase for phase in Phase if phase not in (Phase.shrink, Phase.explain)]
TestRollout = Rollout.TestCase
TestRollout.settings = settings(
    stateful_step_count=30, suppress_health_check=list(HealthCheck), phases=PHASES
)
