"""After promotion the revision that serves is judged alone, against the control of its rollout."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from functools import cache

import pytest

from modelrollout.analysis.counters.load import Arrivals
from modelrollout.analysis.evidence.decision import VerdictKind
from modelrollout.analysis.inputs.observation import Observation, Problem, ProblemKind, Ratio
from modelrollout.engine.judging.case import Stage
from modelrollout.engine.judging.trial import Left, Trial
from modelrollout.rollout.exposure import UNKNOWN
from modelrollout.sources.looks import Counted
from tests.unit.analysis.given import latency_histogram
from tests.unit.engine.test_ladder import CASE, ERRORS, LATENCY, begun, question, seen, stage_at

GUARD = Stage("guard", 1800.0, 1.0, judged=True, countable=False, exposure=UNKNOWN)
BESIDE = replace(GUARD, weight=0.05, held_back=True)
NOTHING = latency_histogram(random.Random(1), 0)
IDLE = Ratio(0, 0)


def promoted(looks=20):
    """A trial whose rollout is over: the control has answered 150 requests a look."""
    trial = replace(judged(looks), left=Left())
    trial.enter(GUARD)
    return trial


@cache
def judged(looks):
    rng, trial = random.Random(5), begun(stage_at(2, 0.0))
    for _ in range(looks):
        trial.fold(Counted(trial.next_look(), seen(rng, 10.0, 0.5)))
    return trial


def after(trial, *shares, n=100, control=IDLE, latency=NOTHING):
    """The verdicts of looks in which these shares of the requests fail, the control without users."""
    found = []
    for share in shares:
        canary = Ratio(round(share * n), n)
        row = {ERRORS: Observation(canary, control), LATENCY: Observation(latency, NOTHING)}
        assert trial.fold(Counted(trial.next_look(), row))
        found.append(trial.judgement())
    return found


@pytest.mark.parametrize("healthy", [0, 10, 60])
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_a_breakdown_after_promotion_reverts_within_two_looks_wherever_it_begins(healthy, share):
    said = after(promoted(), *[0.01] * healthy, share, share)
    assert all(each.kind is not VerdictKind.FAIL for each in said[:healthy])
    assert said[-1].kind is VerdictKind.FAIL
    assert said[-1].reason in {"Catastrophic", "CanaryWorse"}


def test_a_few_points_of_errors_and_a_latency_far_beyond_the_past_revert_too():
    """By the margins that the looks of the control before the promotion give."""
    assert after(promoted(40), *[0.08] * 30)[-1].kind is VerdictKind.FAIL
    slow, usual = (latency_histogram(random.Random(2), 100, factor) for factor in (12.0, 1.5))
    said = after(promoted(40), *[0.0] * 12, latency=slow)
    assert said[-1].kind is VerdictKind.FAIL
    assert LATENCY in said[-1].message
    assert all(each.kind is not VerdictKind.FAIL for each in after(promoted(40), *[0.0] * 60, latency=usual))


def beside(*shares, old=0.005, n=1000):
    """The last verdict of looks in which these shares fail, while 5 % of users are on the revision before."""
    rng, trial = random.Random(8), promoted(40)
    trial.enter(BESIDE)
    few = n // 20
    for share in shares:
        wrong = sum(rng.random() < old for _ in range(few))
        (said,) = after(trial, share, n=n, control=Ratio(wrong, few))
        if said.kind is VerdictKind.FAIL:
            break
    return said


def test_beside_users_who_stayed_on_the_old_revision_a_subtle_harm_reverts():
    """2 % of errors are within what a day may bring; the control beside shows that it did not bring them."""
    assert after(promoted(40), *[0.02] * 60, n=1000)[-1].kind is not VerdictKind.FAIL
    assert beside(*[0.02] * 100).kind is VerdictKind.FAIL
    assert beside(*[0.005] * 60).kind is not VerdictKind.FAIL
    assert beside(1.0, 1.0, 1.0).kind is VerdictKind.FAIL


def test_an_incident_that_hits_the_held_back_users_too_reverts_nobody():
    assert beside(*[0.3] * 20, old=0.3).kind is not VerdictKind.FAIL
    assert after(promoted(40), *[0.3] * 20)[-1].kind is VerdictKind.FAIL, "without them it looks like harm"


def test_where_nobody_of_the_held_back_users_asks_the_past_is_the_control():
    trial = promoted(40)
    trial.enter(BESIDE)
    assert after(trial, 1.0, 1.0)[-1].kind is VerdictKind.FAIL


def test_looks_after_the_promotion_are_no_past():
    trial = promoted(40)
    kept = dict(trial.pasts)
    after(trial, *[0.08] * 3)
    assert trial.pasts == kept
    assert {name: past.looks for name, past in kept.items()} == {ERRORS: 40, LATENCY: 40}


def test_twice_the_errors_of_another_hour_are_no_breakdown():
    assert not [each for each in after(promoted(), *[0.02, 0.05, 0.1] * 40) if each.kind is VerdictKind.FAIL]


@pytest.mark.parametrize("kind", [ProblemKind.NO_DATA, ProblemKind.PROVIDER_ERROR, ProblemKind.INVALID])
def test_silence_never_reverts_and_never_speaks_for_what_was_promoted(kind):
    trial = promoted()
    for _ in range(60):
        lost = Observation(problem=Problem(kind, "nothing came"))
        trial.fold(Counted(trial.next_look(), {ERRORS: lost, LATENCY: lost}))
        assert trial.judgement().kind not in {VerdictKind.FAIL, VerdictKind.PASS}
    assert after(trial, *[0.0] * 3, n=0)[-1].kind is VerdictKind.INSUFFICIENT


def test_a_restart_in_the_window_goes_on_with_the_same_guard():
    lived, died = promoted(40), promoted(40)
    for trial in (lived, died):
        after(trial, 0.01, 0.1)
    again = Trial(CASE, question(), GUARD, 1)
    assert again.restore(json.loads(json.dumps(died.to_state())))
    again.enter(GUARD)
    assert again.next_look() == lived.next_look()
    assert after(again, 1.0, 1.0)[-1] == after(lived, 1.0, 1.0)[-1]


def test_the_rollouts_own_evidence_and_looks_stay_as_they_were():
    trial = promoted()
    before = trial.to_state()
    after(trial, *[0.01] * 5)
    assert (trial.to_state()["evidence"], trial.to_state()["looked"]) == (
        before["evidence"],
        before["looked"],
    )


def test_without_enough_of_the_control_nothing_is_made_up_and_it_holds():
    trial = promoted(looks=2)
    (said,) = after(trial, 1.0)
    assert said.kind is VerdictKind.INSUFFICIENT
    assert "control had no traffic" in said.message


def test_requests_that_still_reach_the_revision_before_are_counted_over_the_latest_looks():
    trial = promoted()
    assert trial.left.rate is None, "during the rollout it is the control, and has users"
    row = {ERRORS: Observation(IDLE, IDLE), LATENCY: Observation(NOTHING, NOTHING)}
    rates = []
    for control in (300.0, 0.0, *[0.0] * 10):
        look = trial.next_look()
        trial.fold(Counted(look, row, Arrivals(1000.0, control)))
        rates.append(trial.left.rate * (look.end - look.start))
    assert rates[:2] == [300.0, 150.0]
    assert rates[-1] == 0.0, "those who left are not counted for ever"


def test_a_server_that_counts_no_requests_tells_nothing_of_the_users_that_are_left():
    trial = promoted()
    after(trial, 0.01)
    assert trial.left.rate is None
