"""The rule that turns the evidence of all metrics into one verdict. The order of its clauses matters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from modelrollout.analysis.betting.ladder import WHOLE, StepTerms
from modelrollout.analysis.betting.mixture import log_sum
from modelrollout.analysis.evidence.sentences import chance, names, plain, summary
from modelrollout.analysis.inputs.metric import Kind, Metric
from modelrollout.analysis.inputs.observation import Problem, ProblemKind
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.kinds.reading import Reading

MOST_INVALID = 0.2
"""A metric whose looks were refused more often than this proves nothing."""
_BLAME = 0.1


class VerdictKind(StrEnum):
    PASS = "Pass"  # noqa: S105
    FAIL = "Fail"
    INSUFFICIENT = "Insufficient"
    PROVIDER_ERROR = "ProviderError"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one metric stands after a look."""

    metric: Metric
    reading: Reading
    used: int
    """Looks folded into its evidence."""
    invalid: int
    noise_known: bool
    heard: int = 0
    """Looks of this step in which both arms had traffic for it."""
    problem: Problem | None = None
    """Why the latest look could not be used for it."""
    remark: str = ""
    """What is to be known of the latest look."""

    summary: str = field(init=False)
    """The numbers as a sentence without its full stop."""

    def __post_init__(self) -> None:
        text = summary(self.metric, self.reading)
        object.__setattr__(self, "summary", f"{text}; {self.remark}" if self.remark else text)

    @property
    def proven(self) -> float:
        """Log of the e-value that it is not worse."""
        return self.reading.log_promote


@dataclass(frozen=True, slots=True)
class StepProgress:
    """How many looks the step in progress has had, and what it has to prove."""

    looks: int
    terms: StepTerms = WHOLE
    silent: int = 0
    """Pods of the canary that did not answer in the latest look."""


@dataclass(frozen=True, slots=True)
class Decision:
    kind: VerdictKind
    reason: str
    message: str


def log_combined(plan: Plan, standings: Mapping[str, Standing], counted: bool = False) -> float:
    """Log of the weighted average of the evidence against the canary, over the metrics that may revert;
    `counted`: as far as it may count now.

    An average of e-values is an e-value whatever ties the metrics together, so many metrics cost no
    correction beyond their share of the weight.
    """
    parts = _parts(plan, standings, counted)
    return log_sum(parts.values()) if parts else 0.0


def _parts(plan: Plan, standings: Mapping[str, Standing], counted: bool) -> dict[str, float]:
    reverting = {name: s for name, s in standings.items() if s.metric.reverts}
    weight = sum(s.metric.weight for s in reverting.values())
    return {
        name: math.log(s.metric.weight / weight) + (_counted(plan, s) if counted else s.reading.log_revert)
        for name, s in reverting.items()
    }


def _counted(plan: Plan, standing: Standing) -> float:
    """Evidence against the canary as far as it may count: at first none where the noise is unknown."""
    early = not standing.noise_known and standing.used < plan.looks_without_history
    log_revert = standing.reading.log_revert
    return min(log_revert, 0.0) if early else log_revert


def decide(plan: Plan, standings: Mapping[str, Standing], step: StepProgress) -> Decision:
    rules = (_catastrophe, _worse, _too_early, _suspect, _unusable, _passes)
    for rule in rules:
        if (decision := rule(plan, standings, step)) is not None:
            return decision
    return _more_needed(plan, standings, step)


def _catastrophe(plan: Plan, standings: Mapping[str, Standing], _step: StepProgress) -> Decision | None:
    watched = {n: s for n, s in standings.items() if s.metric.reverts and s.metric.catastrophic is not None}
    if not watched:
        return None
    logs = {name: s.reading.log_catastrophic or 0.0 for name, s in watched.items()}
    if log_sum(logs.values()) - math.log(len(logs)) < -math.log(plan.catastrophic_risk):
        return None
    name = max(logs, key=lambda n: logs[n])
    metric = watched[name].metric
    limit = 100 * (metric.catastrophic or 0.0)
    beyond = (
        f"more than {limit:g} %"
        if metric.tolerance.ratio == 0
        else f"more than {limit:g} points beyond the control"
    )
    first = plain(metric, watched[name].reading)
    message = f"{first}. {name} has broken down, it is bad in {beyond}: {watched[name].summary}."
    return Decision(VerdictKind.FAIL, "Catastrophic", message)


def _worse(plan: Plan, standings: Mapping[str, Standing], _step: StepProgress) -> Decision | None:
    total = log_combined(plan, standings, counted=True)
    if total < -math.log(plan.revert_risk):
        return None
    parts = _parts(plan, standings, counted=True)
    blamed = sorted((n for n in parts if parts[n] >= total + math.log(_BLAME)), key=lambda n: -parts[n])
    details = "; ".join(f"{n}: {standings[n].summary}" for n in blamed[:3])
    first = plain(standings[blamed[0]].metric, standings[blamed[0]].reading)
    message = (
        f"{first}. The canary is worse on {names(blamed)} "
        f"(risk of error {chance(plan.false_revert_risk)}). {details}."
    )
    return Decision(VerdictKind.FAIL, "CanaryWorse", message)


def _too_early(plan: Plan, standings: Mapping[str, Standing], _step: StepProgress) -> Decision | None:
    """Strong evidence from a service whose noise nobody knows: it may be one bad minute."""
    if log_combined(plan, standings) < -math.log(plan.revert_risk):
        return None
    parts = _parts(plan, standings, counted=False)
    name = max(parts, key=lambda n: parts[n])
    standing = standings[name]
    message = (
        f"The canary looks worse on {name}, but without history nobody knows how noisy it is: a revert waits "
        f"for {plan.looks_without_history} looks, {standing.used} were used. "
        f"{standing.summary}."
    )
    return Decision(VerdictKind.INSUFFICIENT, "NoiseUnknown", message)


def _suspect(plan: Plan, standings: Mapping[str, Standing], _step: StepProgress) -> Decision | None:
    limit = -math.log(plan.revert_risk)
    held = [n for n, s in standings.items() if not s.metric.reverts and s.reading.log_revert >= limit]
    if not held:
        return None
    details = "; ".join(f"{n}: {standings[n].summary}" for n in held[:3])
    differing = [standings[n] for n in held if standings[n].metric.kind is Kind.DRIFT]
    if differing:
        first = differing[0]
        message = f"{first.metric.implies}; a person decides. {details}."
        return Decision(VerdictKind.INSUFFICIENT, "HeldByMetric", message)
    message = (
        f"The canary looks worse on {names(held)}, which only holds a rollout; a person decides. {details}."
    )
    return Decision(VerdictKind.INSUFFICIENT, "HeldByMetric", message)


def _unusable(plan: Plan, standings: Mapping[str, Standing], _step: StepProgress) -> Decision | None:
    critical = {name: standings[name] for name in plan.critical}
    problems = {name: s.problem for name, s in critical.items() if s.problem is not None}
    waiting = {name: s.reading.waiting for name, s in critical.items() if s.reading.waiting is not None}
    broken = [name for name, p in problems.items() if p.kind is ProblemKind.PROVIDER_ERROR]
    if broken:
        message = f"The metrics provider gave no answer for {names(broken)}: {problems[broken[0]].message}"
        return Decision(VerdictKind.PROVIDER_ERROR, "ProviderError", message)
    for name, problem in (waiting | problems).items():
        return Decision(VerdictKind.INSUFFICIENT, problem.kind.value, f"{name}: {problem.message}")
    for name, s in critical.items():
        if s.invalid > MOST_INVALID * (s.used + s.invalid):
            message = f"{name}: {s.invalid} of {s.used + s.invalid} looks had numbers that are no counts."
            return Decision(VerdictKind.INSUFFICIENT, "TooManyInvalid", message)
    return None


def _passes(plan: Plan, standings: Mapping[str, Standing], step: StepProgress) -> Decision | None:
    needed = -math.log(plan.miss_risk)
    asked = _asked(plan, standings, step)
    if any(standings[name].proven < needed for name in asked):
        return None
    if step.looks < plan.minimum_looks:
        message = f"Every metric is proven, after {step.looks} of at least {plan.minimum_looks} looks."
        return Decision(VerdictKind.INSUFFICIENT, "TooFewLooks", message)
    if step.silent:
        pods = "1 pod" if step.silent == 1 else f"{step.silent} pods"
        message = (
            f"Every metric is proven, but {pods} of the canary answered no scrape in this look, so what "
            "users got from there is not counted: the step waits for it."
        )
        return Decision(VerdictKind.INSUFFICIENT, "PodsSilent", message)
    exempt = sorted(set(plan.critical) - set(asked))
    if (unheard := _unheard(plan, standings, exempt)) is not None:
        return unheard
    why = ""
    if exempt:
        why = (
            f" {names(exempt)} can only speak against the canary here, because its pods carry another load "
            "than the control's; a later step has to prove it."
        )
    if not asked:
        message = f"Nothing speaks against the canary after {step.looks} looks of this step.{why}"
        return Decision(VerdictKind.PASS, "NotAsked", message)
    details = "; ".join(f"{n}: {standings[n].summary}" for n in asked[:3])
    more = f" by more than {step.terms.margin:g} times the tolerance" if step.terms.margin > 1 else ""
    risk = f"risk of error {chance(plan.miss_risk)}"
    message = f"The canary is not worse{more} on {names(asked)} ({risk}). {details}.{why}"
    return Decision(VerdictKind.PASS, "NotWorse", message)


def _unheard(plan: Plan, standings: Mapping[str, Standing], exempt: list[str]) -> Decision | None:
    """What a step does not have to prove must at least have been counted in it: silence passes nothing."""
    for name in exempt:
        heard = standings[name].heard
        if heard < plan.minimum_looks:
            message = (
                f"{name} need not be proven in this step, because the pods of the arms carry different load, "
                f"but it must be seen: both had traffic in {heard} of at least {plan.minimum_looks} looks."
            )
            return Decision(VerdictKind.INSUFFICIENT, "TooFewLooks", message)
    return None


def _asked(plan: Plan, standings: Mapping[str, Standing], step: StepProgress) -> list[str]:
    """The metrics that this step has to prove."""
    return sorted(name for name in plan.critical if not step.terms.exempts(standings[name].metric))


def _more_needed(plan: Plan, standings: Mapping[str, Standing], step: StepProgress) -> Decision:
    needed = -math.log(plan.miss_risk)
    behind = sorted(_asked(plan, standings, step), key=lambda name: standings[name].proven)
    last = standings[behind[0]]
    done = min(max(last.proven / needed, 0.0), 1.0)
    message = (
        f"Not decided after {step.looks} looks of this step: {behind[0]} has {100 * done:.0f} % of the "
        f"evidence to pass. {last.summary}."
    )
    return Decision(VerdictKind.INSUFFICIENT, "MoreLooksNeeded", message)
