"""Alerts that a real Prometheus evaluates decide about a rollout of a real operator."""

import pytest

from tests.apiserver.judged import judging

BAD = "CanaryRegressionDetected"


def rule(expression):
    return [{"name": "canary", "interval": "1s", "rules": [{"alert": BAD, "expr": expression}]}]


@pytest.fixture
def judged(plane_with_routes, scene, prometheus_factory, tmp_path):
    with judging(plane_with_routes, scene, prometheus_factory(scrape_interval="1s"), tmp_path) as begun:
        yield begun


def reason(status):
    return next(each["reason"] for each in status["conditions"] if each["type"] == "Progressing")


def test_no_step_passes_without_the_rule_and_the_alert_sends_home_once_it_has_fired_long_enough(judged):
    alerts = [{"name": BAD, "then": "revert", "for": "4s"}]
    judged.begin([{"pause": {"duration": "2s"}}, {"weight": 50, "for": "1h"}], alerts=alerts)
    held = judged.scene.wait(lambda status: reason(status) == "AlertsSilent")
    assert f"no alerting rule {BAD}" in held["message"]

    judged.prometheus.set_rules(rule("sum by (namespace, rollout, revision) (up) < 0"))
    judged.scene.wait(lambda status: status["weight"]["desired"] == 50)

    fires = f'up{{rollout="chat",revision="{judged.scene.status()["canary"]["revision"]}"}} == 1'
    judged.prometheus.set_rules(rule(f"sum by (namespace, rollout, revision) ({fires}) > 0"))
    status = judged.scene.wait(lambda status: status["phase"] == "Reverted")
    assert status["history"][-1]["reason"] == "AlertFired"
    assert BAD in status["message"]
