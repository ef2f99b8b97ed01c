"""A recorded rollout is judged again to the same digits, and the error names where a broken file is
broken."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelrollout.analysis.betting.ladder import WHOLE
from modelrollout.analysis.inputs.observation import Observation, Problem, ProblemKind
from modelrollout.analysis.records.record import Record, read, write
from modelrollout.analysis.records.replay import as_json, replay
from modelrollout.api.mistakes import Mistaken
from modelrollout.cli import main
from tests.unit.analysis.given import draw, every_kind, look, ratios

LOOK = {"canary": {"bad": 3, "total": 100}, "control": {"bad": 0, "total": 100}}


def file(**metric: Any) -> dict[str, Any]:
    told = {
        "name": "errors",
        "kind": "ratio",
        "tolerate": {"ratio": 1.0, "absolute": 0.005},
        "looks": [LOOK] * 3,
    }
    return {"falseRevertRisk": 0.01, "missRisk": 0.05, "plannedLooks": 20, "metrics": [told | metric]}


def test_what_is_written_is_read_and_judged_alike() -> None:
    rng, plan = random.Random(3), every_kind()
    plan = replace(plan, metrics=(replace(plan.metrics[0], own_noise=False), *plan.metrics[1:]))
    rows = [draw(rng, plan, 1.5) for _ in range(6)]
    lost = Observation(problem=Problem(ProblemKind.PROVIDER_ERROR, "Prometheus did not answer."))
    rows[2] = rows[2] | {"errors": lost, "cost": Observation(), "slo": ratios(float("nan"), 1, 0, 1)}
    record = Record(plan, tuple(look(i) for i in range(1, 7)), tuple(rows), {4: WHOLE})
    again = read(write(record))
    assert again.plan.metrics[0].prior == plan.metrics[0].prior
    assert not again.plan.metrics[0].own_noise
    for before, after in zip(replay(record), replay(again), strict=True):
        assert after == before


def test_promotion_begins_anew_at_the_steps_of_the_record() -> None:
    data = file(
        looks=[{"canary": {"bad": 0, "total": 900}, "control": {"bad": 9, "total": 900}}] * 6, phi=1.0
    )
    whole = [v.metrics["errors"].promote_e for v in replay(read(json.dumps(data)))]
    parted = [
        v.metrics["errors"].promote_e for v in replay(read(json.dumps(data | {"steps": [{"look": 4}]})))
    ]
    assert parted[:3] == whole[:3]
    assert parted[3] < whole[3]


def test_each_line_has_what_was_promised() -> None:
    lines = [as_json(verdict) for verdict in replay(read(json.dumps(file())))]
    assert [line["look"] for line in lines] == [1, 2, 3]
    metric = lines[-1]["metrics"]["errors"]
    assert set(metric) >= {"revertE", "promoteE", "estimate", "interval95"}
    assert metric["estimate"] == pytest.approx(0.03)
    assert metric["interval95"][0] < 0.03 < metric["interval95"][1]
    assert lines[-1]["combinedRevertE"] == metric["revertE"]
    assert lines[-1]["verdict"] == "Insufficient"


def test_the_command_prints_json_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "looks.json"
    path.write_text(json.dumps(file(phi=1.0)))
    assert main(["replay", str(path), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["look"] for line in lines] == [1, 2, 3]
    assert main(["replay", str(path)]) == 0
    out = capsys.readouterr().out
    assert "look    1  Insufficient" in out
    assert "A revert needs 100 against the canary, a pass 20 for it." in out
    assert "errors: canary 9 of 300 (3 %) bad, control 0 of 300 (0 %)" in out


ALONE = {"canary": {"bad": 3, "total": 100}}


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ([], "the file: [] was given, a mapping of names to values is expected."),
        ({}, "metrics: This field is missing."),
        ({"metrics": []}, "A plan needs at least one metric."),
        ({"metrics": {}}, "metrics: {} was given, a list is expected."),
        (file() | {"surprise": 1}, 'surprise: There is no field "surprise".'),
        (file() | {"falseRevertRisk": "1%"}, "falseRevertRisk: '1%' was given, a number is expected."),
        (file() | {"falseRevertRisk": 0.9}, "falseRevertRisk is 0.9; it must lie between 0 and 0.5."),
        (file() | {"plannedLooks": 2.5}, "plannedLooks: 2.5 was given, a whole number is expected."),
        (file() | {"times": [[0, 1]]}, "There are 1 times for 3 looks; every look needs one."),
        (file() | {"times": [[0, 2], [1, 3], [3, 4]]}, "times[1] is 1 to 3; looks follow one another"),
        (file() | {"steps": [{"look": 9}]}, "look is 9; looks are counted from 1 to 3."),
        (
            file(kind="gauge"),
            "metrics[0].kind: Input should be 'ratio', 'counting', 'histogram', 'mean', 'drift' or 'scalar'",
        ),
        (file(weigth=1), 'There is no field "weigth"; did you mean "weight"?'),
        (file(weight=-1), 'Metric "errors": its weight is -1; a weight is greater than 0.'),
        (file(cap="no"), "metrics[0].cap: 'no' was given, true or false is expected."),
        (file(looks=[LOOK, ALONE]), 'Metric "errors", looks[1]: There are no series for the control.'),
        (file(looks=[{}]), 'Metric "errors", looks[0]: There are no series for the canary.'),
        (
            file(looks=[LOOK | {"canary": {"bad": 7, "total": 5}}]),
            "7 bad units are more than the 5 units in total.",
        ),
        (file(looks=[LOOK | {"canary": {"bad": -1, "total": 5}}]), "both must be finite and at least 0."),
        (
            file(looks=[LOOK | {"canary": {"bad": 1}}]),
            "metrics[0].looks[0].canary.total: This field is missing.",
        ),
        (
            file(looks=[LOOK | {"canary": {"bad": 1, "total": 9, "x": 1}}]),
            "metrics[0].looks[0].canary.x: There is no field",
        ),
        (
            file(looks=[{"problem": {"kind": "Bored"}}]),
            "metrics[0].looks[0].problem.kind: Input should be 'NoData'",
        ),
        (
            {"metrics": [file()["metrics"][0], file(name="other", looks=[LOOK])["metrics"][0]]},
            "Every metric needs the same number of looks; there are: errors 3, other 1.",
        ),
        ({"metrics": file()["metrics"] * 2}, "Metric names must differ; given were errors, errors."),
        (
            file(
                kind="histogram",
                tolerate={"ratio": 1.1},
                looks=[{a: {"edges": [1], "counts": [1]} for a in LOOK}],
            ),
            "1 bucket edges need 2 counts, there are 1.",
        ),
    ],
)
def test_the_error_names_where_a_file_is_broken(
    data: Any, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Mistaken) as refusal:
        read(json.dumps(data))
    assert sentence in str(refusal.value)
    path = tmp_path / "looks.json"
    path.write_text(json.dumps(data))
    assert main(["replay", str(path)]) == 2
    streams = capsys.readouterr()
    assert sentence in streams.err
    assert streams.out == ""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("{", "It is no JSON"), ('{"metrics": NaN}', "metrics: nan was given, a list is expected")],
)
def test_what_is_no_json_is_refused(
    text: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "looks.json"
    path.write_text(text)
    assert main(["replay", str(path)]) == 2
    assert sentence in capsys.readouterr().err
    assert main(["replay", str(tmp_path / "absent.json")]) == 2
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "arm", "tolerate"),
    [
        ("counting", {"count": 1, "exposure": 1800}, {"ratio": 1.5}),
        ("histogram", {"edges": [0.1, 0.5], "counts": [60, 30, 10]}, {"ratio": 1.1}),
        ("mean", {"values": [0, 0.5, 1], "counts": [2, 8, 10]}, {"absolute": 0.03}),
        ("mean", {"sum": 14, "n": 20}, {"absolute": 0.03}),
        ("scalar", {"value": 0.31}, {"ratio": 1.1}),
        ("scalar", {"sum": 31, "n": 100}, {"ratio": 1.1}),
    ],
)
def test_every_documented_shape_is_read(kind: str, arm: dict[str, Any], tolerate: dict[str, float]) -> None:
    looks = [{"canary": arm, "control": arm}] * 2
    metric = {"name": "m", "kind": kind, "tolerate": tolerate, "looks": looks}
    record = read(json.dumps({"metrics": [metric]}))
    assert [verdict.kind.value for verdict in replay(record)] == ["Insufficient"] * 2


def test_an_absolute_limit_needs_no_control_in_the_file() -> None:
    data = file(tolerate={"ratio": 0, "absolute": 0.01}, looks=[ALONE] * 4, phi=1.0)
    assert list(replay(read(json.dumps(data))))[-1].metrics["errors"].revert_e > 1
