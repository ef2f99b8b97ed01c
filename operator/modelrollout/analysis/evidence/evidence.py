"""The evidence of one rollout: fold looks in, get verdicts out, store and restore in between.

    evidence = Evidence.fresh(plan)
    evidence, verdict = evidence.fold(look, {"errors": Observation(Ratio(3, 100), Ratio(0, 100))})
    state = evidence.to_state()                      # JSON-able; Evidence.from_state(plan, state) goes on

Everything is immutable and nothing knows a clock. Of every look the evidence is folded once or never: the
cursor is stored with it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from modelrollout.analysis.betting.ladder import WHOLE, StepTerms
from modelrollout.analysis.betting.mixture import e_value
from modelrollout.analysis.evidence import load
from modelrollout.analysis.evidence.decision import (
    Decision,
    Standing,
    StepProgress,
    VerdictKind,
    decide,
    log_combined,
)
from modelrollout.analysis.evidence.sentences import cut_off
from modelrollout.analysis.evidence.verdict import Verdict, metric_evidence
from modelrollout.analysis.inputs.metric import Metric
from modelrollout.analysis.inputs.observation import Arm, Look, Observation, Problem, ProblemKind
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.kinds import checks
from modelrollout.analysis.kinds.latency import LatencyTest
from modelrollout.analysis.kinds.reading import Test
from modelrollout.analysis.kinds.shares import SharesTest
from modelrollout.analysis.kinds.tests_by_kind import fresh_test, load_test

_VERSION = 4
_ROUNDING = 0.001
"""Seconds; ends of looks are sums of floats."""


class AlreadyFolded(ValueError):
    """The look, or a later one, is part of the evidence already."""


class StateMismatch(ValueError):
    """The stored evidence belongs to another plan or another version, or is damaged."""


@dataclass(frozen=True, slots=True)
class _Entry:
    test: Test
    used: int = 0
    invalid: int = 0
    heard: int = 0
    """Looks of this step in which it counted traffic in both arms."""
    settle: float = 0.0
    """Seconds after a change of the split that it waits; stored, because it was measured."""


@dataclass(frozen=True, slots=True)
class _Step:
    """Since promotion evidence began anew."""

    start: float | None = None
    unbroken: float | None = None
    """Begin of the looks that follow each other without a gap: the split was the same through all of them."""
    looks: int = 0
    terms: StepTerms = WHOLE


@dataclass(frozen=True, slots=True)
class Evidence:
    plan: Plan
    entries: Mapping[str, _Entry]
    cursor: float | None
    """End of the last look, unix seconds; None before the first."""
    looks: int
    step: _Step
    failed: Decision | None
    """Fail is final: evidence that crossed its limit once has crossed it."""

    @classmethod
    def fresh(cls, plan: Plan) -> Evidence:
        entries = {
            metric.name: _Entry(fresh_test(metric, plan), settle=metric.settle) for metric in plan.metrics
        }
        return cls(plan, entries, None, 0, _Step(), None)

    def fold(self, look: Look, observations: Mapping[str, Observation]) -> tuple[Evidence, Verdict]:
        """The evidence after one more look, and what it says. A metric without an observation has no data.

        AlreadyFolded for a look that begins before the last one ended; ValueError for an unknown metric.
        """
        self._refuse(look, observations)
        entries, problems, remarks = {}, {}, {}
        step = self._stepped(look)
        age = look.start - (step.unbroken or 0.0)
        for metric in self.plan.metrics:
            seen = observations.get(metric.name)
            entries[metric.name], problem = _fold(metric, self.entries[metric.name], seen, age)
            if problem is not None:
                problems[metric.name] = problem
            elif seen is not None and (remark := load.remark(metric, seen.load) or cut_off(seen)):
                remarks[metric.name] = remark
        after = replace(self, entries=entries, cursor=look.end, looks=self.looks + 1, step=step)
        silent = max((seen.silent for seen in observations.values()), default=0)
        return after._judge(problems, remarks, silent)

    def _stepped(self, look: Look) -> _Step:
        """The step with one more look. A gap before it means that the split was changed meanwhile."""
        step, follows = self.step, self.cursor is not None and look.start <= self.cursor + _ROUNDING
        start = look.start if step.start is None else step.start
        unbroken = look.start if step.unbroken is None or not follows else step.unbroken
        return replace(step, start=start, unbroken=unbroken, looks=step.looks + 1)

    def _refuse(self, look: Look, observations: Mapping[str, Observation]) -> None:
        if not (math.isfinite(look.start) and math.isfinite(look.end) and look.start < look.end):
            raise ValueError(
                f"A look ends after it starts; this one goes from {look.start:g} to {look.end:g}."
            )
        if self.cursor is not None and look.start < self.cursor:
            raise AlreadyFolded(
                f"The look from {look.start:.3f} to {look.end:.3f} begins before {self.cursor:.3f}, "
                "up to where looks are folded already."
            )
        if unknown := set(observations) - set(self.entries):
            raise ValueError(f"No metric of the plan is called {', '.join(sorted(unknown))}.")

    def standings(
        self, problems: Mapping[str, Problem] | None = None, remarks: Mapping[str, str] | None = None
    ) -> Mapping[str, Standing]:
        """Where each metric stands now; `problems` and `remarks` are about the latest look."""
        problems, remarks = problems or {}, remarks or {}
        return {
            metric.name: Standing(
                metric,
                entry.test.reading(),
                entry.used,
                entry.invalid,
                entry.test.noise_known,
                entry.heard,
                problems.get(metric.name),
                remarks.get(metric.name, ""),
            )
            for metric, entry in ((metric, self.entries[metric.name]) for metric in self.plan.metrics)
        }

    def _judge(
        self, problems: Mapping[str, Problem], remarks: Mapping[str, str], silent: int
    ) -> tuple[Evidence, Verdict]:
        standings = self.standings(problems, remarks)
        progress = StepProgress(self.step.looks, self.step.terms, silent)
        decision = self.failed or decide(self.plan, standings, progress)
        failed = decision if decision.kind is VerdictKind.FAIL else None
        verdict = Verdict(
            decision.kind,
            decision.reason,
            decision.message,
            {name: metric_evidence(self.plan, standing) for name, standing in standings.items()},
            e_value(log_combined(self.plan, standings)),
            self.looks,
            self.step.looks,
        )
        return replace(self, failed=failed), verdict

    def restart_promotion(self, terms: StepTerms = WHOLE) -> Evidence:
        """Begin a step: `terms` say what it has to prove and whether evidence for the canary goes on.
        Evidence against the canary goes on, at the tolerance itself."""
        entries = {
            name: replace(entry, test=entry.test.begin_step(terms), heard=0)
            for name, entry in self.entries.items()
        }
        return replace(self, entries=entries, step=_Step(terms=terms))

    @property
    def coarse(self) -> frozenset[str]:
        """The histograms whose buckets are too coarse, so that their means must be counted."""
        return frozenset(
            name
            for name, entry in self.entries.items()
            if isinstance(entry.test, LatencyTest) and entry.test.coarse is not None
        )

    @property
    def asked(self) -> tuple[str, ...]:
        """The metrics that the step in progress has to prove."""
        fixed = {metric.name: metric for metric in self.plan.metrics}
        return tuple(n for n in self.plan.critical if not self.step.terms.exempts(fixed[n]))

    def to_state(self) -> dict[str, Any]:
        """Everything `from_state` needs, JSON-able; restored evidence goes on bit for bit."""
        step = self.step
        state: dict[str, Any] = {
            "version": _VERSION,
            "plan": _fingerprint(self.plan),
            "cursor": self.cursor,
            "looks": self.looks,
            "step": {
                "start": step.start,
                "unbroken": step.unbroken,
                "looks": step.looks,
                **asdict(step.terms),
            },
            "metrics": {
                name: {
                    "used": e.used,
                    "invalid": e.invalid,
                    "heard": e.heard,
                    "settle": e.settle,
                    **e.test.dump(),
                }
                for name, e in self.entries.items()
            },
        }
        if self.failed is not None:
            state["failed"] = {"reason": self.failed.reason, "message": self.failed.message}
        return state

    @classmethod
    def from_state(cls, plan: Plan, state: Mapping[str, Any]) -> Evidence:
        """The evidence as stored. StateMismatch when it was not stored with this plan."""
        if state.get("version") != _VERSION or state.get("plan") != _fingerprint(plan):
            raise StateMismatch(
                "The stored evidence belongs to another analysis: its metrics, tolerances or risks are not "
                "the plan's. Start with fresh evidence."
            )
        try:
            return cls._restore(plan, state)
        except (KeyError, TypeError, ValueError, StopIteration, RuntimeError) as error:
            raise StateMismatch(
                f"The stored evidence is damaged ({error!r}). Start with fresh evidence."
            ) from error

    @classmethod
    def _restore(cls, plan: Plan, state: Mapping[str, Any]) -> Evidence:
        entries, step = {}, state["step"]
        terms = StepTerms(float(step["margin"]), bool(step["carry"]), bool(step["alike"]))
        for metric in plan.metrics:
            stored = state["metrics"][metric.name]
            test = load_test(metric, plan, stored)
            entries[metric.name] = _Entry(
                test.resume_step(terms),
                int(stored["used"]),
                int(stored["invalid"]),
                int(stored["heard"]),
                float(stored["settle"]),
            )
        failed = state.get("failed")
        return cls(
            plan,
            entries,
            None if state["cursor"] is None else float(state["cursor"]),
            int(state["looks"]),
            _Step(
                None if step["start"] is None else float(step["start"]),
                None if step["unbroken"] is None else float(step["unbroken"]),
                int(step["looks"]),
                terms,
            ),
            Decision(VerdictKind.FAIL, failed["reason"], failed["message"]) if failed else None,
        )


def _fold(
    metric: Metric, entry: _Entry, observation: Observation | None, age: float
) -> tuple[_Entry, Problem | None]:
    """`age`: for how long the split had been as it is when the look began."""
    checked = checks.check(metric, observation)
    if isinstance(checked, Problem):
        invalid = entry.invalid + (checked.kind is ProblemKind.INVALID)
        return replace(entry, invalid=invalid), checked
    if age < entry.settle:
        return _unsettled(entry, checked, observation.begun if observation else None)
    blames = load.blames(metric, observation.load if observation else None)
    test = entry.test.fold(*checked, blames)
    if isinstance(test, Problem):
        return entry, test
    silence = checks.silence(metric, *checked)
    heard = entry.heard + (silence is None)
    return replace(entry, test=test, used=entry.used + 1, heard=heard), silence


def _unsettled(entry: _Entry, checked: tuple[Arm, Arm | None], begun: float | None) -> tuple[_Entry, Problem]:
    """Too early to be judged; a breakdown shows even so."""
    if isinstance(entry.test, SharesTest) and begun is not None:
        entry = replace(entry, test=entry.test.fold_breakdown(*checked, begun))
    message = (
        f"The first {entry.settle:.0f} s after the split has changed are not judged: until then mostly the "
        "quick ones of the requests have ended, and the pods are not yet as busy as they will be."
    )
    return entry, Problem(ProblemKind.DROPPED, message)


def _fingerprint(plan: Plan) -> str:
    """What must stay the same from storing to restoring. Not priors and phi: the stored ones hold."""
    metrics = [_fixed(metric) for metric in plan.metrics]
    whole = [metrics, plan.false_revert_risk, plan.miss_risk, plan.planned_looks]
    return hashlib.sha256(json.dumps(whole).encode()).hexdigest()[:16]


def _fixed(m: Metric) -> list[object]:
    tolerance = [m.tolerance.ratio, m.tolerance.absolute, m.catastrophic, *m.bounds]
    ways = [m.watch_noise, m.cap, m.restart, m.is_critical, m.reverts, m.feels_load, list(m.edges)]
    ways += [m.strata] if m.strata else []
    return [m.name, m.kind, m.direction, *tolerance, m.weight, *ways]
