"""Verdicts from a real Prometheus move the rollout, hold it, or take it back."""

import itertools
import signal
import time

import pytest

from tests.apiserver.judged import METRIC, judging


@pytest.fixture
def judged(plane_with_routes, scene, prometheus_factory, tmp_path):
    with judging(plane_with_routes, scene, prometheus_factory(scrape_interval="1s"), tmp_path) as judged:
        yield judged


def test_an_equal_canary_passes_and_is_promoted(judged):
    judged.begin()
    judged.scene.wait(lambda status: status["phase"] == "Stable" and "two" in status["stable"]["model"], 90)
    assert judged.operator.metric("modelrollout_looks_total", result="Pass") >= 1
    assert judged.operator.metric("modelrollout_errors_total", kind="AlreadyFolded") == 0


def test_a_failing_canary_is_reverted_and_the_evidence_is_shown(judged):
    judged.begin(metrics=[METRIC | {"tolerate": {"absolute": "0.001"}}])
    judged.canary.serve(bad=0.3)
    turned = time.monotonic()
    status = judged.scene.wait("Reverted", 120)
    print(f"\nbad for {time.monotonic() - turned:.1f} s until reverted")
    assert judged.scene.weight() == 0
    assert status["analysis"]["verdict"] == "Fail"
    (metric,) = status["analysis"]["metrics"]
    assert metric["verdict"] == "Worse"
    assert "http_requests_total" in metric["query"]
    assert judged.scene.condition("Reverted")[0] == "True"


def test_without_prometheus_the_rollout_holds_and_goes_on_when_it_is_back(judged):
    judged.begin()
    judged.prometheus.process.signal(signal.SIGSTOP)
    status = judged.scene.wait(
        lambda status: (status.get("analysis") or {}).get("verdict") == "ProviderError", 60
    )
    assert status["phase"] == "Progressing"
    time.sleep(10)
    assert judged.scene.phase() == "Progressing"
    assert judged.scene.weight() == 50
    judged.prometheus.process.signal(signal.SIGCONT)
    judged.scene.wait(lambda status: status["phase"] == "Stable" and "two" in status["stable"]["model"], 90)


def test_zero_traffic_holds_with_its_reason(judged):
    judged.begin(metrics=[METRIC | {"tolerate": {"absolute": "0.001"}}])  # not proven before traffic ends
    for arm in (judged.control, judged.canary):
        arm.serve(rate=0.0)

    def silent():
        looks = (line for line in judged.operator.lines() if line["event"] == "look")
        return [line["message"] for line in looks if line["reason"] == "NoTraffic"]

    judged.scene.wait(lambda _: len(silent()) > 2, 60)
    assert "see whether users reach it" in silent()[0]
    assert judged.scene.phase() == "Progressing"
    assert judged.scene.weight() == 50


def test_a_restart_in_mid_step_counts_the_looks_again_at_the_same_instants(judged):
    """No look is lost and none is counted twice, as if the operator had never died."""
    judged.begin(metrics=[METRIC | {"tolerate": {"absolute": "0.001"}}])
    judged.canary.serve(bad=0.004)
    judged.scene.wait(lambda _: judged.operator.metric("modelrollout_looks_total") >= 3, 60)
    judged.operator.kill()
    time.sleep(6)
    judged.operator.start()
    judged.operator.wait_ready()
    judged.scene.wait(lambda _: judged.operator.metric("modelrollout_looks_total") >= 5, 60)
    ends = [line["end"] for line in judged.operator.lines() if line["event"] == "look"]
    distinct = sorted(set(ends))
    steps = {b - a for a, b in itertools.pairwise(distinct)}
    assert steps == {2.0}, "no look between the first and the last is missing"
    assert judged.operator.metric("modelrollout_errors_total", kind="AlreadyFolded") == 0
