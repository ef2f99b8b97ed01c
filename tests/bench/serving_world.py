"""Rollouts on a simulated fleet of LLM servers, read as Prometheus would read it and judged by the engine.

Nothing between the servers and the verdict is a model: the lanes' counters are scraped, the scrapes are
counted as `analysis.counters` counts them (`swift`), and what comes out is folded by
`analysis.evidence.evidence.Evidence` as the operator does.
All rollouts of a table's cell go on side by side, each at its own step.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import numpy as np

from modelrollout.analysis.counters.gather import Facts
from modelrollout.analysis.counters.growth import Window
from modelrollout.analysis.counters.halves import Halves, halves_of
from modelrollout.analysis.counters.load import arrivals, idle_pods
from modelrollout.analysis.counters.matchers import Arms
from modelrollout.analysis.counters.observe import observe
from modelrollout.analysis.counters.recipe import Moment, Recipe, Resolved
from modelrollout.analysis.counters.series import Place, Series
from modelrollout.analysis.counters.targets import Target
from modelrollout.analysis.inputs.metric import Metric
from modelrollout.analysis.inputs.observation import Histogram, Look, Observation
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.packs.catalogue import arrivals as arrivals_of
from modelrollout.analysis.packs.catalogue import resolve
from modelrollout.analysis.planning.calibration import calibrate
from modelrollout.analysis.planning.settling import settled_after, settling
from modelrollout.api import analysis as spec
from modelrollout.rollout.equal_load import serving
from tests.bench import swift
from tests.bench.fleet import ENDS, FAMILIES, SCRAPE, SUMS, Array, Fleet, Lanes, Server, Users

INTERVAL = 30.0
HISTORY = 480
"""Looks of the past from which noise is learned."""
REACH = 3 * SCRAPE
MOMENTS = {
    Moment.FIRST_TOKEN: "vllm:time_to_first_token_seconds",
    Moment.END: "vllm:e2e_request_latency_seconds",
}
ARMS = Arms("ml", "chat", "chat", stable="old", canary="new")
SETTLE = SCRAPE * 1.25


@dataclass(frozen=True)
class Step:
    weight: float
    dwell: float
    """Seconds."""


README = (Step(0.05, 600), Step(0.25, 1200), Step(0.5, 2400))


@dataclass(frozen=True)
class Canary:
    """What is wrong with the new version."""

    prefill: float = 1.0
    """Each prompt token takes so many times as long: the time to the first token."""
    decode: float = 1.0
    """Each iteration does: the time per output token."""
    bad: float = 0.002
    onset: float = 0.0
    """Seconds since the first users from which on it is so; healthy before."""


@dataclass(frozen=True)
class Service:
    """A service and the traffic of its users."""

    rate: float = 20.0
    """Requests per second of all users."""
    replicas: int = 4
    utilisation: float = 0.5
    users: Users = field(default_factory=Users)
    slow_pod: float = 1.0
    """One stable pod takes so many times as long, always."""
    equal_load: bool = True
    """Of the stable pods as many serve as give each the load of a canary pod."""
    crash: float = 0.0
    """One stable pod dies so many seconds after the rollout began; 0: none does."""

    @cached_property
    def server(self) -> Server:
        usual = Server()
        per_pod = self.rate / self.replicas / self.utilisation
        return usual.scaled(usual.capacity(*self.users.means()) / per_pod)

    @property
    def most_canaries(self) -> int:
        return self.canaries(0.5)

    def canaries(self, weight: float) -> int:
        return max(1, math.ceil(weight * self.replicas - 1e-9))

    def stables(self, weight: float) -> int:
        """Stable pods in the rotation, as the operator keeps them there."""
        if not self.equal_load:
            return self.replicas
        canary = round(100 * weight)
        return serving(canary, 100 - canary, self.canaries(weight), self.replicas)


class Judge(Protocol):
    """Judges one rollout, look by look."""

    def fold(self, look: Look, seen: Mapping[str, Observation]) -> str:
        """Pass, Fail or anything else, which waits."""
        ...

    def enter(self, step: int, load: float, per_pod: float) -> None:
        """A step begins: its index, the requests per canary pod over those of a control's, and the requests
        per second of each canary pod."""
        ...


@dataclass
class Result:
    """How one rollout ended."""

    end: str
    """promoted, reverted, or undecided."""
    seconds: float
    step: int
    harmed: float
    """Users of the canary times minutes, as a share of all users."""


class Worlds:
    """Rollouts of one service side by side. Lanes of a rollout: the stable pods, then the canary's."""

    def __init__(self, rng: np.random.Generator, service: Service, rollouts: int, canary: Canary) -> None:
        self.service, self.rollouts, self.canary = service, rollouts, canary
        self.pods = service.replicas + service.most_canaries
        owner = np.repeat(np.arange(rollouts), self.pods)
        self.fleet = Fleet(rng, service.server, service.users, owner)
        grid = np.arange(rollouts * self.pods).reshape(rollouts, self.pods)
        self.stable, self.new = grid[:, : service.replicas], grid[:, service.replicas :]
        self.fleet.bad[:] = 0.002
        for slow in (self.fleet.slow, self.fleet.slow_prefill):
            slow[self.stable[:, 0]] = service.slow_pod
        self.fleet.warmth[self.new] = 0.0
        self.weight = np.zeros(rollouts)
        self.step = np.full(rollouts, -1)
        self.labels = [_labels(i, i < service.replicas) for i in range(self.pods)]
        self.columns = [_columns(where) for where in self.labels]

    def rates(self) -> Array:
        rates = np.zeros(len(self.fleet.owner))
        for r in range(self.rollouts):
            w = float(self.weight[r])
            stables = self.service.stables(w) if w else self.service.replicas
            rates[self.stable[r, :stables]] = (1 - w) * self.service.rate / stables
            if w:
                canaries = self.service.canaries(w)
                rates[self.new[r, :canaries]] = w * self.service.rate / canaries
        return rates

    def canaries(self, rollout: int) -> Lanes:
        """The canary's pods that there are at the rollout's weight."""
        weight = float(self.weight[rollout])
        return self.new[rollout, : self.service.canaries(weight) if weight else 0]

    def advance(self, seconds: float) -> None:
        self.fleet.advance(seconds, self.rates())

    def spoil(self, since: float) -> None:
        """The canary is what it is from `since` seconds of its life on."""
        if since >= self.canary.onset:
            self.fleet.slow[self.new] = self.canary.decode
            self.fleet.slow_prefill[self.new] = self.canary.prefill
            self.fleet.bad[self.new] = self.canary.bad

    # ── what Prometheus shows ────────────────────────────────────────────────────────────────

    def facts(self, rollout: int, families: frozenset[str]) -> Facts:
        """The last scrapes of all pods of a rollout."""
        fleet, series, targets = self.fleet, [], {}
        for i in range(self.service.replicas + len(self.canaries(rollout))):
            lane = rollout * self.pods + i
            known = ~np.isnan(fleet.scraped[lane])
            if not known.any():
                continue
            times = fleet.scraped[lane][known].tolist()
            where = self.labels[i]
            back = times[0] - SCRAPE * np.arange(41, 0, -1)
            answered = tuple(back[back >= fleet.begun[lane]].tolist() + times)
            targets[Place.of(where)] = Target(
                where, answered, answered, ((answered[0], float(fleet.begun[lane])),)
            )
            series += list(_series(self.columns[i], times, fleet.samples[lane][known], families))
        return Facts.of(tuple(series), targets)


def _labels(pod: int, stable: bool) -> dict[str, str]:
    name = f"{'stable' if stable else 'canary'}-{pod}"
    revision = ARMS.stable if stable else ARMS.canary
    return {
        "job": "pods",
        "instance": f"{name}:8000",
        "namespace": "ml",
        "rollout": "chat",
        "revision": revision,
        "pod": name,
    }


def _columns(where: Mapping[str, str]) -> dict[str, list[tuple[slice, dict[str, str]]]]:
    """By family: which columns of a pod's counters are added up to which of its series."""

    def one(name: str, first: int, end: int, **more: str) -> None:
        found.setdefault(name, []).append((slice(first, end), {**where, "__name__": name, **more}))

    found: dict[str, list[tuple[slice, dict[str, str]]]] = {}
    first = 0
    for number, (family, edges) in enumerate(FAMILIES.items()):
        for k, edge in enumerate([*(f"{edge:g}" for edge in edges), "+Inf"]):
            one(f"{family}_bucket", first, first + k + 1, le=edge)
        one(f"{family}_count", first, first + len(edges) + 1)
        one(f"{family}_sum", SUMS + number, SUMS + number + 1)
        first += len(edges) + 1
    one("vllm:request_success_total", ENDS, ENDS + 1, finished_reason="stop")
    one("vllm:request_success_total", ENDS + 1, ENDS + 2, finished_reason="error")
    return found


def _series(
    columns: Mapping[str, Sequence[tuple[slice, dict[str, str]]]],
    times: Sequence[float],
    samples: Array,
    families: frozenset[str],
) -> Iterator[Series]:
    sums = np.zeros((samples.shape[1] + 1, len(times)))
    samples.T.cumsum(0, out=sums[1:])
    for family in families & columns.keys():
        for part, labels in columns[family]:
            yield Series(labels, times, (sums[part.stop] - sums[part.start]).tolist())


# ── judging ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Analysis:
    """Which metrics are judged, and what they are counted from."""

    resolved: tuple[Resolved, ...]
    arrivals: Recipe

    @classmethod
    def of(cls, metrics: Sequence[spec.Metric]) -> Analysis:
        return cls(tuple(each.with_sum() for each in resolve(metrics)), arrivals_of(metrics))

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return tuple(each.metric for each in self.resolved)

    def observe(self, worlds: Worlds, rollout: int, look: Look) -> dict[str, Observation]:
        """By subtraction where that is the same, else by the operator's counting."""
        grown = swift.grown(worlds.fleet, worlds.stable[rollout], worlds.canaries(rollout), look)
        if grown is None or any(each.name not in swift.FAMILY_OF for each in self.resolved):
            return self.count(worlds, rollout, look)
        return {
            each.name: Observation(
                *grown.arms(swift.FAMILY_OF[each.name]),
                load=grown.load,
                begun=grown.begun if self.arrivals.precedes(each.recipe) else None,
            )
            for each in self.resolved
        }

    def count(self, worlds: Worlds, rollout: int, look: Look) -> dict[str, Observation]:
        """Through the operator's counting."""
        window = Window(look, look.start - REACH, look.start - 600.0, warm_up=30.0)
        facts = worlds.facts(rollout, self.arrivals.families())
        idle = idle_pods(self.arrivals, ARMS, facts, window)
        arrived = arrivals(self.arrivals, ARMS, facts, window, idle)
        load, begun = (arrived.load, arrived.canary) if arrived else (None, None)
        seen = {}
        for each in self.resolved:
            facts = worlds.facts(rollout, each.recipe.families())
            sooner = begun if self.arrivals.precedes(each.recipe) else None
            seen[each.name] = replace(observe(each, ARMS, facts, window, idle), load=load, begun=sooner)
        return seen


def learned(rng: np.random.Generator, service: Service, analysis: Analysis) -> tuple[Metric, ...]:
    """The metrics with what the control's own past says put into them, from halves of its pods: eight pasts
    of an hour each, which are simulated side by side."""
    worlds = Worlds(rng, service, 8, Canary())
    past: dict[tuple[str, int], list[Halves]] = {}
    worlds.advance(300)
    for _ in range(HISTORY // 8):
        worlds.advance(INTERVAL)
        end = math.floor((worlds.fleet.now - SETTLE) / INTERVAL) * INTERVAL
        window = Window(Look(end - INTERVAL, end), end - INTERVAL - REACH, end - 600.0, 30.0)
        for each, r in itertools.product(analysis.resolved, range(8)):
            facts = worlds.facts(r, each.recipe.families())
            past.setdefault((each.name, r), []).extend(halves_of(each, ARMS, facts, [window]))
    wait = settling(analysis.resolved, lasting(worlds.fleet))
    plan = Plan(analysis.metrics, planned_looks=200)
    pasts = {m.name: [halves for r in range(8) for halves in past[m.name, r]] for m in plan.metrics}
    found = (calibrate(m, pasts[m.name], plan, 10**6).metric for m in plan.metrics)
    return tuple(replace(metric, settle=wait[metric.name]) for metric in found)


def lasting(fleet: Fleet) -> dict[Moment, float]:
    """Within how many seconds nearly all requests of the fleet got their first token, and ended."""
    counted = fleet.counters.sum(0)
    columns = dict(
        zip(FAMILIES, (0, *itertools.accumulate(len(e) + 1 for e in FAMILIES.values())), strict=False)
    )
    found = {}
    for moment, family in MOMENTS.items():
        edges, first = FAMILIES[family], columns[family]
        counts = tuple(counted[first : first + len(edges) + 1])
        found[moment] = settled_after(Histogram(tuple(edges), counts))
    return found


def roll_out(
    worlds: Worlds,
    analysis: Analysis,
    judges: Sequence[Judge],
    *,
    steps: Sequence[Step] = README,
    longest: float = 7200.0,
    patience: float = math.inf,
) -> list[Result]:
    """Every rollout until it is promoted, reverted, or one of its steps has lasted for `longest` seconds, or
    the whole for `patience`."""
    service, fleet = worlds.service, worlds.fleet
    worlds.advance(300)
    begin = fleet.now = math.ceil(fleet.now / INTERVAL) * INTERVAL
    since = np.full(worlds.rollouts, begin)
    results: list[Result | None] = [None] * worlds.rollouts
    harmed = np.zeros(worlds.rollouts)
    for r in range(worlds.rollouts):
        _enter(worlds, judges[r], r, 0, steps)
    while any(result is None for result in results) and fleet.now - begin < patience:
        worlds.spoil(fleet.now - begin)
        if service.crash and begin + service.crash <= fleet.now < begin + service.crash + INTERVAL:
            fleet.crash(worlds.stable[:, 0], away=60.0)
        harmed += worlds.weight * INTERVAL / 60
        worlds.advance(INTERVAL)
        end = math.floor((fleet.now - SETTLE) / INTERVAL) * INTERVAL
        for r in range(worlds.rollouts):
            if results[r] is not None or end - INTERVAL < since[r]:
                continue
            look = Look(end - INTERVAL, end)
            verdict = judges[r].fold(look, analysis.observe(worlds, r, look))
            step, age = int(worlds.step[r]), end - since[r]
            if verdict == "Fail":
                worlds.weight[r] = 0.0
                results[r] = Result("reverted", end - begin, step, harmed[r])
            elif verdict == "Pass" and age >= steps[step].dwell:
                if step + 1 == len(steps):
                    worlds.weight[r] = 0.0
                    results[r] = Result("promoted", end - begin, step, harmed[r])
                else:
                    since[r] = fleet.now
                    _enter(worlds, judges[r], r, step + 1, steps)
            elif age >= longest:
                worlds.weight[r] = 0.0
                results[r] = Result("undecided", end - begin, step, harmed[r])
    ended = fleet.now - begin
    return [
        result or Result("undecided", ended, int(worlds.step[r]), harmed[r])
        for r, result in enumerate(results)
    ]


def _enter(worlds: Worlds, judge: Judge, rollout: int, step: int, steps: Sequence[Step]) -> None:
    service, weight = worlds.service, steps[step].weight
    worlds.step[rollout], worlds.weight[rollout] = step, weight
    canary, control = weight / service.canaries(weight), (1 - weight) / service.stables(weight)
    judge.enter(step, canary / control, canary * service.rate)
