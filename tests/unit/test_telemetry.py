"""What the operator shows of a rollout is what it is now: no state that it has left stays on the page."""

import pytest
from prometheus_client.metrics import MetricWrapperBase

from modelrollout.telemetry import Telemetry
from tests.bed.folders import REPOSITORY

CHAT = {"namespace": "ns", "name": "chat"}


@pytest.fixture
def telemetry():
    return Telemetry()


def shown(telemetry, name):
    """Last label -> value of all series of a gauge."""
    (family,) = (family for family in telemetry.registry.collect() if family.name == name)
    return {list(sample.labels.values())[-1]: sample.value for sample in family.samples}


def test_a_phase_that_was_left_disappears(telemetry):
    telemetry.show(**CHAT, phase="Progressing", verdict="Insufficient", desired=5, observed=5)
    telemetry.show(**CHAT, phase="Stable", verdict=None, desired=0, observed=0)
    assert shown(telemetry, "modelrollout_phase") == {"Stable": 1}
    assert shown(telemetry, "modelrollout_verdict") == {}
    assert shown(telemetry, "modelrollout_canary_weight_percent") == {"desired": 0, "observed": 0}


def test_a_weight_that_cannot_be_read_is_not_shown_as_the_last_one(telemetry):
    telemetry.show(**CHAT, phase="Progressing", verdict=None, desired=5, observed=5)
    telemetry.show(**CHAT, phase="Progressing", verdict=None, desired=25, observed=None)
    assert shown(telemetry, "modelrollout_canary_weight_percent") == {"desired": 25}


def test_evidence_of_a_trial_that_is_over_disappears(telemetry):
    at = {"phase": "Progressing", "verdict": None, "desired": 5, "observed": 5}
    telemetry.show(**CHAT, **at, evidence={("errors", "pass"): 63.0, ("errors", "revert"): 4.0})
    assert shown(telemetry, "modelrollout_evidence_percent") == {"pass": 63, "revert": 4}
    telemetry.show(**CHAT, **at, evidence={("ttft", "pass"): 100.0})
    assert shown(telemetry, "modelrollout_evidence_percent") == {"pass": 100}
    telemetry.forget(**CHAT)
    assert shown(telemetry, "modelrollout_evidence_percent") == {}


def test_a_rollout_that_is_gone_takes_nothing_of_the_others_with_it(telemetry):
    telemetry.show(**CHAT, phase="Stable", verdict=None, desired=0, observed=0)
    telemetry.show(namespace="ns", name="other", phase="Reverted", verdict="Fail", desired=0, observed=0)
    telemetry.forget("ns", "chat")
    assert shown(telemetry, "modelrollout_phase") == {"Reverted": 1}
    assert shown(telemetry, "modelrollout_verdict") == {"Fail": 1}


def test_each_metric_is_on_the_page_with_its_labels_and_its_text(telemetry):
    page = (REPOSITORY / "docs" / "scale.md").read_text("utf-8")
    written = {line for line in page.splitlines() if line.startswith("| `modelrollout_")}
    instruments = [each for each in vars(telemetry).values() if isinstance(each, MetricWrapperBase)]
    assert len(instruments) > 10
    assert {row(instrument) for instrument in instruments} == written


def row(instrument):
    (family,) = instrument.describe()
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = ", ".join(f"`{label}`" for label in instrument._labelnames)
    return f"| `{name}` | {labels} | {family.documentation} |".replace("|  |", "| |")
