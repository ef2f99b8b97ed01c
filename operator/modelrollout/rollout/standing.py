"""Evaluations of the revision that serves: after its promotion, again at the
moments of a schedule, and when its requests have drifted from their past.

Each moment names one run. Its answer is found by that name in status, as a step's is. The last valid result
counts until there is another; a run without one holds new rollouts, unless the spec says that it only warns.
"""

from __future__ import annotations

from collections.abc import Iterator

from modelrollout.api import schedule
from modelrollout.api.conditions import Finding
from modelrollout.api.evaluations import Evaluation, EvaluationStatus
from modelrollout.api.reasons.leaving import STANDING_FAILED
from modelrollout.api.reasons.serving import (
    EVALUATION_STALE,
    HELD_BY_STALE,
    NOT_EVALUATED,
    STANDING_PASSED,
    WARNED_BY_STALE,
)
from modelrollout.api.times import stamp, unix
from modelrollout.rollout.actions import RunEvaluation
from modelrollout.rollout.gate import DRIFTED, PROMOTED, SCHEDULED, answer_to, started
from modelrollout.rollout.steady import drifted_since
from modelrollout.rollout.view import View


def standing(view: View) -> list[Evaluation]:
    """Those that are asked of the revision that serves."""
    return [each for each in view.spec.evaluations if each.when not in (None, "beforeTraffic")]


def resting(view: View) -> bool:
    """A revision serves, and none is on its way in or out."""
    return view.stable is not None and not (view.installing or view.rolling or view.reverting)


def due(view: View) -> tuple[RunEvaluation, ...]:
    """The runs that are to be started now."""
    return tuple(run for wanted in _wanted(view) for run in started(view, wanted))


def moments(view: View) -> Iterator[float]:
    """When the next run is due, or due again."""
    if not resting(view):
        return
    for each in standing(view):
        if each.schedule is not None:
            ahead = schedule.following(each.schedule, view.now)
            if ahead is not None:
                yield ahead
    for wanted in _wanted(view):
        if (gate := answer_to(view, wanted)) is not None and gate.again_at is not None:
            yield gate.again_at


def fallen(view: View) -> tuple[Evaluation, EvaluationStatus] | None:
    """The evaluation that the revision that serves has failed, as far as the last valid results say."""
    for each, known in _known(view):
        if known.valid is not None and (known.valid.verdict, known.valid.revision) == ("Fail", view.stable):
            return each, known
    return None


def stale(view: View) -> tuple[Evaluation, EvaluationStatus] | None:
    """An evaluation whose last run had no valid result; first one that holds new rollouts."""
    found = [(each, known) for each, known in _known(view) if known.stale]
    return min(found, key=lambda pair: pair[0].on_stale != "hold", default=None)


def holding(view: View) -> tuple[Evaluation, EvaluationStatus] | None:
    """The stale evaluation for which no new rollout begins."""
    found = stale(view)
    return found if found is not None and found[0].on_stale == "hold" else None


def evaluated(view: View) -> Finding | None:
    """What the evaluations of the revision that serves say; None where it has none."""
    if not standing(view) or view.stable is None:
        return None
    if (fell := fallen(view)) is not None:
        facts = {"revision": view.stable, "name": fell[0].name, "said": fell[1].message}
        return Finding("False", STANDING_FAILED.name, STANDING_FAILED.say(**facts))
    if (old := stale(view)) is not None:
        return Finding("Unknown", EVALUATION_STALE.name, staleness(*old))
    passed = [
        each.name for each, known in _known(view) if known.valid and known.valid.revision == view.stable
    ]
    if not passed:
        return Finding("Unknown", NOT_EVALUATED.name, NOT_EVALUATED.say(revision=view.stable))
    names = ", ".join(passed)
    return Finding("True", STANDING_PASSED.name, STANDING_PASSED.say(revision=view.stable, names=names))


def staleness(each: Evaluation, known: EvaluationStatus) -> str:
    """Since when it has no valid result, why, and what that means."""
    return EVALUATION_STALE.say(
        name=each.name,
        since=f"since {known.valid.at}" if known.valid is not None else "so far",
        said=known.message.rstrip("."),
        effect=HELD_BY_STALE if each.on_stale == "hold" else WARNED_BY_STALE,
    )


def _known(view: View) -> Iterator[tuple[Evaluation, EvaluationStatus]]:
    for each in standing(view):
        for known in view.status.evaluations:
            if known.name == each.name:
                yield each, known


def _wanted(view: View) -> Iterator[RunEvaluation]:
    """The last moment of each evaluation that lies in the time of the revision that serves."""
    if not resting(view) or view.stable is None:
        return
    for each in standing(view):
        run = _moment(view, each)
        if run is not None:
            yield RunEvaluation(each.name, view.stable, None, run, serving=True)


def _moment(view: View, each: Evaluation) -> str | None:
    """The name of the run that its last moment asks for."""
    if each.when == "afterPromotion":
        return _promotion(view)
    if each.when == "onDrift":
        since = drifted_since(view)
        return DRIFTED + since if since is not None else None
    return _scheduled(view, each.schedule or "")


def _promotion(view: View) -> str | None:
    ended = view.status.history[-1:]
    if ended and (ended[0].outcome, ended[0].revision) == ("Promoted", view.stable):
        return PROMOTED + ended[0].at
    return None


def _scheduled(view: View, expression: str) -> str | None:
    """A moment from before the last rollout began was another revision's."""
    since, moment = view.status.started_at or view.status.phase_since, schedule.last(expression, view.now)
    if since is None or moment is None or moment <= unix(since):
        return None
    return SCHEDULED + stamp(moment)
