"""Which looks count: each once, none that saw another split, and after a restart the same ones."""

from dataclasses import replace
from itertools import pairwise

import pytest

from modelrollout.analysis.betting.ladder import WHOLE
from modelrollout.analysis.contest.shares import Count
from modelrollout.analysis.contest.sums import Sums
from modelrollout.analysis.counters.load import Arrivals
from modelrollout.analysis.counters.matchers import Arms
from modelrollout.analysis.evidence.decision import VerdictKind
from modelrollout.analysis.evidence.evidence import Evidence
from modelrollout.analysis.inputs.observation import Look, Observation, Problem, ProblemKind, Ratio
from modelrollout.analysis.packs.catalogue import arrivals, resolve
from modelrollout.analysis.packs.measures import measured, terms_of
from modelrollout.api.analysis import Analysis
from modelrollout.api.contest import Experiment as ContestExperiment
from modelrollout.api.stages import Experiment
from modelrollout.api.strategy import Step
from modelrollout.engine.judging.case import Case, Goal, Stage, judgement_of
from modelrollout.engine.judging.trial import Trial
from modelrollout.rollout.analysis_status import proven_at
from modelrollout.rollout.model import Judgement
from modelrollout.sources.looks import Counted, Question

ANALYSIS = Analysis.model_validate(
    {
        "prometheus": {"address": "http://prometheus:9090"},
        "interval": "30s",
        "metrics": [{"use": "http/success-rate", "tolerate": {"absolute": "0.01"}}],
    }
)
CASE = Case("2026-11-21T09:00:00Z", "old", "new", ANALYSIS)
FIRST = Stage("0@a", since=1000.0, weight=0.1, judged=True, countable=True)
SECOND = Stage("1@b", since=2000.0, weight=0.5, judged=True, countable=True)


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
    trial = Trial(CASE, question(), stage, 20)
    trial.evidence = Evidence.fresh(judgement_of(CASE, trial.question, 20))
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
    assert fresh(Stage("0@a", since, 0.1, judged=True, countable=True)).next_look() == look


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
    again = Trial(CASE, question(), FIRST, 20)
    assert again.restore(state)
    again.enter(FIRST)
    for trial in (lived, again):
        for _ in range(3):
            fold(trial, bad=1)
    assert again.to_state() == lived.to_state()


def test_a_plan_that_was_edited_or_is_over_changes_nothing_about_the_evidence():
    """The looks that were planned when the trial began are part of what was promised."""
    trial = fresh()
    fold(trial)
    again = Trial(CASE, question(), SECOND, planned_looks=99)
    assert again.restore(trial.to_state())
    assert again.planned_looks == 20


def test_the_times_of_the_looks_are_stored_with_what_began_and_what_was_not_answered():
    trial = fresh()
    for _ in range(2):
        fold(trial)
    trial.enter(SECOND)
    fold(trial)
    lost = Observation(problem=Problem(ProblemKind.PROVIDER_ERROR, "no answer"))
    trial.fold(Counted(trial.next_look(), {"http/success-rate": lost}))
    again = Trial(CASE, question(), SECOND, 20)
    again.restore(trial.to_state())
    assert [(run.start, run.end, run.begun, run.answered) for run in again.looked.runs] == [
        (1000, 1050, WHOLE, True),
        (2000, 2010, WHOLE, True),
        (2010, 2040, None, False),
    ]


def test_what_the_past_says_against_a_tolerance_is_shown_with_the_metric_also_after_a_restart():
    trial = fresh()
    trial.warnings = {"http/success-rate": "An equal canary is proven never."}
    fold(trial)
    again = Trial(CASE, question(), FIRST, 20)
    again.restore(trial.to_state())
    fold(again)
    (metric,) = again.judgement().metrics
    assert metric.message.endswith(". An equal canary is proven never.")


def test_a_case_is_known_again_by_its_name():
    assert Case.named(CASE.name, ANALYSIS) == CASE
    with pytest.raises(ValueError, match="names no case"):
        Case.named("old>new", ANALYSIS)


def test_a_death_between_two_steps_restarts_promotion_once():
    trial = fresh()
    for _ in range(3):
        fold(trial)
    again = Trial(CASE, question(), SECOND, 20)
    assert again.restore(trial.to_state())
    again.enter(SECOND)
    again.enter(SECOND)
    fold(again, canary_share=0.5)
    assert (again.verdict.looks, again.verdict.step_looks) == (4, 1)


@pytest.mark.parametrize(
    "state", [None, {}, {"case": "another"}, {"case": "old>new@2026-11-21T09:00:00Z", "evidence": {}}]
)
def test_evidence_of_another_case_or_damaged_is_not_taken_up(state):
    assert not Trial(CASE, question(), FIRST, 20).restore(state)


COUNTERS = {"successes": "sum(orders{$arm})", "users": "sum(visitors{$arm})"}
TONE = ContestExperiment.model_validate(
    {"name": "tone", "metric": COUNTERS, "baseline": "0.10", "smallestEffect": "0.05"}
)
PLANNED = Experiment(TONE)
GOAL = Goal("0@a", Step(experiment=TONE), measured(PLANNED).resolved, terms_of(PLANNED))
CONTEST = replace(FIRST, goal=GOAL)


def fold_users(trial, stable=100, canary=100):
    look = trial.next_look()
    whole = counted(look)
    users = Observation(Ratio(15, canary), Ratio(10, stable))
    assert trial.fold(replace(whole, observations={**whole.observations, GOAL.counters[0].name: users}))


def test_what_an_experiment_counts_is_asked_with_the_metrics_and_judges_none_of_them():
    trial = fresh(CONTEST)
    assert [each.name for each in trial.asked().metrics] == ["http/success-rate", GOAL.counters[0].name]
    assert "orders" in trial.asked().metrics[-1].recipe.families()
    fold_users(trial)
    assert [each.name for each in trial.judgement().metrics] == ["http/success-rate"]
    assert (trial.tally.stable, trial.tally.canary) == (Count(10, 100), Count(15, 100))


def test_the_sums_of_a_mean_are_asked_together_and_counted_only_where_all_are_there():
    spent = {"sum": "sum(spent{$arm})", "squares": "sum(squares{$arm})", "users": COUNTERS["users"]}
    written = {"name": "tone", "metric": spent, "baseline": "30", "smallestEffect": "3", "deviation": "9"}
    stage = Experiment(ContestExperiment.model_validate(written))
    goal = Goal("0@a", Step(experiment=stage.written), measured(stage).resolved, terms_of(stage))
    trial = fresh(replace(FIRST, goal=goal))
    names = [each.name for each in goal.counters]
    assert [each.name for each in trial.asked().metrics] == ["http/success-rate", *names]

    def fold(**sums):
        whole = counted(trial.next_look())
        seen = {name: Observation(Ratio(total, 4), Ratio(total, 5)) for name, total in sums.items()}
        assert trial.fold(replace(whole, observations={**whole.observations, **seen}))

    fold(**dict(zip(names, (120, 4000), strict=True)))
    fold(**{names[0]: 120})
    assert (trial.tally.stable, trial.tally.canary) == (Sums(5, 120, 4000), Sums(4, 120, 4000))
    assert [each.name for each in trial.judgement().metrics] == ["http/success-rate"]


def test_a_successor_counts_on_from_where_the_experiment_was_stored():
    trial = fresh(CONTEST)
    for _ in range(3):
        fold_users(trial)
    again = Trial(CASE, question(), CONTEST, 20)
    assert again.restore(trial.to_state())
    again.enter(CONTEST)
    for each in (trial, again):
        fold_users(each)
    assert again.tally == trial.tally
    assert again.tally.canary == Count(60, 400)


def test_a_changed_experiment_counts_anew_and_the_same_one_goes_on_at_another_weight():
    trial = fresh(CONTEST)
    fold_users(trial)
    trial.enter(replace(CONTEST, name="0@b", since=2000.0, weight=0.5))
    fold_users(trial)
    assert trial.tally.canary.of == 200
    trial.enter(replace(CONTEST, name="0@c", since=3000.0, goal=replace(GOAL, key="0@c")))
    assert trial.tally.canary.of == 0
    assert [each.canary.of for each in trial.tallies] == [200, 0], "the record tells of both"


def test_users_who_cannot_be_counted_in_a_look_are_left_out_of_the_tally():
    trial = fresh(CONTEST)
    whole = counted(trial.next_look())
    gone = Observation(problem=Problem(ProblemKind.NO_DATA, "There is no visitors."))
    trial.fold(replace(whole, observations={**whole.observations, GOAL.counters[0].name: gone}))
    assert trial.tally.looks == 0


def test_a_provider_that_cannot_tell_the_past_is_a_verdict_that_holds():
    trial = Trial(CASE, question(), FIRST, 20)
    assert trial.judgement() is None
    trial.fail("No answer from http://prometheus:9090.", now=1234.0)
    assert trial.judgement() == Judgement(
        VerdictKind.PROVIDER_ERROR,
        ended_at=1234.0,
        reason="ProviderError",
        message="No answer from http://prometheus:9090.",
    )


def test_a_split_that_is_not_the_one_asked_for_is_a_mismatch():
    trial = fresh()
    for _ in range(4):
        fold(trial, canary_share=0.3)
    assert "The canary received 30 % of" in trial.proof.mismatch


def test_where_copies_or_matches_add_to_the_weight_the_split_is_not_judged():
    trial = fresh(Stage("0@a", 1000.0, 0.1, judged=True, countable=False))
    for _ in range(4):
        fold(trial, canary_share=0.3)
    assert trial.proof.mismatch is None


def test_status_says_when_the_step_will_be_proven_at_the_pace_so_far():
    trial = fresh()
    for _ in range(3):
        look = fold(trial)
    judgement = trial.judgement()
    proven = trial.verdict.metrics["http/success-rate"].promote_progress
    assert 0 < proven < 1
    looks = (judgement.proven_at - look.end) / 30
    assert looks == pytest.approx(trial.verdict.step_looks * (1 / proven - 1))


def test_no_time_is_promised_at_a_pace_that_would_take_years():
    trial = fresh()
    fold(trial)
    verdict = trial.verdict
    slow = {name: replace(metric, promote_progress=1e-15) for name, metric in verdict.metrics.items()}
    assert proven_at(verdict, ["http/success-rate"], 30.0, 2e9) is not None
    assert proven_at(replace(verdict, metrics=slow), ["http/success-rate"], 30.0, 2e9) is None


def test_no_time_is_promised_while_nothing_speaks_for_the_canary():
    trial = fresh()
    for _ in range(3):
        fold(trial, bad=4)
    assert trial.judgement().proven_at is None


# ── before users are sent ───────────────────────────────────────────────────────────────────────


def test_a_test_through_the_preview_is_said_and_not_judged():
    trial = fresh(Stage("0@a", since=1000.0, weight=0.0, judged=False, countable=True))
    for _ in range(10):  # a quarter of all requests, each of them bad
        fold(trial, bad=100, canary_share=0.25)
    said = trial.verdict.message
    assert (trial.verdict.kind, trial.proof.mismatch) == ("Insufficient", None)
    assert "250 requests of the latest look reached it otherwise" in said
    trial.enter(FIRST)
    for _ in range(5):
        fold(trial, bad=0)
    assert trial.verdict.revert_e <= 1.0, "what the test brought is in no evidence"
    assert trial.verdict.kind != "Fail"


def test_a_step_that_users_reach_is_judged_as_ever():
    trial = fresh()
    for _ in range(4):
        fold(trial, bad=100)
    assert trial.verdict.kind == "Fail"


def test_a_split_that_nothing_counts_is_not_called_proven():
    trial = fresh()
    look = trial.next_look()
    trial.fold(replace(counted(look), arrived=None))
    said = trial.judgement().metrics[0].message
    assert "The split is not proven: the control has no series of http_requests_total" in said
    fold(trial)
    assert "not proven" not in trial.judgement().metrics[0].message
