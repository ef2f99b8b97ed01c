"""A rollout that was judged is counted again from Prometheus, and replayed to the operator's own verdicts."""

import json
import os
import subprocess
import sys

import pytest

from tests.apiserver.judged import METRIC, judging
from tests.bed.folders import REPOSITORY

STEPS = [{"weight": 20}, {"weight": 50}]


@pytest.fixture
def judged(plane_with_routes, scene, prometheus_factory, tmp_path):
    with judging(plane_with_routes, scene, prometheus_factory(scrape_interval="1s"), tmp_path) as judged:
        yield judged


def run(*arguments, plane, text=None):
    env = {**os.environ, "KUBECONFIG": str(plane.kubeconfig), "PYTHONPATH": str(REPOSITORY / "operator")}
    command = [sys.executable, "-m", "modelrollout", *arguments]
    return subprocess.run(command, env=env, input=text, capture_output=True, text=True, check=False)


def replayed(record, plane):
    done = run("replay", "--json", "-", plane=plane, text=record)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def told(operator):
    """What the operator said of each look, by the time of the look's end."""
    lines = [line for line in operator.lines() if line["event"] == "look"]
    return {line["end"]: (line["verdict"], line["reason"], line["message"]) for line in lines}


def assert_judged_alike(record, judged, plane):
    """Each look of the record has the verdict that the operator gave it, numbers and all."""
    operator, parsed = told(judged.operator), json.loads(record)
    verdicts = [(line["verdict"], line["reason"], line["message"]) for line in replayed(record, plane)]
    ends = [end for _, end in parsed["times"]]
    assert len(verdicts) == len(ends) >= 4
    assert verdicts == [operator[end] for end in ends]


def test_a_reverted_rollout_is_recorded_and_replayed_to_the_same_verdicts(judged, plane_with_routes):
    judged.begin(metrics=[METRIC | {"tolerate": {"absolute": "0.001"}}])
    judged.canary.serve(bad=0.05)
    status = judged.scene.wait("Reverted", 120)
    done = run("record", "chat", "-n", judged.scene.namespace, plane=plane_with_routes)
    assert done.returncode == 0, done.stderr
    assert "they give the evidence that is in status" in done.stderr
    assert_judged_alike(done.stdout, judged, plane_with_routes)
    last = replayed(done.stdout, plane_with_routes)[-1]
    assert last["verdict"] == status["analysis"]["verdict"] == "Fail"
    assert last["message"] == status["analysis"]["message"]


def test_a_promoted_rollout_is_recorded_through_its_steps_and_a_restart(judged, plane_with_routes):
    judged.begin(steps=STEPS)
    judged.scene.wait(lambda _: judged.operator.metric("modelrollout_looks_total") >= 2, 60)
    judged.operator.kill()
    judged.operator.start()
    judged.operator.wait_ready()
    judged.scene.wait(lambda status: status["phase"] == "Stable" and "two" in status["stable"]["model"], 120)
    manifest = json.dumps(judged.scene.get("ModelRollout"))
    done = run("record", "--file", "-", plane=plane_with_routes, text=manifest)
    assert done.returncode == 0, done.stderr
    assert [step["look"] for step in json.loads(done.stdout)["steps"]] != []
    assert_judged_alike(done.stdout, judged, plane_with_routes)
    assert replayed(done.stdout, plane_with_routes)[-1]["verdict"] == "Pass"


def test_what_prometheus_has_lost_since_is_named(judged, plane_with_routes, prometheus_factory):
    judged.begin(metrics=[METRIC | {"tolerate": {"absolute": "0.001"}}])
    judged.canary.serve(bad=0.05)
    judged.scene.wait("Reverted", 120)
    empty = prometheus_factory()
    where = ("chat", "-n", judged.scene.namespace, "--prometheus", empty.url)
    done = run("record", *where, plane=plane_with_routes)
    assert done.returncode == 1
    assert "http/success-rate: 0 looks can be used, " in done.stderr
    assert {line["reason"] for line in replayed(done.stdout, plane_with_routes)} == {"NoData"}


def test_a_rollout_that_nobody_judged_has_no_record(scene, plane_with_routes):
    done = run("record", "chat", "-n", scene.namespace, plane=plane_with_routes)
    assert done.returncode == 2
    assert f"no ModelRollout chat in the namespace {scene.namespace}" in done.stderr
