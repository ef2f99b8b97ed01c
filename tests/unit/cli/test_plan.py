"""`modelrollout plan` on the repository's own examples, without a Prometheus."""

import io
from dataclasses import replace

import pytest
import yaml

from modelrollout import __version__
from modelrollout.cli import main, plan
from modelrollout.sources import forecast
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


@pytest.mark.parametrize("rate", ["0.5", "20", "500"])
def test_every_critical_metric_is_planned_and_what_was_assumed_is_named(capsys, rate):
    main(["plan", "-f", str(EXAMPLE), "--rate", rate])
    lines = capsys.readouterr().out.splitlines()
    assumed = [line for line in lines if line.startswith("assumed, because nothing is known of them")]
    assert "vllm/time-to-first-token" in assumed[0]
    assert not any(line.startswith("not planned") for line in lines)
    first = lines[1:6]
    latencies = ("vllm/time-to-first-token", "vllm/time-per-output-token")
    for metric in (*latencies, "http/client-error-rate", "vllm/success-rate"):
        assert any(line.strip().startswith(f"{metric}: control") for line in first), first


def test_nothing_is_decided_by_what_is_not_planned(tmp_path, capsys):
    documents = list(yaml.safe_load_all(EXAMPLE.read_text()))
    counted = {"use": "vllm/preemptions", "tolerate": {"ratio": "1.5"}, "critical": True}
    documents[-1]["spec"]["analysis"]["metrics"].append(counted)
    file = tmp_path / "rollout.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    assert main(["plan", "-f", str(file), "--rate", "20"]) == 0
    out = capsys.readouterr().out
    unplanned = [line for line in out.splitlines() if line.startswith("not planned: ")]
    for name in unplanned[0].removeprefix("not planned: ").split(", ") if unplanned else []:
        assert name not in out.replace(unplanned[0], "")


def test_a_manifest_comes_by_standard_input_too(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(EXAMPLE.read_text()))
    assert main(["plan", "-f", "-", "--rate", "20"]) == 0
    assert "weight 5 %" in capsys.readouterr().out


def test_the_command_says_its_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"modelrollout {__version__}\n"


def test_the_users_and_days_of_an_experiment_are_said_before_it_begins(capsys):
    assert main(["plan", "-f", str(EXAMPLE.parent / "experiment-step.yaml"), "--rate", "20"]) == 0
    out = capsys.readouterr().out
    assert "experiment tone" in out
    assert "takes 686 users of stable and 686 of the canary" in out
    assert "with 200 new users a day that takes 7 days" in out


def test_a_pause_with_an_end_takes_its_time(capsys):
    main(["plan", "-f", str(EXAMPLE.parent / "bluegreen-service.yaml"), "--rate", "20"])
    lines = capsys.readouterr().out.splitlines()
    assert ["pause", "10m00s"] in [line.split()[1:3] for line in lines]


@pytest.mark.parametrize("before", [{}, {"vllm/preemptions": 0.01}], ids=["no past", "a past"])
def test_critical_counted_events_are_planned_from_how_often_they_happened(before):
    manifest = next(
        each for each in yaml.safe_load_all(EXAMPLE.read_text()) if each["kind"] == "ModelRollout"
    )
    manifest["spec"]["analysis"]["metrics"] = [{"use": "vllm/preemptions", "critical": True}]
    spec = plan.spec_of(manifest, None)
    known = replace(forecast.assumed(spec.analysis, 4.0), events=before)
    lines = plan.report(spec, known)
    assert any("events per unit, limit" in line for line in lines) is bool(before)
    assert any(line == "not planned: vllm/preemptions" for line in lines) is not bool(before)


@pytest.mark.parametrize("command", ["plan", "record"])
def test_a_cluster_that_cannot_be_found_is_a_sentence(command, tmp_path, capsys):
    missing = tmp_path / "no-such-config"
    assert main([command, "chat", "--kubeconfig", str(missing), "--context", "far"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"modelrollout {command}: no cluster to ask")
    assert "--kubeconfig and --context" in said
