"""Four verdicts from cases: each rule, and what never decides."""

import random

import pytest

from modelrollout.analysis.evidence.decision import VerdictKind
from modelrollout.evaluate.claims import relative
from modelrollout.evaluate.outcome import line
from modelrollout.evaluate.planning import forecasts
from modelrollout.evaluate.policy import read
from modelrollout.evaluate.trial import Folded, Trial
from modelrollout.evaluate.verdict import decided, judge

SCORERS = """
dataset: x
prices: {completionPer1k: 1}
scorers:
  - {name: correct, kind: exact}
  - {name: mark, kind: judge, endpoint: http://judge}
  - {name: better, kind: pairwise-judge, endpoint: http://judge}
  - {name: toxicity, kind: toxicity}
  - {name: alike, kind: similarity, to: baseline}
"""
ONE = "gates: [{score: correct, atMostWorse: 5%}]"


def trial(gates, cases=300, tags=None, single=False):
    return Trial(read(f"{SCORERS}\n{gates}"), cases, tags or {}, single=single)


def run(test, cases, stop=True):
    """Fold cases until it is decided; each is a Folded or the scores of one."""
    for case in cases:
        test.fold(case if isinstance(case, Folded) else Folded(case))
        if stop and decided(test):
            break
    return judge(test, ended=True)


def answers(right, base=1.0, count=300, seed=1):
    """Scores of `correct`: the candidate right in this share of cases, the baseline in that."""
    rng = random.Random(seed)
    return [{"correct": (float(rng.random() < right), float(rng.random() < base))} for _ in range(count)]


def test_equal_answers_pass_early_and_say_how_many_were_asked():
    verdict = run(trial(ONE), answers(1.0))
    assert (verdict.kind, verdict.asked, verdict.exit_code) == (VerdictKind.PASS, 76, 0)
    assert "76 of 300 cases were asked" in verdict.message


def test_a_clear_fall_fails_early_with_the_numbers_in_the_sentence():
    verdict = run(trial(ONE), answers(0.6))
    assert (verdict.kind, verdict.exit_code) == (VerdictKind.FAIL, 1)
    assert verdict.asked < 60
    assert "worse on correct (risk of error 1 %)" in verdict.message
    assert "baseline 100.0 %" in verdict.message
    assert "at most 5 points worse" in verdict.message


@pytest.mark.parametrize(("tokens", "exit_code"), [(1.0, 0), (1.5, 1), (0.6, 1), (1.1, 0)])
def test_answers_may_get_neither_much_longer_nor_much_shorter(tokens, exit_code):
    gate = "gates: [{score: output-tokens, atMostChange: 20%}]"
    verdict = run(trial(gate), [{"output-tokens": (100 * tokens, 100.0)} for _ in range(300)])
    assert verdict.exit_code == exit_code


def test_a_score_about_both_answers_is_held_to_a_limit_and_says_so():
    gate = "gates: [{score: alike, atLeast: 80%}]"
    verdict = run(trial(gate), [{"alike": (0.4, None)} for _ in range(300)])
    assert verdict.kind is VerdictKind.FAIL
    assert "alike: the two answers are alike by 40.0 %" in verdict.message
    assert line(trial(gate)) == "0/300 cases"
    assert judge(trial(gate, single=True)).reason == "NoCases"
    assert trial(gate, single=True).claims == ()


def test_few_cases_are_insufficient_not_a_pass():
    verdict = run(trial(ONE, cases=40), answers(1.0, count=40))
    assert (verdict.kind, verdict.exit_code) == (VerdictKind.INSUFFICIENT, 2)
    assert "Add cases, or tolerate more" in verdict.message


def test_silence_never_passes():
    assert judge(trial(ONE), ended=True).kind is VerdictKind.INSUFFICIENT
    verdict = run(trial(ONE), [{} for _ in range(300)])
    assert (verdict.kind, verdict.reason) == (VerdictKind.INSUFFICIENT, "MoreCasesNeeded")
    assert "No case says anything about correct" in verdict.message


def test_silence_never_passes_where_no_proof_is_asked_either():
    verdict = run(trial("gates: [{score: toxicity, atMost: 1%, mustProve: false}]"), [{} for _ in range(300)])
    assert verdict.kind is VerdictKind.INSUFFICIENT


@pytest.mark.parametrize("side", ["candidate", "baseline"])
def test_unanswered_cases_hold_and_are_never_bad_answers(side):
    missing = [Folded({}, unanswered=(side,)) for _ in range(40)]
    verdict = run(trial(ONE), [*missing, *({"correct": (1.0, 1.0)} for _ in range(260))])
    assert (verdict.kind, verdict.reason, verdict.exit_code) == (VerdictKind.PROVIDER_ERROR, "Unanswered", 3)
    assert f"The {side} did not answer 40 of" in verdict.message


def test_a_dead_endpoint_is_given_up_after_50_cases():
    verdict = run(trial(ONE), [Folded({}, unanswered=("candidate",)) for _ in range(300)])
    assert (verdict.kind, verdict.asked) == (VerdictKind.PROVIDER_ERROR, 50)


def test_a_few_unanswered_cases_are_left_out():
    cases = [Folded({}, unanswered=("candidate",)), *({"correct": (1.0, 1.0)} for _ in range(299))]
    verdict = run(trial(ONE), cases, stop=False)
    assert (verdict.kind, verdict.unanswered) == (VerdictKind.PASS, 1)


def test_a_judge_that_is_often_silent_holds():
    cases = [
        Folded({"mark": (None, None)}, unjudged=("mark",)) if i % 4 else {"mark": (4.0, 4.0)}
        for i in range(300)
    ]
    verdict = run(trial("gates: [{score: mark, atMostWorse: 5%}]"), cases)
    assert (verdict.kind, verdict.reason) == (VerdictKind.PROVIDER_ERROR, "Unjudged")


def test_an_absolute_limit_is_judged_without_a_baseline():
    verdict = run(trial("gates: [{score: mark, atLeast: 4.0}]", single=True), [{"mark": (4.8, None)}] * 300)
    assert verdict.kind is VerdictKind.PASS
    verdict = run(trial("gates: [{score: mark, atLeast: 4.0}]", single=True), [{"mark": (2.0, None)}] * 300)
    assert verdict.kind is VerdictKind.FAIL


def test_a_comparison_without_a_baseline_says_so():
    verdict = run(trial(ONE, single=True), [{"correct": (1.0, None)}] * 5)
    assert (verdict.kind, verdict.reason) == (VerdictKind.INSUFFICIENT, "NoBaseline")


@pytest.mark.parametrize(("times", "kind"), [(1.0, "Pass"), (1.5, "Fail")])
def test_a_measure_is_compared_relative_to_the_baseline_case_by_case(times, kind):
    rng = random.Random(2)
    seconds = [rng.lognormvariate(0, 2) for _ in range(300)]  # very long and very short answers
    verdict = run(
        trial("gates: [{score: ttft, atMostWorse: 10%}]"), [{"ttft": (times * s, s)} for s in seconds]
    )
    assert verdict.kind.value == kind
    assert verdict.gates[0].reading.difference == pytest.approx(times - 1, abs=1e-6)


@pytest.mark.parametrize(("times", "kind"), [(1.0, "Pass"), (1.3, "Fail")])
def test_a_hundred_cases_show_30_percent_more_and_that_nothing_is_more(times, kind):
    """Five measures share the risk, and each case lies 15 % beside the baseline's, up or down."""
    measures = ("ttft", "tpot", "latency", "output-tokens", "prompt-tokens")
    gates = ", ".join(f"{{score: {name}, atMostWorse: 10%}}" for name in measures)
    rng = random.Random(3)
    cases = [
        {name: ((times if name == "ttft" else 1) * rng.lognormvariate(0, 0.15), 1.0) for name in measures}
        for _ in range(100)
    ]
    verdict = run(trial(f"gates: [{gates}]"), cases)
    assert verdict.kind.value == kind


@pytest.mark.parametrize(
    ("candidate", "baseline", "counts"),
    [(1.0, 1.0, 0.0), (2.0, 1.0, 0.5), (9.0, 1.0, 1.0), (1e300, 1e-300, 1.0), (1e-300, 1e300, -1.0)],
)
def test_a_case_counts_as_at_most_four_times_and_at_least_a_quarter(candidate, baseline, counts):
    assert relative(candidate, baseline) == counts
    assert relative(0.0, baseline) == -1.0
    assert relative(candidate, 0.0) == 1.0
    assert relative(0.0, 0.0) == 0.0


def test_what_takes_five_times_as_long_is_said_to_take_four_times_or_more():
    verdict = run(trial("gates: [{score: ttft, atMostWorse: 10%}]"), [{"ttft": (5.0, 1.0)}] * 100)
    assert "ttft: candidate 5, baseline 1; difference four times as much or more" in verdict.message


def test_a_tenth_of_answers_that_take_ten_times_as_long_is_worse():
    slow = [{"ttft": (10.0 if number % 10 == 0 else 1.0, 1.0)} for number in range(1000)]
    verdict = run(trial("gates: [{score: ttft, atMostWorse: 10%}]", cases=1000), slow)
    assert verdict.kind is VerdictKind.FAIL


@pytest.mark.parametrize("times", [0.6, 1.5])
def test_a_change_in_either_direction_fails(times):
    gates = "gates: [{score: output-tokens, atMostChange: 20%}]"
    verdict = run(trial(gates), [{"output-tokens": (100 * times, 100.0)}] * 300)
    assert verdict.kind is VerdictKind.FAIL


@pytest.mark.parametrize(("wins", "kind"), [(0.5, "Pass"), (0.0, "Fail")])
def test_wins_of_a_pairwise_judge_are_balanced_against_losses(wins, kind):
    verdict = run(trial("gates: [{score: better, atMostWorse: 10%}]"), [{"better": (wins, None)}] * 300)
    assert verdict.kind.value == kind


def test_a_tag_that_is_worse_by_itself_fails_though_the_whole_is_within_the_limit():
    def cases():
        for i in range(1200):
            tag = "german" if i % 50 == 0 else "english"
            yield Folded({"correct": (0.0 if tag == "german" else 1.0, 1.0)}, (tag,))

    verdict = run(trial(ONE, 1200, {"german": 24, "english": 1176}), cases())
    assert verdict.kind is VerdictKind.FAIL
    assert "correct of german" in verdict.message
    tolerant = Trial(read(f"{SCORERS}\n{ONE}\ntags: warn"), 1200, {"german": 24, "english": 1176})
    verdict = run(tolerant, cases())
    assert verdict.kind is VerdictKind.PASS
    assert {result.tag: result.state for result in verdict.tags}["german"] == "Worse"


def test_many_tags_share_the_risk():
    tags = {f"tag-{i}": 37 for i in range(8)}
    failed = 0
    for seed in range(5):
        rng = random.Random(seed)
        cases = [
            Folded({"correct": (float(rng.random() < 0.7), float(rng.random() < 0.7))}, (f"tag-{i % 8}",))
            for i in range(300)
        ]
        failed += run(trial(ONE, 300, tags), cases).kind is VerdictKind.FAIL
    assert failed == 0


def test_what_can_be_found_is_said_before_it_starts():
    enough, few = forecasts(trial(ONE))[0], forecasts(trial(ONE, cases=40))[0]
    assert 76 < enough.to_pass < 350
    assert 0.05 < enough.detectable < 0.25
    assert few.detectable > enough.detectable
    assert "there are 40" in few.text
    assert "mustProve: false" in few.text
