"""A small cluster in memory, and an operator in it that can die between any two calls.

The cluster does what the real one does, no more: Deployments make pods that load for a while, Services
list ready pods when `propagate` is called, the route holds what was written last. The operator is the
real brain with the thinnest loop around it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Literal

from modelrollout.analysis.contest.shares import Count
from modelrollout.analysis.contest.tally import Tally
from modelrollout.analysis.evidence.decision import VerdictKind
from modelrollout.analysis.inputs.observation import Look
from modelrollout.analysis.kinds.own_past import Drifted
from modelrollout.api.names import LAST_ORDER, Role
from modelrollout.api.problem import Problem
from modelrollout.api.spec import Spec
from modelrollout.api.status import Status, TakenTraffic, named_by
from modelrollout.api.traffic import Traffic
from modelrollout.rollout import contest
from modelrollout.rollout.actions import (
    Action,
    Adopt,
    DeleteRevision,
    EnsureRevision,
    HandBack,
    Narrow,
    Plan,
    PointNamed,
    PointService,
    Release,
    Rest,
    RestartPods,
    RestoreRevision,
    RunEvaluation,
    Scale,
    SetTraffic,
    TakeOff,
    Widen,
)
from modelrollout.rollout.decide import decide
from modelrollout.rollout.model import (
    Alarms,
    Author,
    Fleet,
    Gate,
    Judgement,
    Named,
    Observed,
    Outlook,
    Trouble,
)
from modelrollout.rollout.revision import describe, revision_of
from modelrollout.rollout.view import View
from modelrollout.traffic.router import Reading, Split

START = 1_800_000_000.0
LOADING = 60.0
PERSON = Author("kubectl-annotate")
ROLES: tuple[Role, Role] = ("stable", "canary")
Verdict = Literal["running", "passed", "failed", "error", "insufficient"]


def spec_of(image: str = "vllm:1", **changes: Any) -> Spec:
    """A rollout of four pods over a Gateway API route in the steps 5, 25, 50, ten minutes each."""
    weights = [5, 25, 50]
    return Spec.model_validate(
        {
            "replicas": 4,
            "model": {"uri": "hf://Qwen/Qwen3-8B"},
            "runtime": {"image": image},
            "traffic": {"service": "chat", "gateway": {"httpRoute": "chat", "rule": "completions"}},
            "strategy": {"canary": {"steps": [{"weight": weight, "for": "10m"} for weight in weights]}},
            **changes,
        }
    )


def with_steps(*steps: Mapping[str, Any], image: str = "vllm:1", **changes: Any) -> Spec:
    return spec_of(image, strategy={"canary": {"steps": list(steps)}}, **changes)


SERVICE_ONLY = {"service": "chat"}
METRICS = {
    "prometheus": {"address": "http://prometheus:9090"},
    "metrics": [{"use": "vllm/time-to-first-token"}],
}


@cache
def revision_named(image: str) -> str:
    """Revisions of these tests differ in their image only."""
    return revision_of(spec_of(image))


@dataclass
class Pods:
    """The Deployment of one revision: when each of its pods is ready."""

    wanted: int
    ready_at: list[float] = field(default_factory=list)
    out: int = 0
    """The youngest ready pods, so many of them, are labelled as out of rotation."""


@dataclass
class World:
    spec: Spec
    now: float = START
    loading: float = LOADING
    annotations: dict[str, str] = field(default_factory=dict)
    authors: dict[str, Author] = field(default_factory=dict)
    version: int = 0
    """Of the ModelRollout: how often somebody wrote its annotations."""
    pods: dict[str, Pods] = field(default_factory=dict)
    services: dict[Role, str | None] = field(default_factory=dict)
    endpoints: dict[Role, dict[str, int]] = field(default_factory=dict)
    narrowed: bool = False
    """The stable Service selects only pods in rotation."""
    unlisted: int = 0
    """Ready pods that it did not list because of that when endpoints last followed."""
    route: Split | None = None
    selects: str | None = None
    """Without a gateway: the revision that the users' Service selects; "" is both."""
    traffic: Traffic | None = None
    """What traffic is moved by, when spec names something else by now."""
    split_by: TakenTraffic | None = None
    others: dict[str, Split | None] = field(default_factory=dict)
    """Routes besides the one that is split, by what names them."""
    named: str | None = None
    """With a gateway: the revision that the users' Service selects; None: what `named_selector` says."""
    named_selector: dict[str, str] = field(default_factory=dict)
    writer: str | None = None
    settled: bool = True
    waiting_for: Problem | None = None
    warnings: tuple[Problem, ...] = ()
    judgement: Judgement | None = None
    quiet: bool = False
    split_mismatch: str | None = None
    measured: str | None = None
    left_behind: float | None = None
    outlook: Outlook | None = None
    tally: Tally | None = None
    own_past: tuple[Drifted, ...] = ()
    restarted: dict[str, str] = field(default_factory=dict)
    """Revision -> which restart its pods had last."""
    alarms: Alarms | None = None
    gates: dict[str, Gate] = field(default_factory=dict)
    unmade: str | None = None
    changed: str = ""
    problem: Problem | None = None
    setback: Problem | None = None
    route_problem: Problem | None = None
    trouble: Trouble | None = None
    deleting: bool = False
    released: set[str] = field(default_factory=set)
    """Revisions whose pods outlive the resource."""
    generation: int = 1
    created: list[str] = field(default_factory=list)
    """Every Deployment that was ever made, in order."""
    calls: list[Action] = field(default_factory=list)

    # ── what is there ──

    def __post_init__(self) -> None:
        if self.split_by is None:
            self.split_by = named_by(self.spec.traffic)

    @property
    def effective(self) -> Spec:
        """What is asked for, by the objects that traffic is moved by now."""
        return self.spec.model_copy(update={"traffic": self.traffic}) if self.traffic else self.spec

    @property
    def gateway(self) -> bool:
        traffic = self.traffic or self.spec.traffic
        return traffic.gateway is not None or traffic.istio is not None

    @property
    def revision(self) -> str:
        return revision_named(self.spec.runtime.image)

    def ready(self, revision: str | None) -> int:
        pods = self.pods.get(revision) if revision is not None else None
        return sum(moment <= self.now for moment in pods.ready_at) if pods is not None else 0

    def reading(self) -> Split | None:
        if self.gateway:
            return self.route
        if self.selects is None:
            return None
        if self.selects == "":
            if None in (self.services.get("stable"), self.services.get("canary")):
                return None
            stable, canary = (self.ready(self.services.get(role)) for role in ROLES)
            return Split(min(99, max(1, 100 * canary // max(1, stable + canary))))
        if self.selects == self.services.get("stable"):
            return Split()
        return Split(100) if self.selects == self.services.get("canary") else None

    def named_service(self) -> Named | None:
        if not self.gateway:
            return None
        ours = {"modelrollout.io/revision": self.named} if self.named else self.named_selector
        return Named(self.named, ours, None if self.named else "gitops")

    def out(self, revision: str | None) -> int:
        """Ready pods of the revision that are labelled as out of rotation."""
        pods = self.pods.get(revision) if revision is not None else None
        return min(pods.out, self.ready(revision)) if pods is not None else 0

    def in_rotation(self, revision: str | None) -> int:
        """Ready pods of the revision that a Service like the stable one selects."""
        return self.ready(revision) - (self.out(revision) if self.narrowed else 0)

    def listed(self, role: Role) -> int:
        """Endpoints that requests to the role find alive."""
        return sum(min(count, self.ready(rev)) for rev, count in self.endpoints.get(role, {}).items())

    def resting(self, revision: str) -> int:
        """Ready pods that one write brings back."""
        return min(self.out(revision), self.unlisted) if revision == self.services.get("stable") else 0

    def observe(self) -> Observed:
        fleets = {
            revision: Fleet(
                revision,
                wanted=pods.wanted,
                ready=self.ready(revision),
                pods=len(pods.ready_at),
                trouble=self.trouble if self.ready(revision) < pods.wanted else None,
                restarted_at=self.restarted.get(revision),
                out=self.out(revision),
                resting=self.resting(revision),
            )
            for revision, pods in self.pods.items()
        }
        return Observed(
            generation=self.generation,
            revision=self.revision,
            revision_model=describe(self.spec),
            annotations=dict(self.annotations),
            fleets=fleets,
            services=dict(self.services),
            endpoints={role: dict(counts) for role, counts in self.endpoints.items()},
            route=Reading(
                self.reading(),
                self.settled,
                waiting_for=None if self.settled else self.waiting_for,
                problem=self.route_problem,
                warnings=self.warnings,
                writer=self.writer,
            ),
            problem=self.problem,
            setback=self.setback,
            judgement=replace(self.judgement, quiet=self.quiet) if self.judgement is not None else None,
            split_mismatch=self.split_mismatch,
            measured=self.measured,
            left_behind=self.left_behind,
            outlook=self.outlook,
            alarms=self.alarms,
            tally=self.tally,
            own_past=self.own_past,
            gates=dict(self.gates),
            unmade=self.unmade,
            changed=self.changed,
            found={"rules": "as found"},
            selector="modelrollout.io/rollout=chat",
            deleting=self.deleting,
            named=self.named_service(),
            version=str(self.version),
            authors=dict(self.authors),
            asked=named_by(self.spec.traffic) if self.traffic is not None else None,
            at_home=self.route is None if self.gateway else self.selects is None,
            splits_by_pods=not self.gateway,
            serves=(self.selects or None) if not self.gateway else None,
            released=frozenset(self.released),
            ownerless=bool(self.released),
            narrowed=self.narrowed,
        )

    # ── what happens to it ──

    def moved_by(self, taken: TakenTraffic | None) -> None:
        """The operator comes, and its status says what traffic is moved by: other routes stay as they are."""
        before, spec = self.traffic or self.spec.traffic, self.spec.traffic
        if taken is None or taken == named_by(spec):
            self.traffic = None
        elif taken != named_by(before):
            self.traffic = spec.model_copy(update=dict(taken))
        after = self.traffic or spec
        if named_by(after) != self.split_by:
            self.others[str(self.split_by)] = self.route
            self.split_by = named_by(after)
            self.route = self.others.pop(str(self.split_by), None)

    def ask(self, spec: Spec) -> None:
        self.spec, self.generation = spec, self.generation + 1

    def say(self, command: str, value: str | None = "true", author: Author = PERSON) -> None:
        """Somebody annotates the rollout. The same value once more is no write to the API server."""
        annotation = f"modelrollout.io/{command}"
        if self.annotations.get(annotation) == value:
            return
        self.version += 1
        if value is None:
            self.annotations.pop(annotation)
        else:
            self.annotations[annotation], self.authors[annotation] = value, author

    def scale(self, replicas: int) -> None:
        self.ask(self.spec.model_copy(update={"replicas": replicas}))

    def propagate(self) -> None:
        """EndpointSlices follow what Services select and which pods are ready."""
        self.endpoints = {
            role: ({revision: ready} if revision and (ready := self._selected(role, revision)) else {})
            for role, revision in self.services.items()
        }
        self.unlisted = self.out(self.services.get("stable")) if self.narrowed else 0

    def _selected(self, role: Role, revision: str) -> int:
        return self.in_rotation(revision) if role == "stable" else self.ready(revision)

    def kill(self, revision: str, count: int = 1) -> None:
        """Pods die; the Deployment makes new ones, which load again."""
        pods = self.pods[revision]
        alive = sorted(pods.ready_at)
        pods.out = max(0, min(pods.out, self.ready(revision) - count))
        pods.ready_at = alive[count:] + [self.now + self.loading] * min(count, len(alive))

    def judge(
        self, verdict: str, message: str = "", *, looks: int = 0, proven_at: float | None = None
    ) -> None:
        kind = VerdictKind(verdict)
        self.judgement = Judgement(kind, self.now, verdict, message, looks=looks, proven_at=proven_at)

    def evaluate(self, state: Verdict, sentence: str = "") -> None:
        """The runs under way come to this."""
        self.gates = {
            name: replace(gate, state=state, sentence=sentence) for name, gate in self.gates.items()
        }

    def drift(self, split: Split | None, writer: str = "kubectl-edit") -> None:
        """Someone else writes the route."""
        if self.gateway:
            self.route = split
        else:
            self.selects = self.services["canary" if split is not None and split.canary else "stable"]
        self.writer = writer

    def apply(self, action: Action) -> None:
        self.calls.append(action)
        match action:
            case EnsureRevision() | RestoreRevision() | Scale() | RestartPods():
                self._deploy(action)
            case PointService(role, revision):
                self.services[role] = revision
                self.narrowed = self.narrowed and role != "stable"
            case Rest() | Narrow() | Widen():
                self._rotate(action)
            case PointNamed(revision):
                self.named = revision
            case SetTraffic(split):
                self._route(split)
            case DeleteRevision(revision):
                self.pods.pop(revision, None)
            case TakeOff(annotation, value, mark):
                if self.annotations.get(annotation) == value:
                    del self.annotations[annotation]
                    self.annotations[LAST_ORDER] = mark
                    self.version += 1
            case RunEvaluation(name, revision, run=run):
                self.gates[name] = Gate(revision, run, "running")
            case HandBack() | Release() | Adopt():
                self._leave(action)

    def _deploy(self, action: EnsureRevision | RestoreRevision | Scale | RestartPods) -> None:
        revision = action.revision
        match action:
            case EnsureRevision() | RestoreRevision() if revision not in self.pods:
                self.created.append(revision)
                self.pods[revision] = Pods(0)
                self._resize(revision, action.replicas)
            case EnsureRevision() | RestoreRevision() | Scale():
                if revision in self.pods:
                    self._resize(revision, action.replicas)
            case RestartPods():
                self.restarted[revision] = action.at
                self.kill(revision)  # the first; the others follow as each is replaced

    def _rotate(self, action: Rest | Narrow | Widen) -> None:
        match action:
            case Rest(revision, count):
                if revision in self.pods:
                    self.pods[revision].out = min(count, self.ready(revision))
            case Narrow(revision) | Widen(revision):
                if self.services.get("stable") == revision:
                    self.narrowed = isinstance(action, Narrow)

    def _leave(self, action: HandBack | Release | Adopt) -> None:
        match action:
            case HandBack(service):
                self.route = None
                if service:
                    self.named, self.selects = None, None
            case Release(revision):
                self.released.add(revision)
            case Adopt():
                self.released.clear()

    def _resize(self, revision: str, replicas: int) -> None:
        pods = self.pods[revision]
        pods.wanted = replicas
        gone = max(0, len(pods.ready_at) - replicas)
        pods.out = max(0, pods.out - gone)  # they cost least
        pods.ready_at = sorted(pods.ready_at)[:replicas]
        pods.ready_at += [self.now + self.loading] * (replicas - len(pods.ready_at))

    def _route(self, split: Split) -> None:
        if not self.says(split):
            return
        self.writer = None
        if self.gateway:
            self.route = split
        elif split.canary in (0, 100):
            self.selects = self.services["canary" if split.canary else "stable"]
        else:
            self.selects = ""

    def says(self, split: Split) -> bool:
        """Without a gateway the router refuses to send all users to a role that has no revision of ours."""
        if self.gateway or split.canary not in (0, 100):
            return True
        return self.services.get("canary" if split.canary else "stable") is not None

    # ── what users feel ──

    def shares(self) -> dict[str, float]:
        """Percent of the users that each revision is meant to answer."""
        if not self.gateway and self.selects:
            return {self.selects: 100.0}
        split = self.reading()
        if split is None:
            return {}
        shares: dict[str, float] = {}
        for role, share in (("stable", 100 - split.canary), ("canary", split.canary)):
            revision = self.services.get("stable" if role == "stable" else "canary")
            if revision is not None and share:
                shares[revision] = shares.get(revision, 0) + share
        return shares


class Died(Exception):
    """The operator was killed."""


@dataclass
class Operator:
    """The thinnest loop around the brain; what survives its death is `status` alone."""

    world: World
    status: Status = field(default_factory=Status)
    writes: int = 0
    calls_left: int | None = None
    """API calls until it dies; None: it does not."""
    plans: list[Plan] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    due: float = START
    """For scripts: until when the events so far have lasted."""
    last: tuple[tuple[Spec, Status, Observed, float], Plan] | None = None
    """The latest decision and what it was made of. To decide is pure, so the same is not decided twice."""

    def decided(self) -> Plan:
        self.world.moved_by(self.status.taken)
        seen = (self.world.effective, self.status, self.world.observe(), self.world.now)
        if self.last is None or self.last[0] != seen:
            self.last = (seen, decide(*seen))
        return self.last[1]

    def run_once(self) -> Plan:
        plan = self.decided()
        self.plans.append(plan)
        self.notes += [note.reason for note in plan.notes]
        if plan.status is not self.status and plan.status != self.status:
            self._call()
            self.status = plan.status
        for action in plan.actions:
            self._call()
            self.world.apply(action)
        return plan

    def _call(self) -> None:
        if self.calls_left == 0:
            raise Died
        if self.calls_left is not None:
            self.calls_left -= 1
        self.writes += 1

    def count(self, stable: tuple[float, float], canary: tuple[float, float]) -> None:
        """A look closes in which the experiment or the bandit in progress counted (hits, users) of both
        arms."""
        world = self.world
        view = View(world.effective, self.status, world.observe(), world.now)
        known, step = contest.running(view), self.status.step
        assert known is not None
        assert step is not None
        tally = contest.tally(view) or Tally(contest.key(step) or "")
        look = Look(max(tally.until, world.now - 30), world.now)
        world.tally = tally.fold(look, Count(*stable), Count(*canary), known[2])

    def settle(self, limit: int = 60) -> Plan:
        """Passes until there is nothing to do at this moment."""
        for _ in range(limit):
            before = self.status
            plan = self.run_once()
            self.world.propagate()
            if not plan.actions and (self.status is before or self.status == before):
                return plan
        raise AssertionError(f"not at rest after {limit} passes: {self.status.message} {plan.actions}")

    def wait(self, seconds: float) -> Plan:
        """Time goes by, with passes whenever the brain asked for one or a pod changed."""
        end = self.world.now + seconds
        while True:
            plan = self.settle()
            moments = [moment for pods in self.world.pods.values() for moment in pods.ready_at]
            if plan.requeue is not None:
                moments.append(self.world.now + plan.requeue)
            ahead = [moment for moment in moments if self.world.now < moment <= end]
            if not ahead:
                break
            self.world.now = min(ahead)
            self.world.propagate()
        self.world.now = end
        self.world.propagate()
        return self.settle()

    def judged(self, seconds: float, verdict: str = "Pass", every: float = 30.0) -> Plan:
        """Time goes by with a look at each interval."""
        plan = self.settle()
        for _ in range(int(seconds // every)):
            plan = self.wait(every)
            if plan.collect:
                self.world.judge(verdict)
                plan = self.settle()
        return plan


def installed(spec: Spec | None = None, **world: Any) -> Operator:
    """A rollout whose first revision serves."""
    return _alike(_installed, spec or spec_of(), **world)


def on_trial(spec: Spec | None = None, image: str = "vllm:2", **changes: Any) -> Operator:
    """A second revision at the first step of its rollout."""
    return _alike(_on_trial, spec or spec_of(), image=image, **changes)


def _installed(spec: Spec, **world: Any) -> Operator:
    operator = Operator(World(spec, **world))
    operator.wait(LOADING)
    assert operator.status.phase == "Stable", operator.status.message
    return operator


def _on_trial(spec: Spec, image: str, **changes: Any) -> Operator:
    operator = installed(spec)
    operator.world.ask(operator.world.spec.model_copy(update={"runtime": spec_of(image).runtime, **changes}))
    operator.wait(LOADING)
    return operator


_PLAYED: dict[str, Operator] = {}


def _alike(begin: Callable[..., Operator], spec: Spec, **given: Any) -> Operator:
    """Many tests begin alike: what has been played once is copied."""
    key = f"{begin.__name__} {spec!r} {given!r}"
    if key not in _PLAYED:
        _PLAYED[key] = begin(spec, **given)
    played = _PLAYED[key]
    return replace(played, world=fresh_copy(played.world), plans=list(played.plans), notes=list(played.notes))


def fresh_copy(world: World) -> World:
    changing = {
        name: copy(value) for name, value in vars(world).items() if isinstance(value, dict | list | set)
    }
    changing["pods"] = {
        name: replace(each, ready_at=list(each.ready_at)) for name, each in world.pods.items()
    }
    changing["endpoints"] = {role: dict(counts) for role, counts in world.endpoints.items()}
    return replace(world, **changing)
