"""What a run says to those who watch it from outside, and what is believed of it."""

import json

import pytest

from modelrollout.evaluate.outcome import last_line, line, outcome
from modelrollout.evaluate.policy import read
from modelrollout.evaluate.reports import document
from modelrollout.evaluate.trial import Folded, Trial
from modelrollout.evaluate.verdict import judge

POLICY = """
dataset: golden.jsonl
scorers: [{name: correct, kind: exact}]
gates: [{score: correct, atMostWorse: 5%}, {score: ttft, atMostWorse: 10%}]
"""


def trial(cases=300, right=(1.0, 1.0), asked=0):
    made = Trial(read(POLICY), cases, {})
    for _ in range(asked):
        made.fold(Folded({"correct": right, "ttft": (0.2, 0.25)}))
    return made


def test_a_line_says_how_many_cases_were_asked_and_the_scores_of_both_sides():
    assert line(trial()) == "0/300 cases"
    assert line(trial(asked=3, right=(0.0, 1.0))) == (
        "3/300 cases, correct 0.0 % beside 100.0 %, ttft 0.2 beside 0.25"
    )


def test_of_a_log_the_last_line_that_says_how_far_it_is_counts():
    log = f"300 cases.\n{line(trial(asked=3))}, at most 2 min 03 s left\nTraceback: 7/8 cases of it\n"
    assert last_line(log) == f"{line(trial(asked=3))}, at most 2 min 03 s left"
    assert last_line("300 cases.\n[####....] 142/300 cases\n") is None


@pytest.mark.parametrize(
    ("made", "state"),
    [
        (trial(asked=300), "passed"),
        (trial(asked=300, right=(0.0, 1.0)), "failed"),
        (trial(asked=3), "insufficient"),
    ],
)
def test_the_summary_of_a_verdict_is_read_back_with_its_sentence(made, state):
    verdict = judge(made, ended=True)
    found = outcome(document.summary(verdict, "0123"), verdict.exit_code)
    assert found is not None
    assert (found.state, found.sentence) == (state, verdict.message)


PASS = {"verdict": "Pass", "message": "The candidate keeps every gate."}


@pytest.mark.parametrize(
    ("summary", "code"),
    [
        ("", 0),
        ("Pass", 0),
        ("[]", 0),
        ("[" * 5000, 0),
        (json.dumps({"message": "All is well."}), 0),
        (json.dumps({"verdict": "Pass"}), 0),
        (json.dumps(PASS | {"message": ""}), 0),
        (json.dumps(PASS | {"running": True}), 0),
        (json.dumps(PASS | {"verdict": "pass"}), 0),
        (json.dumps(PASS | {"verdict": ["Pass"]}), 0),
        (json.dumps(PASS), 1),
        (json.dumps(PASS), 137),
        (json.dumps(PASS | {"verdict": "Fail"}), 0),
        (json.dumps(PASS)[:-1], 0),
        (document.progress(trial(asked=3)), 0),
    ],
)
def test_silence_never_opens_a_gate_and_neither_does_half_a_sentence(summary, code):
    assert outcome(summary, code) is None


def test_a_run_that_could_not_be_had_says_so_with_its_own_sentence():
    found = outcome(document.failed(["There is no golden.jsonl."]), 3)
    assert found is not None
    assert (found.state, found.sentence) == ("error", "There is no golden.jsonl.")
