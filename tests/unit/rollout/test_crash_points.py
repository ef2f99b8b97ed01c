"""A death between any two API calls changes nothing about where the rollout ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import pytest

from modelrollout.api.spec import Spec
from modelrollout.rollout.actions import Action
from modelrollout.rollout.contest import running
from tests.shared.sweep import some
from tests.unit.rollout.order import view_of
from tests.unit.rollout.world import (
    LOADING,
    METRICS,
    SERVICE_ONLY,
    Operator,
    World,
    fresh_copy,
    spec_of,
    with_steps,
)

Event = tuple[float, Callable[[Operator], None]]
"""Seconds with passes, and what happens then."""


@dataclass
class Watched(Operator):
    """Keeps what a successor would find, had it died just before each of its calls."""

    event: int = 0
    deaths: list[tuple[int, Watched]] = field(default_factory=list)

    def _call(self) -> None:
        super()._call()
        self.deaths.append((self.event, replace(self, world=fresh_copy(self.world), deaths=[], plans=[])))


def play(operator: Operator, events: Sequence[Event], start: int = 0) -> None:
    """From event `start`; a successor waits the event's whole time out, which is at least as long."""
    for index in range(start, len(events)):
        if isinstance(operator, Watched):
            operator.event = index
        seconds, happens = events[index]
        operator.wait(max(0.0, operator.due + seconds - operator.world.now))
        operator.due += seconds
        happens(operator)
    operator.settle()


def nothing(_: Operator) -> None:
    pass


def ask(image: str) -> Callable[[Operator], None]:
    return lambda operator: operator.world.ask(
        operator.world.spec.model_copy(update={"runtime": spec_of(image).runtime})
    )


def annotate(command: str, value: str = "true") -> Callable[[Operator], None]:
    def happens(operator: Operator) -> None:
        operator.world.say(command, value.replace("this", operator.world.revision))

    return happens


def look(verdict: str) -> Callable[[Operator], None]:
    return lambda operator: operator.world.judge(verdict, "errors: 9 % against 0.5 %")


def counted(stable: tuple[int, int], canary: tuple[int, int]) -> Callable[[Operator], None]:
    """A look closes, in which the metrics pass and so many users were counted."""

    def happens(operator: Operator) -> None:
        if running(view_of(operator)) is not None:
            operator.count(stable, canary)
        operator.world.judge("Pass")

    return happens


def scale(replicas: int) -> Callable[[Operator], None]:
    return lambda operator: operator.world.scale(replicas)


SHORT = {"rollbackWindow": "10m"}
STEPS = [{"weight": 25, "for": "2m"}, {"weight": 50, "for": "2m"}]
WEIGHTS = with_steps(*STEPS, **SHORT)
JUDGED = with_steps(*STEPS, analysis=METRICS, **SHORT)
SELECTOR = spec_of(traffic=SERVICE_ONLY, strategy={"blueGreen": {"warmFor": "1m"}}, **SHORT)
PODS = with_steps({"weight": 20, "for": "2m"}, {"weight": 50, "for": "2m"}, traffic=SERVICE_ONLY, **SHORT)

COUNTERS = {"successes": "sum(orders{$arm})", "users": "sum(visitors{$arm})"}
TONE = {"name": "tone", "metric": COUNTERS, "baseline": "0.10", "smallestEffect": "0.05"}
EARNS = {"name": "earns", "reward": COUNTERS, "every": "2m", "looks": 12}
CONTESTS = with_steps({"experiment": TONE}, {"bandit": EARNS}, analysis=METRICS, **SHORT)
GATES = with_steps({"weight": 25}, {"pause": {}}, {"weight": 50}, {"pause": {}}, rollbackWindow="1h")

INSTALL: Event = (2 * LOADING, ask("vllm:2"))
AT_A_STEP = LOADING + 150
PROMOTED = 600.0
RUNS: dict[str, tuple[Spec, list[Event], str]] = {
    "promoted step by step": (WEIGHTS, [INSTALL, (1500, nothing)], "Stable"),
    "promoted by evidence": (JUDGED, [INSTALL, *[(100.0, look("Pass"))] * 15], "Stable"),
    "aborted while stable pods rest": (
        JUDGED,
        [INSTALL, (AT_A_STEP, look("Pass")), (AT_A_STEP, annotate("abort")), (300, nothing)],
        "Reverted",
    ),
    "promoted blue/green by a selector": (SELECTOR, [INSTALL, (1500, nothing)], "Stable"),
    "promoted by pod counts": (PODS, [INSTALL, (1500, nothing)], "Stable"),
    "aborted at a step": (WEIGHTS, [INSTALL, (AT_A_STEP, annotate("abort")), (300, nothing)], "Reverted"),
    "aborted at a step of pods": (
        PODS,
        [INSTALL, (AT_A_STEP, annotate("abort")), (300, nothing)],
        "Reverted",
    ),
    "failed at a step": (JUDGED, [INSTALL, (AT_A_STEP, look("Fail")), (300, nothing)], "Reverted"),
    "rolled back": (WEIGHTS, [INSTALL, (PROMOTED, annotate("rollback")), (300, nothing)], "Reverted"),
    "rolled back by a selector": (
        SELECTOR,
        [INSTALL, (PROMOTED, annotate("abort", "this")), (300, nothing)],
        "Reverted",
    ),
    "rolled back onto fewer pods than are needed": (
        WEIGHTS,
        [INSTALL, (PROMOTED, scale(8)), (LOADING, annotate("abort")), (300, nothing)],
        "Reverted",
    ),
    "killed at a step, and a new revision that waits": (
        WEIGHTS,
        [INSTALL, (AT_A_STEP, annotate("kill")), (60, ask("vllm:3")), (600, nothing)],
        "Killed",
    ),
    "killed after its promotion, lifted and tried again": (
        WEIGHTS,
        [
            INSTALL,
            (PROMOTED, annotate("kill")),
            (300, annotate("kill", "false")),
            (60, annotate("retry")),
            (1500, nothing),
        ],
        "Stable",
    ),
    "killed twice": (
        WEIGHTS,
        [
            INSTALL,
            (LOADING + 10, annotate("kill")),
            (60, annotate("kill", "false")),
            (1, annotate("retry")),
            (LOADING + 10, annotate("kill")),
            (300, nothing),
        ],
        "Killed",
    ),
    "superseded at a step": (WEIGHTS, [INSTALL, (AT_A_STEP, ask("vllm:3")), (1500, nothing)], "Stable"),
    "returned to stable in mid-promotion": (
        WEIGHTS,
        [INSTALL, (1, annotate("promote", "full")), (LOADING, ask("vllm:1")), (300, nothing)],
        "Stable",
    ),
    "aborted twice with the same words": (
        WEIGHTS,
        [
            INSTALL,
            (LOADING + 10, annotate("abort")),
            (30, annotate("retry")),
            (LOADING + 10, annotate("abort")),
            (300, nothing),
        ],
        "Reverted",
    ),
    "a bandit that earns, after an experiment": (
        CONTESTS,
        [
            INSTALL,
            (LOADING + 90, counted((160, 1600), (240, 1600))),
            *[(100.0, counted((10, 100), (40, 100)))] * 14,
            (1500, nothing),
        ],
        "Stable",
    ),
    "an experiment that is lost": (
        CONTESTS,
        [INSTALL, (LOADING + 90, counted((240, 1600), (160, 1600))), (300, nothing)],
        "Reverted",
    ),
    "passed step by step with the same words": (
        GATES,
        [
            INSTALL,
            (LOADING + 10, annotate("promote", "step")),
            (2 * LOADING, annotate("promote", "step")),
            (2 * LOADING, nothing),
        ],
        "Watching",
    ),
    "retried after an abort": (
        WEIGHTS,
        [INSTALL, (LOADING + 10, annotate("abort")), (30, annotate("retry", "this")), (LOADING, nothing)],
        "Progressing",
    ),
}


@cache
def survived(name: str) -> Watched:
    spec, events, phase = RUNS[name]
    operator = Watched(World(spec))
    play(operator, events)
    assert operator.status.phase == phase, operator.status.message
    return operator


@pytest.mark.parametrize("name", RUNS)
def test_a_death_before_any_call_ends_where_no_death_ends(name: str) -> None:
    _, events, _ = RUNS[name]
    alive = survived(name)
    assert len(alive.deaths) == alive.writes
    for calls, (event, successor) in some(list(enumerate(alive.deaths)), 10, list(RUNS).index(name)):
        play(successor, events, event)
        where = f"death after {calls} calls, the last of them {successor.world.calls[-1:]}"
        assert successor.status == alive.status, where
        assert (successor.world.route, successor.world.selects) == (alive.world.route, alive.world.selects), (
            where
        )
        assert successor.world.services == alive.world.services, where
        assert successor.world.pods == alive.world.pods, where
        assert successor.world.narrowed == alive.world.narrowed, where
        assert successor.world.created == alive.world.created, f"{where}: a model was loaded twice"


class Stuttering(World):
    """Each call is carried out, its answer is lost, and it is carried out again."""

    def apply(self, action: Action) -> None:
        super().apply(action)
        super().apply(action)


@pytest.mark.parametrize("name", RUNS)
def test_an_act_whose_answer_was_lost_may_be_done_again(name: str) -> None:
    spec, events, _ = RUNS[name]
    alive, again = survived(name), Operator(Stuttering(spec))
    play(again, events)
    assert again.status == alive.status
    assert again.world.pods == alive.world.pods
