"""Evaluations: steps that only a passed evaluation of the canary opens.

The plan of a pass asks for a run; the engine runs it and reports its state in `Observed.gates`. An answer
counts only for the run that was asked for: one revision, in one stay at one step. A verdict that passed or
failed the revision is kept in status, so that it outlives the Job that found it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from modelrollout.api.evaluations import EvaluationStatus, Found, ValidResult
from modelrollout.api.printable import printable
from modelrollout.api.stages import Evaluate
from modelrollout.api.status import StepStatus
from modelrollout.rollout.actions import RunEvaluation
from modelrollout.rollout.model import Gate
from modelrollout.rollout.view import Change, View

State = Literal["running", "passed", "failed", "error", "insufficient"]

VERDICTS: Mapping[State, Found | None] = {
    "running": None,
    "passed": "Pass",
    "failed": "Fail",
    "insufficient": "Insufficient",
    "error": "ProviderError",
}
"""State of a run -> the verdict that status says."""
DECIDED: Mapping[Found | None, State] = {"Pass": "passed", "Fail": "failed"}
"""Verdicts that nothing can change any more."""
INVALID: frozenset[Found | None] = frozenset({"Insufficient", "ProviderError"})
"""Verdicts that neither pass nor fail a revision."""
PROMOTED, SCHEDULED, DRIFTED = "promoted@", "schedule@", "drift@"
"""How the names of runs on the revision that serves begin; those of steps begin with a number."""
MOST = 16
"""Evaluations that status has room for."""


def is_standing(run: str) -> bool:
    """The run is about the revision that serves, and not about one at a step."""
    return run.startswith((PROMOTED, SCHEDULED, DRIFTED))


def run_of(step: StepStatus) -> str | None:
    """The name of the run that belongs to this stay at a step; None before its clock has started."""
    return f"{step.index}@{step.started_at}" if step.started_at is not None else None


def asked(view: View) -> RunEvaluation | None:
    """The run that the step in progress waits for. None: it waits for none, or its clock has not started."""
    step, canary = view.step, view.canary
    if not isinstance(view.stage, Evaluate) or canary is None or step is None:
        return None
    run = run_of(step)
    return RunEvaluation(view.stage.name, canary, step.index, run) if run is not None else None


def answer(view: View) -> Gate | None:
    """What is known of that run; None when nothing is."""
    return answer_to(view, wanted) if (wanted := asked(view)) is not None else None


def answer_to(view: View, wanted: RunEvaluation) -> Gate | None:
    """What is known of a run; None when nothing is. The answer to an older run is not an answer to it."""
    for each in view.status.evaluations:
        same = (each.name, each.revision, each.run) == (wanted.name, wanted.revision, wanted.run)
        if same and (state := DECIDED.get(each.verdict)) is not None:
            return Gate(each.revision, each.run, state, each.message, each.attempt, each.job)
    gate = view.observed.gates.get(wanted.name)
    return gate if gate is not None and (gate.revision, gate.run) == (wanted.revision, wanted.run) else None


def runs(view: View) -> tuple[RunEvaluation, ...]:
    """The run that the step waits for, where it is to be started now. A paused rollout starts none."""
    wanted = asked(view)
    return started(view, wanted) if wanted is not None and not view.paused else ()


def started(view: View, wanted: RunEvaluation) -> tuple[RunEvaluation, ...]:
    """The run, where it is to be started now, or once more after an error."""
    gate = answer_to(view, wanted)
    if gate is None:
        return (wanted,)
    if gate.state != "error" or gate.again_at is None or view.now < gate.again_at:
        return ()
    return (replace(wanted, attempt=gate.attempt + 1),)


def take_answers(view: View) -> Change | None:
    """What became of the runs of evaluations is kept, so that it outlives their Jobs."""
    found = known(view)
    return view.change(evaluations=found) if found != view.status.evaluations else None


def known(view: View) -> list[EvaluationStatus]:
    """The last run of each evaluation for status. One that is not heard of any more stays as it was."""
    found = {each.name: each for each in view.status.evaluations}
    for name, gate in sorted(view.observed.gates.items()):
        before = found.get(name)
        verdict = VERDICTS[gate.state]
        valid, stale = (before.valid, before.stale) if before is not None else (None, False)
        if is_standing(gate.run):
            stale = stale or verdict in INVALID
            if verdict == "Pass" or verdict == "Fail":  # noqa: PLR1714 - so that mypy narrows it
                valid, stale = ValidResult(verdict=verdict, revision=gate.revision, at=view.at), False
        now = EvaluationStatus(
            name=name,
            revision=gate.revision,
            run=gate.run,
            job=gate.job,
            attempt=gate.attempt,
            verdict=verdict,
            message=printable(gate.sentence)[:1024],
            at=view.at,
            valid=valid,
            stale=stale,
        )
        found[name] = before if before is not None and _same(before, now) else now
    return list(found.values())[-MOST:]


def _same(before: EvaluationStatus, now: EvaluationStatus) -> bool:
    """It is no news. A verdict that has been reached is kept, whatever is seen of its Job later."""
    one_run = (before.name, before.revision, before.run) == (now.name, now.revision, now.run)
    kept = {"at": before.at, "valid": before.valid}
    return one_run and (before.verdict in DECIDED or now.model_copy(update=kept) == before)
