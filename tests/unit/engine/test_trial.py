"""Which looks count: each once, none that saw another split, and after a restart the same ones."""

from dataclasses import replace
from itertools import pairwise

import pytest

from modelrollout.analysis.counters.arms import Arms
from modelrollout.analysis.counters.load import Arrivals
from modelrollout.analysis.families import arrivals, resolve
from modelrollout.analysis.observation import Look, Observation, Ratio
from modelrollout.analysis.verdict import Evidence
from modelrollout.api.spec import Analysis
from modelrollout.api.times import unix
from modelrollout.engine.told import eta
from modelrollout.engine.trial import Case, Stage, Trial, judgement_of
from modelrollout.sources.looks import Counted, Question

ANALYSIS = Analysis.model_validate(
    {
        "prometheus": {"address": "http://prometheus:9090"},
        "interval": "30s",
        "metrics": [{"use": "http/success-rate", "tolerate": {"absolute": "0.01"}}],
    }
)
CASE = Case("2026-11-21T09:00:00Z", "old", "new", ANALYSIS, 20)
FIRST = Stage("0@a", since=1000.0, weight=0.1, countable=True)
SECOND = Stage("1@b", since=2000.0, weight=0.5, countable=True)


def question():
    return Question(
        address=ANALYSIS.prometheus.address,
        timeout=5.0,
        metrics=resolve(ANALYSIS.metrics),
        arms=Arms("ns", "chat", "chat", "old", "new"),
        warm_up=0.0,
        arrivals=arrivals(ANALYSIS.metrics),
    )


def fresh(stage=FIRST):
    trial = Trial(CASE, question(), stage)
    trial.evidence = Evidence.fresh(judgement_of(CASE, trial.question))
    trial.enter(stage)
    return trial


def counted(look, bad=0, n=100, canary_share=0.1):
    seen = {"http/success-rate": Observation(Ratio(bad, n), Ratio(0, n))}
    return Counted(look, seen, Arrivals(1000 * canary_share, 1000 * (1 - canary_share)))


def fold(trial, **how):
    look = trial.next_look()
    assert trial.fold(counted(look, **how))
    return look


def test_looks_are_aligned_and_follow_each_other_without_a_gap():
    trial = fresh()
    looks = [fold(trial) for _ in range(4)]
    assert [look.end % 30 for look in looks] == [0, 0, 0, 0]
    assert [b.start - a.end for a, b in pairwise(looks)] == [0, 0, 0]


@pytest.mark.parametrize(
    ("since", "look"),
    [
        (1000.0, Look(1000, 1020)),
        (1015.0, Look(1020, 1050)),
        (1020.0, Look(1020, 1050)),
        (1000.4, Look(1001, 1020)),
    ],
    ids=["a shorter first look", "not one with hardly anything in it", "on the boundary", "whole seconds"],
)
def test_a_stages_first_look_begins_with_it(since, look):
    assert fresh(Stage("0@a", since, 0.1, countable=True)).next_look() == look


def test_a_look_that_began_before_the_weight_moved_is_dropped():
    trial = fresh()
    look = trial.next_look()
    trial.enter(SECOND)
    assert not trial.fold(counted(look))
    assert trial.next_look().start == SECOND.since


def test_a_look_that_was_open_when_somebody_else_wrote_the_route_is_dropped():
    trial = fresh()
    look = trial.next_look()
    trial.drop(look.start + 5)
    assert not trial.fold(counted(look))
    assert trial.next_look().start >= look.start + 5


def test_a_new_stage_must_be_proven_anew_and_keeps_what_speaks_against_the_canary():
    trial = fresh()
    for _ in range(6):
        fold(trial, bad=4)
    against = trial.verdict.revert_e
    trial.enter(SECOND)
    assert trial.verdict is None
    fold(trial, canary_share=0.5)
    assert trial.verdict.step_looks == 1
    assert trial.verdict.looks == 7
    assert trial.verdict.revert_e > 1 < against


def test_a_restart_goes_on_where_the_stored_evidence_ends():
    lived, died = fresh(), fresh()
    for trial in (lived, died):
        for _ in range(3):
            fold(trial, bad=2)
    state = died.to_state()
    fold(died, bad=1)  # not stored before the death, so counted again
    again = Trial(CASE, question(), FIRST)
    assert again.restore(state)
    again.enter(FIRST)
    for trial in (lived, again):
        for _ in range(3):
            fold(trial, bad=1)
    assert again.to_state() == lived.to_state()


def test_a_death_between_two_steps_restarts_promotion_once():
    trial = fresh()
    for _ in range(3):
        fold(trial)
    again = Trial(CASE, question(), SECOND)
    assert again.restore(trial.to_state())
    again.enter(SECOND)
    again.enter(SECOND)
    fold(again, canary_share=0.5)
    assert (again.verdict.looks, again.verdict.step_looks) == (4, 1)


@pytest.mark.parametrize(
    "state", [None, {}, {"case": "another"}, {"case": "old>new@2026-11-21T09:00:00Z", "evidence": {}}]
)
def test_evidence_of_another_case_or_damaged_is_not_taken_up(state):
    assert not Trial(CASE, question(), FIRST).restore(state)


def test_a_provider_that_cannot_tell_the_past_is_a_verdict_that_holds():
    trial = Trial(CASE, question(), FIRST)
    assert trial.findings().analysis is None
    trial.fail("No answer from http://prometheus:9090.", now=1234.0)
    told = trial.findings().analysis
    assert (told.verdict, told.message) == ("ProviderError", "No answer from http://prometheus:9090.")
    assert told.last_look is not None


def test_a_split_that_is_not_the_one_asked_for_is_a_mismatch():
    trial = fresh()
    for _ in range(3):
        fold(trial, canary_share=0.3)
    assert "The canary received 30 % of" in trial.findings().split_mismatch


def test_users_who_reach_a_canary_before_its_time_are_a_mismatch():
    trial = fresh(Stage("0@a", 1000.0, 0.0, countable=True))
    fold(trial, canary_share=0.0)
    assert trial.findings().split_mismatch is None
    fold(trial, canary_share=0.4)
    assert "where the weights meant 0 %" in trial.findings().split_mismatch


def test_where_copies_or_matches_add_to_the_weight_the_split_is_not_judged():
    trial = fresh(Stage("0@a", 1000.0, 0.1, countable=False))
    for _ in range(3):
        fold(trial, canary_share=0.3)
    assert trial.findings().split_mismatch is None


def test_status_says_when_the_step_will_be_proven_at_the_pace_so_far():
    trial = fresh()
    for _ in range(3):
        look = fold(trial)
    analysis = trial.findings().analysis
    proven = trial.verdict.metrics["http/success-rate"].promote_progress
    assert 0 < proven < 1
    looks = round((unix(analysis.eta) - look.end) / 30, 1)
    assert looks == pytest.approx(trial.verdict.step_looks * (1 / proven - 1), abs=0.1)


def test_no_time_is_promised_at_a_pace_that_would_take_years():
    trial = fresh()
    fold(trial)
    verdict = trial.verdict
    slow = {name: replace(metric, promote_progress=1e-15) for name, metric in verdict.metrics.items()}
    assert eta(verdict, ["http/success-rate"], 30.0, 2e9) is not None
    assert eta(replace(verdict, metrics=slow), ["http/success-rate"], 30.0, 2e9) is None


def test_no_time_is_promised_while_nothing_speaks_for_the_canary():
    trial = fresh()
    for _ in range(3):
        fold(trial, bad=4)
    assert trial.findings().analysis.eta is None
