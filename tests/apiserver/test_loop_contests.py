"""An experiment and a bandit, with users that a real Prometheus counts."""

import pytest

from modelrollout.rollout.contest_report import reports
from tests.apiserver.judged import METRIC, judging
from tests.apiserver.scene import Weights, wait_until

USERS = {"successes": "sum(shop_orders_total{$arm})", "users": "sum(shop_visitors_total{$arm})"}
COHORTS = {
    "gateway": {"httpRoute": "chat", "rule": "completions"},
    "sticky": {"header": "x-cohort"},
}
BASKETS = {
    "name": "baskets",
    "mean": {"sum": USERS["successes"], "count": USERS["users"]},
    "direction": "decrease-is-bad",
    "tolerate": {"absolute": "0.3"},
}
"""A guardrail that does not count requests: these arms have as many whatever the weight is."""


@pytest.fixture
def judged(plane_with_routes, scene, prometheus_factory, tmp_path):
    with judging(plane_with_routes, scene, prometheus_factory(scrape_interval="1s"), tmp_path) as judged:
        yield judged


def test_an_experiment_hides_what_it_counts_until_its_users_are_there_and_promotes_the_winner(judged):
    tone = {"name": "tone", "metric": USERS, "baseline": "0.10", "smallestEffect": "0.05"}
    judged.begin([{"experiment": tone}], COHORTS, metrics=[METRIC | {"tolerate": {"absolute": "0.2"}}])
    judged.canary.serve(buys=0.2)
    status = judged.scene.wait(lambda status: status.get("step", {}).get("startedAt"), 60)
    contest = status["step"]["contest"]
    assert (contest["stable"], contest["canary"], contest.get("result")) == (686, 686, None)
    assert "shop_orders_total" not in str(status.get("analysis"))
    judged.scene.wait(lambda status: status["phase"] == "Stable" and "two" in status["stable"]["model"], 90)

    def decided():
        return any("the new revision is better (" in each["message"] for each in judged.scene.list("Event"))

    wait_until(decided)
    (told,) = reports(judged.scene.get("ModelRollout")["status"]["evidence"])
    assert told.markdown.startswith("# experiment tone: The new revision is better")


def test_a_bandit_moves_users_to_the_revision_that_earns_more_also_after_a_restart(judged, plane_with_routes):
    earns = {"name": "earns", "reward": USERS, "floor": 20, "pace": 30, "every": "10s", "looks": 16}
    judged.begin([{"bandit": earns}], metrics=[BASKETS])
    judged.canary.serve(buys=0.2)
    with Weights(plane_with_routes, judged.scene.namespace) as weights:
        # How far the first move goes is chance: the weight is how probably the revision is the better one.
        wait_until(lambda: any(20 < (weight or 0) < 100 for weight in weights.series), 90)
        judged.operator.kill()
        judged.operator.start()
        promoted = "hf://test/two"
        judged.scene.wait(lambda s: s["phase"] == "Stable" and s["stable"]["model"].startswith(promoted), 120)
