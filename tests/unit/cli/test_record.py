"""`modelrollout record` where there is nothing to record; the apiserver tier has the rest."""

import json
from dataclasses import replace

import pytest

from modelrollout.analysis.evidence.evidence import Evidence
from modelrollout.analysis.inputs.observation import Look, Observation, Ratio
from modelrollout.analysis.records.look_log import Looked
from modelrollout.api.names import RolloutKey
from modelrollout.api.spec import Spec
from modelrollout.cli import main
from modelrollout.cli.recount import counted_again
from modelrollout.engine.judging.case import Case, Stage, judgement_of, question_of
from modelrollout.engine.judging.trial import Trial
from modelrollout.rollout.contest_report import reports
from modelrollout.sources.looks import Counted
from tests.unit.rollout.test_contest_report import TONE, counted

METRIC = {"use": "http/success-rate", "tolerate": {"absolute": "0.01"}}
SPEC = {
    "model": {"uri": "hf://test/one"},
    "runtime": {"image": "vllm/vllm-openai:v0.32.0"},
    "traffic": {"service": "chat"},
    "strategy": {"canary": {"steps": [{"weight": 50}]}},
    "analysis": {"prometheus": {"address": "http://127.0.0.1:9"}, "metrics": [METRIC]},
}


def judged(looks=2):
    """The stored evidence of a trial in which nothing was there to be counted."""
    spec = Spec.model_validate(SPEC)
    case = Case("2026-11-21T09:00:00Z", "old", "new", spec.analysis)
    question = question_of(RolloutKey("ml", "chat"), spec, case, (1.0, 1.0))
    trial = Trial(case, question, Stage("0@a", 0.0, 0.5, judged=True, countable=False), 20)
    trial.evidence = Evidence.fresh(judgement_of(case, question, 20))
    for i in range(looks):
        trial.fold(Counted(Look(30.0 * i, 30.0 * (i + 1)), {}))
    return trial.to_state()


@pytest.fixture
def record(tmp_path, capsys):
    """What the command says of a ModelRollout with this evidence, and its exit code."""

    def told(evidence, analysis=SPEC["analysis"]):
        file = tmp_path / "chat.json"
        resource = {"kind": "ModelRollout", "metadata": {"name": "chat", "namespace": "ml"}}
        resource |= {"spec": SPEC | {"analysis": analysis}, "status": {"evidence": evidence}}
        file.write_text(json.dumps(resource))
        code = main(["record", "--file", str(file)])
        streams = capsys.readouterr()
        assert streams.out == ""
        return code, streams.err

    return told


def test_a_rollout_that_was_not_judged_has_nothing_to_record(record):
    assert record(None) == (
        2,
        "modelrollout record: Its status holds no evidence: no look of a trial has been judged yet.\n",
    )


def test_another_analysis_than_the_one_that_was_judged_is_reported(record):
    wider = SPEC["analysis"] | {"metrics": [METRIC | {"tolerate": {"absolute": "0.02"}}]}
    code, said = record(judged(), wider)
    assert code == 2
    assert "are not those that were judged" in said


def test_times_that_were_not_kept_are_reported(record):
    state = judged()
    state["looked"]["runs"] = []
    code, said = record(state)
    assert code == 2
    assert "Of its 2 looks only the times of the newest 0 are kept" in said


def test_evidence_of_another_version_is_reported(record):
    code, said = record({"case": "nothing"})
    assert code == 2
    assert "another version of the operator" in said


def test_a_prometheus_that_is_not_there_is_named(record):
    code, said = record(judged())
    assert code == 2
    assert "http://127.0.0.1:9 cannot be reached" in said


def test_without_a_cluster_it_says_what_to_do(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["record", "chat"]) == 2
    assert "kubectl get mr NAME -o yaml | modelrollout record --file -" in capsys.readouterr().err


def test_the_reports_of_its_experiments_are_written_without_prometheus(tmp_path, capsys):
    step = {"experiment": {**TONE, "baseline": "0.10", "smallestEffect": "0.05"}}
    tally = counted(step, *[((10, 100), (16, 100))] * 7)
    resource = {"kind": "ModelRollout", "metadata": {"name": "chat"}, "spec": SPEC}
    resource["status"] = {"evidence": judged() | {"tallies": [tally.to_state()]}}
    (tmp_path / "chat.json").write_text(json.dumps(resource))
    assert main(["record", "--file", f"{tmp_path}/chat.json", "--reports", f"{tmp_path}/out"]) == 2
    assert "out/tone.md: experiment tone: The new revision is better" in capsys.readouterr().err
    (told,) = reports(resource["status"]["evidence"])
    assert (tmp_path / "out" / "tone.md").read_text() == told.markdown
    assert (tmp_path / "out" / "tone.svg").read_text() == told.picture


def test_a_rollout_without_an_experiment_has_no_reports(tmp_path, capsys):
    resource = {"kind": "ModelRollout", "metadata": {"name": "chat"}, "spec": SPEC}
    (tmp_path / "chat.json").write_text(json.dumps(resource | {"status": {"evidence": judged()}}))
    main(["record", "--file", f"{tmp_path}/chat.json", "--reports", f"{tmp_path}/out"])
    assert "it counted the users of no experiment and no bandit" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


async def test_looks_from_after_the_names_moved_are_counted_under_the_new_names():
    spec = Spec.model_validate(SPEC)
    case = Case("2026-11-21T09:00:00Z", "old", "new", spec.analysis)
    question = question_of(RolloutKey("ml", "chat"), spec, case, (1.0, 1.0))
    trial = Trial(case, question, Stage("0@a", 0.0, 1.0, judged=True, countable=False), 20)
    trial.evidence = Evidence.fresh(judgement_of(case, question, 20))
    counts = {"http/success-rate": Observation(Ratio(0, 100), Ratio(0, 100))}
    for i in range(4):
        moved = replace(question.arms, moved=i >= 2)
        trial.question = replace(question, arms=moved)
        trial.fold(Counted(Look(30.0 * i, 30.0 * (i + 1)), counts))
    stored = Looked.from_state(json.loads(json.dumps(trial.to_state()))["looked"])

    asked = []

    class Source:
        async def count(self, what, look):
            asked.append((look.start, what.arms.moved))
            return Counted(look, counts)

    await counted_again(Source(), question, stored)
    assert sorted(asked) == [(0.0, False), (30.0, False), (60.0, True), (90.0, True)]
