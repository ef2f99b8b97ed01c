"""Why a rollout is where it is, what would move it, and what a person can do."""

import pytest

from modelrollout.cli.explain import catalogue, explanation, lines
from modelrollout.cli.screen.lines import ASCII, plain
from modelrollout.cli.screen.tree import Page
from tests.unit.cli.seen import NOW, condition, judging


def commands(body):
    return [choice.command.removeprefix("modelrollout ") for choice in explanation(body).can]


def test_the_reasons_are_those_of_the_conditions_with_what_their_page_says():
    first, second = explanation(judging()).why
    assert (first.reason, first.said) == ("Judging", judging()["status"]["message"])
    assert first.means == catalogue()["Judging"]["means"]
    assert (second.about, second.reason) == ("Verdict Insufficient", "MoreLooksNeeded")
    assert second.do == catalogue()["MoreLooksNeeded"]["do"]


def test_what_stalls_comes_before_what_it_waits_for():
    stalled = condition("Stalled", "True", "Unroutable", "The HTTPRoute chat is not there")
    body = judging()
    body["status"]["conditions"].append(stalled)
    assert explanation(body).why[0].said == "The HTTPRoute chat is not there"


def test_a_condition_that_is_as_it_should_be_explains_nothing():
    body = judging()
    body["status"]["conditions"] += [
        condition("TrafficSplit", "True", "AsDesired"),
        condition("Paused", "False", "NotPaused"),
    ]
    assert {why.reason for why in explanation(body).why} == {"Judging", "MoreLooksNeeded"}


def test_on_trial_it_can_be_promoted_aborted_and_paused():
    offered = ["promote chat", "promote chat --full", "abort chat", "kill chat", "pause chat"]
    assert commands(judging()) == offered


def test_a_kill_switch_that_is_on_is_named_as_the_reason_and_can_be_taken_off():
    body = judging(phase="Killed", canary=None, step=None, refusedRevision="cccccccccc")
    body["metadata"]["annotations"]["modelrollout.io/kill"] = "INC-7"
    body["status"]["conditions"] = [condition("Killed", "True", "HeldByKill", "No new revision begins")]
    assert explanation(body).why[0].reason == "HeldByKill"
    assert commands(body) == ["unkill chat"]


def test_a_pause_can_be_taken_off():
    body = judging(phase="Paused")
    body["metadata"]["annotations"]["modelrollout.io/pause"] = "true"
    assert "resume chat" in commands(body)
    assert "pause chat" not in commands(body)


def test_after_promotion_it_can_be_rolled_back_while_the_old_one_is_warm():
    warm = judging(phase="Watching", canary=None, previous={"revision": "aaaaaaaaaa"})
    assert "rollback chat" in commands(warm)
    assert "rollback chat" not in commands(judging(phase="Stable", canary=None))


def test_a_refused_revision_can_be_tried_again():
    assert "retry chat" in commands(judging(phase="Reverted", canary=None, refusedRevision="cccccccccc"))


def test_on_the_way_back_nothing_is_offered():
    assert commands(judging(phase="Reverting")) == []


def test_what_no_operator_has_seen_leads_to_the_operator():
    found = explanation(judging() | {"status": {}})
    assert "See whether an operator runs" in found.why[0].do
    assert found.can == ()


@pytest.mark.parametrize("width", [40, 100])
def test_the_page_has_all_three_parts_at_any_width(width):
    said = plain(lines(explanation(judging()), Page(NOW, width, ASCII)))
    for heading in ("Why", "What would move it", "What you can do"):
        assert f"\n{heading}\n" in said
    assert max(map(len, said.splitlines())) <= width
