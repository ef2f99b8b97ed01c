"""`modelrollout plan` on the repository's own examples, without a Prometheus."""

import pytest
import yaml

from modelrollout.cli import main
from tests.bed.folders import REPOSITORY

EXAMPLE = REPOSITORY / "examples" / "canary-gateway-api.yaml"


def test_a_plan_lists_each_step_and_what_decides_its_length(capsys):
    assert main(["plan", "-f", str(EXAMPLE), "--rate", "20"]) == 0
    lines = capsys.readouterr().out.splitlines()
    steps = [line.split() for line in lines if line[:1].isdigit()]
    assert [words[1:3] for words in steps if words[1] == "weight"] == [
        ["weight", "5"],
        ["weight", "25"],
        ["weight", "50"],
        ["weight", "100"],
    ]
    assert any("a person" in line for line in lines if "pause" in line)


def test_less_traffic_makes_the_first_step_longer_than_its_shortest_stay(capsys):
    main(["plan", "-f", str(EXAMPLE), "--rate", "2"])
    first = capsys.readouterr().out.splitlines()[1]
    assert "vllm/success-rate" in first
    assert "h" in first.split()[4]


def test_no_traffic_at_all_never_passes(capsys):
    assert main(["plan", "-f", str(EXAMPLE), "--rate", "0"]) == 0
    assert "never" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"analysis": None}, "has no spec.analysis"),
        ({"model": {}}, "spec.model.uri"),
    ],
)
def test_what_cannot_be_planned_is_said_in_a_sentence(tmp_path, capsys, change, says):
    documents = list(yaml.safe_load_all(EXAMPLE.read_text()))
    documents[-1]["spec"] |= change
    file = tmp_path / "rollout.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    assert main(["plan", "-f", str(file), "--rate", "20"]) == 2
    assert says in capsys.readouterr().err


def test_a_prometheus_that_does_not_answer_is_named(capsys):
    options = ["--prometheus", "http://127.0.0.1:9", "--namespace", "prod"]
    assert main(["plan", "-f", str(EXAMPLE), *options]) == 2
    assert "127.0.0.1:9" in capsys.readouterr().err


def test_what_has_no_past_to_plan_from_is_named(capsys):
    main(["plan", "-f", str(EXAMPLE), "--rate", "20"])
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "not planned, for want of a past to plan from: vllm/time-to-first-token"


def test_a_pause_with_an_end_takes_its_time(capsys):
    main(["plan", "-f", str(EXAMPLE.parent / "bluegreen-service.yaml"), "--rate", "20"])
    lines = capsys.readouterr().out.splitlines()
    assert ["pause", "10m00s"] in [line.split()[1:3] for line in lines]
