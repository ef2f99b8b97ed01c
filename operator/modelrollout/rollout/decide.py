"""The brain: `decide(spec, status, observed, now) -> Plan`.

Policies are asked in order; the first that has something to change changes the status, and all are asked
again, until none has. What is then to be done follows from the status reached and from what was
observed, so a plan that was carried out only in part is found again by the next pass, in full.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from modelrollout.api.conditions import ACCEPTED, EVALUATED, PROGRESSING, REGISTRY, STEADY, TRAFFIC_SPLIT
from modelrollout.api.problem import Problem
from modelrollout.api.reasons.serving import NO_PAST, NOT_EVALUATED, REQUESTS_STEADY, STANDING_PASSED
from modelrollout.api.spec import Spec
from modelrollout.api.status import OriginalService, Status, named_by
from modelrollout.rollout import (
    advance,
    begin,
    carry,
    connections,
    contest,
    drain,
    drift,
    gate,
    install,
    kill,
    misspelt,
    named,
    orders,
    pins,
    promote,
    relocate,
    revert,
    unequal,
)
from modelrollout.rollout.actions import Action, Plan, PointNamed, SetTraffic, urgent_first
from modelrollout.rollout.changes import but
from modelrollout.rollout.converge import actions
from modelrollout.rollout.deadlines import orders_due, requeue
from modelrollout.rollout.facts import described
from modelrollout.rollout.farewell import farewell
from modelrollout.rollout.gate import runs
from modelrollout.rollout.model import Observed
from modelrollout.rollout.notes import Facts, Note
from modelrollout.rollout.phase import PhaseReport, current_phase
from modelrollout.rollout.report import report, worth_writing
from modelrollout.rollout.rotation import called_back
from modelrollout.rollout.standing import due, evaluated
from modelrollout.rollout.steady import steady
from modelrollout.rollout.view import Change, View

Policy = Callable[[View], Change | None]

GROUPS: tuple[tuple[Policy, ...], ...] = (
    # ── the spec names another route ──
    (
        relocate.let_go,  # the old one is given back
        relocate.send_home,  # users leave the canary before it is
    ),
    # ── take note, before anything moves what it is about ──
    (
        orders.take_commands,  # bind new annotations to the revision and the step that they mean now
        orders.refuse_late,  # an order whose moment has gone by must not wait for the next
        orders.end_pause,  # a pause whose revision has gone says nothing about the next
        misspelt.see_unknown,  # a typo in an abort must not pass in silence
        install.find_stable,  # status is empty: find the revision that serves, or install the one asked for
        install.installed,  # the first revision has its pods and the route
        install.install_another,  # the spec changed before the first revision had users
        drift.see_drift,  # name whoever changed the route; a new weight of ours would hide it
        named.see_named,  # the same for the Service that people named
        gate.take_answers,  # what became of evaluations
        pins.take_pin,  # what the model's address stands for
    ),
    # ── reasons to leave a revision: the first that holds is the one that people read ──
    (revert.killed,),  # the kill switch is on
    (revert.commanded,),  # a person says abort or rollback
    (revert.superseded,),  # the spec asks for something else: the revision left is not refused
    (revert.failed,),  # the metrics say that it is worse
    (revert.alert_fired,),  # an alert says so
    (
        revert.evaluation_failed,  # an evaluation says so
        revert.standing_failed,  # an evaluation of the revision that serves says so
        revert.stable_lost,  # a promoted revision has lost its pods, and the one before still has some
        # ── the way back ──
        revert.give_way,  # traffic to the good revision, as far as its pods can take it
    ),
    (revert.gone_back,),  # everybody is back: the bad revision drains
    # ── at rest ──
    (begin.retry,),  # a person lets a refused revision be tried again
    (
        begin.forgive,  # the spec asks for what serves: nothing is refused any more
        promote.close_window,  # the revision before has been kept warm long enough
        promote.hold_back,  # until then some users stay on it, where the spec asks for it
    ),
    (
        begin.begin,  # the spec asks for another revision
        # ── on trial ──
        begin.replan,  # the plan was edited: the step in progress may be another one now
        contest.fix,  # an experiment or a bandit begins: what it takes is fixed
        contest.conclude,  # it has ended
    ),
    (
        advance.lose,  # the canary lost its pods: its traffic goes back, and its step begins anew
        carry.carry,  # stable lost its pods: the canary answers everybody until they are back
    ),
    (
        revert.unstable,  # it has lost them too often
        revert.never_ready,  # it never had them in time
        revert.contest_lost,  # its experiment or its bandit says that it is worse
        revert.no_verdict,  # its time is over, undecided, and the user wants it sent back then
    ),
    (advance.promote_by_hand,),  # a person passes the step, whatever it waits for
    (
        advance.advance,  # the step has passed
        advance.enter,  # its pods are ready: ask for its traffic
        advance.start_clock,  # its traffic is in place: time and looks count from now
        contest.move,  # the bandit's weight follows what users do
        promote.take_over,  # every step has passed: users and names move to the new revision
        promote.promoted,  # they have moved
    ),
    # ── leaving ──
    (
        drain.strays,  # pods that status does not know leave like others
        drain.gone,  # a revision whose pods are gone need not be named any more
        connections.close_connections,  # clients of the old revision are to open new connections
    ),
)
"""Where policies of two groups have something to change in one situation, the earlier group goes first, and
that is a rule: `test_order.py` has a reason for each. Inside a group the order does not matter, because no
two of its policies ever change the same situation differently."""

POLICIES: tuple[Policy, ...] = tuple(policy for group in GROUPS for policy in group)

STILL: frozenset[Policy] = frozenset(
    {
        orders.take_commands,
        orders.refuse_late,
        misspelt.see_unknown,
        gate.take_answers,
        pins.take_pin,
        revert.killed,
        revert.commanded,
        revert.failed,
        revert.alert_fired,
        revert.evaluation_failed,
        revert.standing_failed,
        revert.give_way,
        revert.gone_back,
        relocate.let_go,
        drain.gone,
    }
)
"""What still runs when the spec cannot be carried out: commands, and the way back to the revision that served
before. Nothing moves forward. `superseded` is not among them, because it would leave a revision for one that
cannot be made."""

_NO_ALARM = frozenset(each.name for each in (STANDING_PASSED, NOT_EVALUATED, REQUESTS_STEADY, NO_PAST))

MOST_CHANGES = 64
"""Far more than any pass needs; a pass that does not come to rest is a fault of ours and says so."""


def decide(spec: Spec, status: Status, observed: Observed, now: float) -> Plan:
    """Decide what one pass does. The same arguments give the same plan, whatever happened in between."""
    if observed.deleting:
        return farewell(View(spec, status, observed, now))
    view = View(spec, status, observed, now)
    problem = observed.problem or observed.route.problem
    view, notes = settle(view, [policy for policy in POLICIES if problem is None or policy in STILL])
    notes += _objection(status, problem) + _alarm(view) + _out_of_step(view) + kill.lifted(view)
    if view.stable is None:
        return _refused(view, notes, problem)
    moved = relocate.arrived(status, view)
    held = moved or (problem is not None and not view.reverting)
    acts = (*called_back(view, held=held), *relocate.handing_back(view))
    acts = acts if held else (*acts, *actions(view), *runs(view), *due(view))
    acts = () if moved else _with_orders(view, acts)
    view = view if moved else _remembering(view, acts)
    what = current_phase(view)
    view, notes = _labelled(view, what, notes)
    after = report(view, what, problem)
    notes += _misgivings(view, after)
    return Plan(
        status=after if worth_writing(status, after, now) else status,
        actions=acts,
        notes=notes,
        requeue=0.0 if moved else orders_due(view) if held else requeue(view),
        collect=_collect(view),
        drop_look=moved or (view.confirmed and not view.as_desired),
        facts={"phase": what.phase, "reason": what.reason, "message": what.message},
    )


def settle(view: View, policies: Sequence[Policy]) -> tuple[View, tuple[Note, ...]]:
    """Apply the policies until none has anything left to change; the notes say each change on the way."""
    notes: tuple[Note, ...] = ()
    for _ in range(MOST_CHANGES):
        change = next((change for policy in policies if (change := policy(view)) is not None), None)
        if change is None:
            return view, notes
        after = view.after(change)
        notes += tuple(described(note, view, after) for note in change.notes)
        view = after
    raise RuntimeError(f"the policies did not come to rest in {MOST_CHANGES} changes: {view.status!r}")


def _refused(view: View, notes: tuple[Note, ...], problem: Problem | None) -> Plan:
    """The plan for a spec that cannot be carried out before anything of ours serves: touch nothing, and say
    why."""
    message = problem.message if problem is not None else ""
    what = PhaseReport("Invalid", problem.reason if problem is not None else "Invalid", message)
    view, notes = _labelled(view, what, notes)
    after = report(view, what, problem)
    status = after if worth_writing(view.status, after, view.now) else view.status
    facts = {"phase": what.phase, "message": message}
    return Plan(status, orders.taken_off(view), notes, requeue=orders_due(view), facts=facts)


def _with_orders(view: View, acts: tuple[Action, ...]) -> tuple[Action, ...]:
    """Orders that are over go before anything that the API server may refuse, but after urgent traffic."""
    urgent = urgent_first(acts)
    return (*acts[:urgent], *orders.taken_off(view), *acts[urgent:])


def _labelled(view: View, what: PhaseReport, notes: tuple[Note, ...]) -> tuple[View, tuple[Note, ...]]:
    """Set the phase that people see. One note says that the rollout waits for a person or is in trouble."""
    turned = view.status.phase != what.phase
    known = {condition.reason for condition in view.status.conditions if condition.type == PROGRESSING}
    after = view.after(view.change(phase=what.phase, phase_since=view.at)) if turned else view
    if (turned and what.phase == "Paused") or (what.warning and what.reason not in known):
        said = Note(what.reason, what.message, what.warning, Facts(what.transition))
        notes = (*notes, described(said, view, after))
    return after, notes


def _objection(status: Status, problem: Problem | None) -> tuple[Note, ...]:
    """A problem is said once, when it begins."""
    known = {condition.reason for condition in status.conditions if condition.type == ACCEPTED}
    if problem is None or problem.reason in known:
        return ()
    return (Note(problem.reason, problem.message, warning=True, facts=Facts("troubled")),)


def _misgivings(view: View, after: Status) -> tuple[Note, ...]:
    """Warnings about what works but may mislead, said once: when the condition begins to say them. While the
    condition says something worse, they wait."""
    said = (*view.observed.route.warnings, *unequal.warnings(view))
    before, now = _split_reason(view.status), _split_reason(after)
    warned = {warning.reason for warning in said}
    if view.installing or now not in warned or before in warned:
        return ()
    return tuple(Note(each.reason, each.message, warning=True, facts=Facts("troubled")) for each in said)


def _split_reason(status: Status) -> str:
    return next((each.reason for each in status.conditions if each.type == TRAFFIC_SPLIT), "")


def _alarm(view: View) -> tuple[Note, ...]:
    """Notes that the revision that serves fails an evaluation or has no valid result, and that its requests
    have drifted from their past; each is said once."""
    known = {each.reason for each in view.status.conditions if each.type in (EVALUATED, STEADY)}
    found = [each for each in (evaluated(view), steady(view)) if each is not None]
    return tuple(
        Note(each.reason, each.message, warning=True, facts=Facts("troubled"))
        for each in found
        if each.reason not in (*known, *_NO_ALARM)
    )


def _out_of_step(view: View) -> tuple[Note, ...]:
    """A note that the registry may not agree with the cluster, said once."""
    found = view.observed.registry
    before = {each.reason for each in view.status.conditions if each.type == REGISTRY}
    if found is None or found.status == "True" or found.reason in before:
        return ()
    return (Note(found.reason, found.message, warning=True, facts=Facts("troubled")),)


def _remembering(view: View, acts: tuple[Action, ...]) -> View:
    """Store the route and the Service as they were found in status, before they are touched for the first
    time."""
    touching = any(isinstance(act, SetTraffic) for act in acts) or (view.as_desired and not view.installing)
    if touching and view.status.original_traffic is None and view.observed.found is not None:
        weight = but(view.status.weight, since=view.status.weight.since or view.at)
        view = view.after(view.change(original_traffic=dict(view.observed.found), weight=weight))
    if view.status.original_service is None and any(isinstance(act, PointNamed) for act in acts):
        found = view.observed.named
        assert found is not None  # or it would not be pointed
        original = OriginalService(selector={} if found.revision else dict(found.selector))
        view = view.after(view.change(original_service=original))
    touched = (view.status.original_traffic, view.status.original_service) != (None, None)
    if touched and view.status.taken is None:
        view = view.after(view.change(taken=named_by(view.spec.traffic)))
    return view


def _collect(view: View) -> bool:
    if view.spec.analysis is None or not view.as_desired:
        return False
    return view.watching or (view.rolling and view.confirmed)
