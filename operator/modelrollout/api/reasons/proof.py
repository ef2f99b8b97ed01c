"""Reasons of the steps that an evaluation, an experiment or a bandit ends."""

from __future__ import annotations

from modelrollout.api.reasons.reason import Reason

EVALUATING = Reason("Evaluating", "Step {step}: evaluation {name} of revision {revision} is under way{said}")
EVALUATION_HOLDS = Reason(
    "EvaluationHolds",
    "Step {step}: evaluation {name} can neither pass nor fail revision {revision}: {said}. Nothing moves "
    "until it can, or until a person passes the step: annotate {annotation}=step@{number}",
    warning=True,
    transition="waiting",
)
CONTEST_PLANNED = Reason("ContestPlanned", "Step {step}: {name} takes {planned}")
CONTEST_RUNS = Reason("ContestRuns", "Step {step}: {name} goes on; {said}")
BANDIT_MOVED = Reason(
    "BanditMoved",
    "Step {step}: {name} moves from {before} to {weight} %; the new revision is the better one with a "
    "probability of {chance} %",
)
CONTEST_DECIDED = Reason("ContestDecided", "Step {step}: {name} has ended: {said}")
CONTEST_HOLDS = Reason(
    "ContestHolds",
    "Step {step}: {name} has ended: {said}. Nothing moves until a person passes the step with the annotation "
    "{annotation}=step@{number}, or aborts",
    warning=True,
    transition="waiting",
)
