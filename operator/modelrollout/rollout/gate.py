"""Evaluations: steps that only a passed evaluation of the canary opens.

The plan of a pass asks for a run; the engine runs it and reports its state in `Observed.gates`. An answer
counts only for the run that was asked for: one revision, in one stay at one step.
"""

from __future__ import annotations

from modelrollout.api.stages import Evaluate
from modelrollout.rollout.model import Gate, RunEvaluation
from modelrollout.rollout.view import View


def asked(view: View) -> RunEvaluation | None:
    """The run that the step in progress waits for. None: it waits for none, or its clock has not started."""
    step, canary = view.step, view.canary
    if not isinstance(view.stage, Evaluate) or canary is None or step is None or step.started_at is None:
        return None
    return RunEvaluation(view.stage.name, canary, step.index, run=f"{step.index}@{step.started_at}")


def answer(view: View) -> Gate | None:
    """What is known of that run; None when nothing is. The answer to an older run is not an answer to it."""
    if (wanted := asked(view)) is None:
        return None
    gate = view.observed.gates.get(wanted.name)
    return gate if gate is not None and (gate.revision, gate.run) == (wanted.revision, wanted.run) else None


def runs(view: View) -> tuple[RunEvaluation, ...]:
    """The run to be started now. A paused rollout starts none."""
    wanted = asked(view)
    if wanted is None or view.paused or answer(view) is not None:
        return ()
    return (wanted,)
