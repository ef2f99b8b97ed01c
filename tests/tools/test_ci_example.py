"""The steps of examples/ci/github-actions.yaml do what the file says, run from the file itself."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import yaml

from tests.bed.folders import REPOSITORY
from tests.servers.local import fake_vllm

WORKFLOW = yaml.safe_load((REPOSITORY / "examples" / "ci" / "github-actions.yaml").read_text())
SAYS = {"curl": 'cat >> "$CALLS"\n', "kubectl": "echo 'Stable: The rollout is done.'\n"}
RECORD = '#!/bin/sh\necho "$0" "$@" >> "$CALLS"\n'


@pytest.fixture(scope="module")
def model():
    with fake_vllm(answer="The capital is Paris Rome Madrid and 42") as server:
        yield server


@pytest.fixture
def checkout(tmp_path):
    """A repository with a prompt on its main branch and another one in the pull request."""
    place = tmp_path / "repository"
    (place / "prompts").mkdir(parents=True)
    shutil.copytree(REPOSITORY / "examples" / "quality", place / "quality")
    git(place, "init", "--quiet", "--initial-branch=main")
    for text in ("Be brief.", "Be brief and polite."):
        (place / "prompts" / "system.txt").write_text(text)
        git(place, "add", ".")
        git(place, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", text)
    return place


def git(place, *arguments):
    return subprocess.run(["git", *arguments], cwd=place, check=True, capture_output=True, text=True).stdout


def steps(job, place, **values):
    """(name, exit code) of a job's steps, run as the workflow would: after a failure only `always()`."""
    tools = place.parent / "tools"
    tools.mkdir()
    for name in ("pip", "gh", "kubectl", "curl"):
        (tools / name).write_text(RECORD + SAYS.get(name, ""))
    (tools / "modelrollout").write_text(f'#!/bin/sh\nexec {sys.executable} -m modelrollout "$@"\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    environment = {
        **os.environ,
        **{name: str(value) for name, value in WORKFLOW["jobs"][job]["env"].items()},
        **values,
        "PATH": f"{tools}:{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY / "operator"),
        "CALLS": str(place.parent / "calls"),
    }
    codes, failed = [], False
    for step in WORKFLOW["jobs"][job]["steps"]:
        if "run" in step and (not failed or step.get("if") == "always()"):
            shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
            ran = subprocess.run(shell, cwd=place, env=environment, check=False)
            codes.append((step["name"], ran.returncode))
            failed = failed or ran.returncode != 0
    return codes, (place.parent / "calls").read_text()


def test_a_pull_request_is_evaluated_against_main_and_gets_a_comment(checkout, model):
    before = git(checkout, "rev-parse", "HEAD~1").strip()
    codes, calls = steps("evaluate", checkout, MODEL_URL=model.url, PULL_REQUEST="7", BASE=before)
    assert [code for _, code in codes] == [0] * 4
    assert (checkout / "baseline-system.txt").read_text() == "Be brief."
    assert "gh pr comment 7 --body-file report.md" in calls
    report = json.loads((checkout / "report.json").read_text())
    assert report["verdict"] == "Pass"
    assert "prompt prompts/system.txt" in report["versions"]["candidate"]


def test_a_server_that_is_down_fails_the_check_and_comments_nothing(checkout):
    codes, calls = steps(
        "evaluate", checkout, MODEL_URL="http://127.0.0.1:9/v1", PULL_REQUEST="7", BASE="HEAD~1"
    )
    assert ("Evaluate", 3) in codes
    assert "gh pr comment" not in calls


def test_a_merge_applies_waits_and_tells_people(checkout):
    codes, calls = steps("rollout", checkout, WEBHOOK="http://127.0.0.1:9/hook")
    assert [code for _, code in codes] == [0, 0, 0]
    assert "kubectl wait modelrollout/chat --for=condition=Promoted" in calls
    assert '{"text": "Stable: The rollout is done."}' in calls
