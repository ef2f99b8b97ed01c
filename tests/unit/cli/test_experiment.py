"""The command from the plan to the report, on files as people have them."""

from __future__ import annotations

import csv
import json

import pytest

from modelrollout.analysis.records.record import read
from modelrollout.cli.experiment import main
from tests.unit.experiment.given import log

EXPERIMENT = """
name: tone
salt: chat
metric: {name: conversion, kind: share, baseline: 10%, effect: 5%}
"""


@pytest.fixture
def planned(tmp_path, capsys):
    (tmp_path / "experiment.yaml").write_text(EXPERIMENT)
    arguments = [
        "plan",
        f"{tmp_path}/experiment.yaml",
        "--users-per-day",
        "200",
        "--lock",
        f"{tmp_path}/lock",
    ]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert out.startswith("686 users of stable and 686 of the canary: ")
    assert "takes 7 days" in out
    return tmp_path


@pytest.mark.parametrize(
    ("ending", "canary", "count", "code"),
    [("jsonl", 0.2, 1600, 0), ("csv", 0.2, 1600, 0), ("jsonl", 0.1, 1600, 1), ("csv", 0.2, 300, 2)],
)
def test_a_log_is_reported_with_an_exit_code(planned, capsys, ending, canary, count, code):  # noqa: PLR0917
    rows = [row for _, row in log(count, {"stable": 0.1, "canary": canary}, seed=3)]
    path = planned / f"log.{ending}"
    with path.open("w", newline="") as out:
        if ending == "jsonl":
            out.writelines(json.dumps(row) + "\n" for row in rows)
        else:
            writer = csv.DictWriter(out, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    files = [
        "--lock",
        f"{planned}/lock",
        "--output",
        f"{planned}/report.md",
    ]
    assert main(["report", f"{planned}/experiment.yaml", str(path), *files]) == code
    assert capsys.readouterr().out == (planned / "report.md").read_text()


def test_a_changed_experiment_is_refused(planned, capsys):
    (planned / "experiment.yaml").write_text(EXPERIMENT.replace("effect: 5%", "effect: 2%"))
    (planned / "log.jsonl").write_text("")
    code = main(["report", f"{planned}/experiment.yaml", f"{planned}/log.jsonl", "--lock", f"{planned}/lock"])
    assert code == 3
    assert "lock: The experiment has changed since it was locked." in capsys.readouterr().err


def test_a_missing_file_is_named(tmp_path, capsys):
    assert main(["plan", f"{tmp_path}/nowhere.yaml"]) == 3
    assert "nowhere.yaml: It cannot be read: No such file or directory." in capsys.readouterr().err


def test_the_report_of_a_log_is_put_into_the_record_of_the_rollout_once(planned, capsys):
    rows = [row for _, row in log(600, {"stable": 0.1, "canary": 0.1}, seed=3)]
    (planned / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    step = {"name": "tone", "markdown": "# of the step"}
    metric = {"name": "errors", "kind": "ratio", "looks": []}
    (planned / "record.json").write_text(json.dumps({"metrics": [metric], "reports": [step]}))
    report = ["report", f"{planned}/experiment.yaml", f"{planned}/log.jsonl", "--lock", f"{planned}/lock"]
    for _ in range(2):
        main([*report, "--record", f"{planned}/record.json"])
    printed = capsys.readouterr().out
    kept = read((planned / "record.json").read_text()).reports
    assert [each["name"] for each in kept] == ["tone", "tone-log"]
    assert printed == 2 * kept[1]["markdown"]


def test_a_file_that_is_no_record_is_left_as_it_is(planned, capsys):
    (planned / "log.jsonl").write_text("")
    report = ["report", f"{planned}/experiment.yaml", f"{planned}/log.jsonl", "--lock", f"{planned}/lock"]
    (planned / "other.json").write_text("{}")
    assert main([*report, "--record", f"{planned}/other.json"]) == 3
    assert "other.json: " in capsys.readouterr().err
    assert (planned / "other.json").read_text() == "{}"
