"""Reports say the verdict first, escape what models say, and the summary always fits into 4 KiB."""

import json
from xml.etree import ElementTree as ET

import pytest

from modelrollout.evaluate.findings import Findings
from modelrollout.evaluate.policy import read
from modelrollout.evaluate.reports import document, junit, markdown
from modelrollout.evaluate.reports.bundle import bundle
from modelrollout.evaluate.reports.report import Report
from modelrollout.evaluate.trial import Folded, Trial
from modelrollout.evaluate.verdict import judge

POLICY = """
dataset: x
prices: {completionPer1k: 1}
scorers: [{name: correct, kind: exact}, {name: tox, kind: toxicity}]
gates:
  - {score: correct, atMostWorse: 5%}
  - {score: tox, atMost: 1%, mustProve: false}
  - {score: cost, atMostWorse: 10%}
"""


def report(right=1.0, answer="no", cases=100, text=POLICY):
    policy = read(text)
    trial = Trial(policy, cases, {"de": cases // 2})
    findings = Findings(trial)
    for number in range(cases):
        value = float(number < right * cases)
        scores = {"correct": [value, 1.0], "tox": [0.0, 0.0], "cost": [0.01, 0.01]}
        said = [{"text": answer, "completion_tokens": 5, "finish": "stop", "seconds": 1.0, "cost": 0.01}]
        record = {
            "case": f"c{number}",
            "question": "Q?",
            "candidate": said,
            "baseline": said,
            "scores": scores,
        }
        trial.fold(Folded({name: tuple(pair) for name, pair in scores.items()}, ["de"] if number % 2 else []))
        findings.add({**record, "tags": ["de"] if number % 2 else []})
    return Report("quality", policy, trial, judge(trial, ended=True), findings)


def test_markdown_begins_with_the_verdict_and_has_each_gate():
    text = markdown.render(report())
    assert text.startswith("## ✅ Pass: quality")
    for part in ("| correct | 100.0 % | 100.0 % | +0.0 points |", "at most 1 %", "Cost", "| de |"):
        assert part in text


def test_the_worst_cases_are_shown_with_both_answers():
    text = markdown.render(report(right=0.5, answer="the very answer"))
    assert text.startswith("## ❌ Fail: quality")
    assert text.count("the very answer") == 10


def test_an_answer_cannot_break_out_of_its_block_or_mention_anybody():
    text = markdown.render(report(right=0.5, answer="```\n</details> ## Pass"))
    assert "````text\n```\n</details> ## Pass\n````" in text
    policy = POLICY.replace("name: correct", "name: correct-x").replace("score: correct", "score: correct-x")
    assert "@all" not in markdown.render(report(text=policy.replace("dataset: x", "dataset: '@all'")))


def test_junit_has_a_test_per_gate_and_tells_failures_from_errors():
    suite = ET.fromstring(junit.render(report(right=0.5, answer="\x00\x1b")))
    assert int(suite.get("failures")) >= 2
    names = [case.get("name") for case in suite.iter("testcase")]
    assert names[:2] == ["verdict", "correct: at most 5 points worse"]
    suite = ET.fromstring(junit.render(report(cases=20)))
    assert (suite.get("failures"), int(suite.get("errors"))) == ("0", 3)


def test_json_is_whole_and_has_no_infinities():
    made = json.loads(document.render(report(right=0.5)))
    assert (made["verdict"], made["reason"], made["gates"][0]["state"]) == ("Fail", "CandidateWorse", "Worse")
    assert len(made["worst"]) == 5


@pytest.mark.parametrize("gates", [1, 40])
def test_the_summary_fits_into_a_termination_message(gates):
    scorers = ", ".join(f"{{name: scorer-with-a-long-name-{i}, kind: exact}}" for i in range(gates))
    listed = ", ".join(f"{{score: scorer-with-a-long-name-{i}, atMostWorse: 5%}}" for i in range(gates))
    policy = read(f"dataset: x\nscorers: [{scorers}]\ngates: [{listed}]")
    trial = Trial(policy, 10, {})
    for _ in range(10):
        trial.fold(Folded({spec.name: (1.0, 1.0) for spec in policy.scorers}))
    text = document.summary(judge(trial, ended=True), policy.digest)
    assert len(text.encode()) <= 4096
    made = json.loads(text)
    assert made["verdict"] == "Insufficient"
    assert made.get("cut", False) is (gates == 40)
    assert json.loads(document.progress(trial))["asked"] == 10


def test_a_store_that_shows_runs_gets_the_numbers_of_each_gate_and_the_verdict_to_search_by():
    made = bundle(report(right=0.5), "quality-1", {})
    assert made.numbers["correct/candidate"] == 0.5
    assert made.numbers["correct/difference"] == -0.5
    assert made.numbers["total"] == 100
    assert made.words["modelrollout.io/verdict"] == "Fail"
    assert made.words["modelrollout.io/gate/correct"] == "Worse"
    assert made.note.startswith("Fail: The candidate is worse on correct")
    assert made.judged
