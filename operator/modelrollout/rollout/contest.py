"""Experiments and bandits: what is fixed when such a step begins, how it goes on, and how it ends.

What was counted comes from the looks (`analysis/contest/tally.py`). An ending is kept in status and never
changes; a changed step begins anew. Time alone ends none: an experiment without users holds its step, and a
bandit without an end waits for a person.
"""

from __future__ import annotations

import math
from functools import lru_cache

from modelrollout.analysis.contest.shares import Difference
from modelrollout.analysis.contest.strata import moved, target
from modelrollout.analysis.contest.tally import Ending, Tally, Terms, ended
from modelrollout.analysis.evidence.decision import VerdictKind
from modelrollout.analysis.packs import measures
from modelrollout.analysis.packs.limits import Unresolvable
from modelrollout.api.contest import Bandit as WrittenBandit
from modelrollout.api.contest import ContestStatus
from modelrollout.api.contest import Experiment as WrittenExperiment
from modelrollout.api.quantities import seconds
from modelrollout.api.reasons.proof import BANDIT_MOVED, CONTEST_DECIDED, CONTEST_PLANNED
from modelrollout.api.stages import Bandit, Contest, Experiment
from modelrollout.api.status import StepStatus
from modelrollout.api.times import unix
from modelrollout.rollout import alarms, steps
from modelrollout.rollout.changes import but
from modelrollout.rollout.notes import note
from modelrollout.rollout.view import Change, View

DAY = 86_400.0


def key(step: StepStatus) -> str | None:
    """Names the contest of a step, so that nothing that was counted of another one counts for it."""
    return f"{step.index}@{step.contest.since}" if step.contest is not None else None


@lru_cache(maxsize=256)
def terms_of(stage: Contest) -> Terms | None:
    """None where it cannot be counted; `Accepted` says why then."""
    try:
        return measures.terms_of(stage)
    except Unresolvable:
        return None


def running(view: View) -> tuple[Contest, ContestStatus, Terms] | None:
    """The contest of the step in progress, once it was fixed; None where the step is of another kind."""
    stage, step = view.stage, view.step
    if not isinstance(stage, Experiment | Bandit) or step is None or step.contest is None:
        return None
    terms = terms_of(stage)
    return (stage, step.contest, terms) if terms is not None else None


def tally(view: View) -> Tally | None:
    """What was counted of it so far."""
    found = view.observed.tally
    return found if found is not None and view.step is not None and found.key == key(view.step) else None


# ── how it begins ───────────────────────────────────────────────────────────────────────────────


def fix(view: View) -> Change | None:
    """What it takes is fixed, and said, before the first user of it is counted."""
    stage, step = view.stage, view.step
    if not isinstance(stage, Experiment | Bandit) or step is None or step.contest is not None:
        return None
    terms = terms_of(stage)
    if terms is None or view.names_moved or edited(view):
        return None
    stable, canary = terms.users
    weight = None
    if isinstance(stage, Bandit):
        weight = steps.begins_at(view.status.plan, view.index, stage.written.floor)
    planned = plan_of(stage, terms)
    contest = ContestStatus(since=view.at, planned=planned, stable=stable, canary=canary, weight=weight)
    said = note(CONTEST_PLANNED, step=view.progress, name=stage.title, planned=planned)
    return view.change(said, step=but(step, contest=contest))


def edited(view: View) -> bool:
    """Whether the plan was edited and `begin.replan` has not looked at it yet."""
    return steps.expand(view.spec) != view.status.plan


def plan_of(stage: Contest, terms: Terms) -> str:
    """What it takes, in words."""
    return _bandits(stage.written) if isinstance(stage, Bandit) else _experiments(stage.written, terms)


def _bandits(written: WrittenBandit) -> str:
    return (
        f"{written.floor} to {100 - written.floor} % of the users, as they do what it counts, in moves of at "
        f"most {written.pace} points every {written.every}, until one revision is the better one with a "
        f"probability of {written.sure} in {written.looks} looks in a row, or for {written.limit}"
    )


def _experiments(written: WrittenExperiment, terms: Terms) -> str:
    stable, canary = terms.users
    most = "at most " if written.until == "sequential" else ""
    change = f"{terms.baseline:g} to {terms.baseline + (terms.effect if terms.higher else -terms.effect):g}"
    said = (
        f"{most}{stable} users of stable and {canary} of the canary, to find a change from {change} with "
        f"power {written.power} at a risk of {written.risk}"
    )
    if written.users_per_day is None:
        return said
    days = math.ceil(max(stable / (100 - terms.split), canary / terms.split) * 100 / written.users_per_day)
    return f"{said}; with {written.users_per_day} new users a day that takes {days} day{'s' * (days > 1)}"


# ── how it goes on ──────────────────────────────────────────────────────────────────────────────


def progress(view: View) -> str:
    """What may be said of it before its end. Of a fixed experiment that is nothing but the users."""
    known, seen = running(view), tally(view)
    if known is None:
        return "nothing was counted yet"
    _, contest, terms = known
    if seen is None:
        return f"nothing was counted yet ({contest.planned})"
    if terms.until == "sure":
        chance = 100 * seen.chance(terms)
        return f"the new revision is the better one with a probability of {chance:.0f} % ({_users(seen)})"
    said = f"{seen.stable.of:.0f} of {contest.stable} users of stable and {seen.canary.of:.0f} of "
    said += f"{contest.canary} of the canary were counted{_days_left(seen, contest)}"
    return f"{said}. What they did is shown once all are there" if terms.until == "fixed" else said


def _users(seen: Tally) -> str:
    return f"{seen.stable.of:.0f} users of stable and {seen.canary.of:.0f} of the canary were counted"


def _days_left(seen: Tally, contest: ContestStatus) -> str:
    spent = seen.until - unix(contest.since)
    shares = (seen.stable.of / contest.stable, seen.canary.of / contest.canary)
    if spent <= 0 or min(shares) <= 0:
        return ""
    left = spent * max(1 / min(shares) - 1, 0.0)
    text = f"{left / DAY:.1f} days" if left >= DAY else f"{left / 3600:.1f} hours"
    return f", and at this pace the others are there in {text}"


def move(view: View) -> Change | None:
    """The bandit's weight follows what was counted, a little at a time. It moves only from a split that is
    in place, and not while the metrics cannot be read, or alerts hold the step."""
    known, seen, step = running(view), tally(view), view.step
    if known is None or seen is None or step is None or step.started_at is None or view.paused:
        return None
    stage, contest, terms = known
    if not isinstance(stage, Bandit) or contest.result is not None or contest.weight is None:
        return None
    if view.desired != view.asked or not view.settled or view.observed.split_mismatch or edited(view):
        return None
    verdict = view.judgement(step.started_at)
    if alarms.holding(view) is not None:
        return None
    if verdict is None or verdict.kind not in (VerdictKind.PASS, VerdictKind.INSUFFICIENT):
        return None
    if not view.past(step.started_at, stage.written.every) or seen.until <= unix(step.started_at):
        return None
    chance = seen.chance(terms)
    weight = moved(contest.weight, target(chance, stage.written.floor), stage.written.pace)
    if weight == contest.weight:
        return None
    said = note(
        BANDIT_MOVED,
        step=view.progress,
        name=stage.title,
        chance=f"{100 * chance:.0f}",
        before=contest.weight,
        weight=weight,
    )
    # entered_at, because the pods that the new weight needs have their startup deadline from now on
    anew = but(step, started_at=None, entered_at=view.at, contest=but(contest, weight=weight))
    return view.change(said, step=anew)


def move_due(view: View) -> float | None:
    """When time alone may move or end a bandit."""
    known = running(view)
    if known is None or not isinstance(known[0], Bandit) or known[1].result is not None:
        return None
    end = unix(known[1].since) + seconds(known[0].written.limit)
    started = view.step.started_at if view.step is not None else None
    following = unix(started) + seconds(known[0].written.every) if started is not None else end
    return following if view.now < following < end else end


# ── how it ends ─────────────────────────────────────────────────────────────────────────────────


def conclude(view: View) -> Change | None:
    """The ending, kept from the first look that shows it."""
    known, seen = running(view), tally(view)
    if known is None or known[1].result is not None or view.step is None or edited(view):
        return None
    stage, contest, terms = known
    ending = ended(seen, terms) if seen is not None else None
    if ending is None and isinstance(stage, Bandit) and view.past(contest.since, stage.written.limit):
        ending = Ending("NoDifference")
    if ending is None:
        return None
    message = told(stage, ending, terms, seen)
    over = but(contest, result=ending.result, message=message, ended_at=view.at)
    said = note(CONTEST_DECIDED, step=view.progress, name=stage.title, said=message)
    return view.change(said, step=but(view.step, contest=over))


def told(stage: Contest, ending: Ending, terms: Terms, seen: Tally | None) -> str:
    """The ending in words: what was found first, the figures after it."""
    counted = _users(seen) if seen is not None else "nothing was counted"
    if ending.result == "Invalid":
        share = 100 * seen.canary.of / (seen.canary.of + seen.stable.of) if seen is not None else 0.0
        return (
            f"the revisions cannot be compared, because the canary has {share:.1f} % of the counted users "
            f"and should have {terms.split} %, which is no chance ({counted}). Count each user once, and see "
            "whether users of one revision are lost or counted twice"
        )
    if isinstance(stage, Bandit):
        chance = 100 * seen.chance(terms) if seen is not None else 50.0
        if ending.result == "NoDifference":
            return f"no revision was surely the better one within {stage.written.limit} ({counted})"
        which = "new" if ending.result == "Better" else "old"
        surely = chance if ending.result == "Better" else 100 - chance
        return f"the {which} revision is the better one with a probability of {surely:.0f} % ({counted})"
    figures = _figures(ending.difference, terms) if ending.difference is not None else ""
    if ending.result == "NoDifference":
        return f"the planned users show no difference ({figures}; {counted})"
    word = "better" if ending.result == "Better" else "worse"
    return f"the new revision is {word} ({figures}; {counted})"


def _figures(found: Difference, terms: Terms) -> str:
    """An interval and a p-value are those of one look, so a share that may end at any look shows neither."""
    if terms.kind == "share":
        said = f"{100 * found.canary:.2f} % beside {100 * found.stable:.2f} %"
        if terms.until == "sequential":
            return f"{said}, at a risk of {terms.risk:g} over all looks"
        effect = f"{100 * found.effect:+.2f} points"
        interval = f"{100 * found.low:.2f} to {100 * found.high:.2f}"
    else:
        said = f"{found.canary:.4g} beside {found.stable:.4g}"
        effect, interval = f"{found.effect:+.3g}", f"{found.low:.3g} to {found.high:.3g}"
    sure = 100 - 100 * terms.risk
    return f"{said}, {effect}, {sure:g} % interval {interval}, {found.test}, p = {found.p_value:.2g}"


def opens(view: View) -> bool:
    """Whether its ending lets the plan go on."""
    known = running(view)
    if known is None:
        return False
    stage, contest, _ = known
    if contest.result == "NoDifference" and isinstance(stage, Experiment):
        return stage.written.on_nothing == "continue"
    return contest.result == "Better"


def promotes(view: View) -> bool:
    """Whether the steps that are left are passed with it."""
    known = running(view)
    return known is not None and known[1].result == "Better" and known[0].written.on_win == "promote"


def sends_back(view: View) -> bool:
    known = running(view)
    if known is None:
        return False
    stage, contest, _ = known
    if contest.result == "NoDifference" and isinstance(stage, Experiment):
        return stage.written.on_nothing == "revert"
    return contest.result == "Worse" and stage.written.on_loss == "revert"
