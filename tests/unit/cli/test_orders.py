"""The annotations that the commands write, and what they say became of them."""

import pytest

from modelrollout.api.names import COMMAND_MANAGER
from modelrollout.api.stored import status_in_part
from modelrollout.cli.orders import outcome, unanswered, value_of
from modelrollout.rollout.commands import given, understand
from modelrollout.rollout.insistence import BY_HAND
from tests.unit.cli.seen import condition, judging

AT_REST = judging(phase="Stable", canary=None, step=None)
WARM = judging(phase="Watching", canary=None, step=None, previous={"revision": "aaaaaaaaaa"})
REFUSED = judging(phase="Reverted", canary=None, step=None, refusedRevision="cccccccccc")


def value(verb, body, **more):
    return value_of(verb, status_in_part(body["status"]), **more)


@pytest.mark.parametrize(
    ("verb", "body", "words"),
    [
        ("abort", judging(), "cccccccccc"),
        ("abort", WARM, "bbbbbbbbbb"),
        ("rollback", WARM, "bbbbbbbbbb"),
        ("rollback", AT_REST, "true"),
        ("retry", REFUSED, "cccccccccc"),
        ("retry", AT_REST, "true"),
        ("pause", judging(), "cccccccccc"),
        ("pause", AT_REST, "true"),
        ("promote", judging(), "step@2"),
        ("promote", AT_REST, "step"),
    ],
)
def test_an_order_names_what_was_seen_so_that_it_never_hits_the_next_one(verb, body, words):
    assert value(verb, body) == words
    assert understand(verb, words) is not None


def test_a_rollback_may_name_where_to():
    assert value("rollback", WARM, to="aaaaaaaaaa") == "to@aaaaaaaaaa"
    assert understand("rollback", "to@aaaaaaaaaa").to == "aaaaaaaaaa"


def test_promote_full_names_the_revision():
    assert value("promote", judging(), full=True) == "full@cccccccccc"
    assert value("promote", AT_REST, full=True) == "full"


def test_a_resume_takes_the_pause_off():
    assert value("resume", judging()) is None


def recorded(name, words, state, at="2026-11-28T09:00:00Z", **more):
    record = {"name": name, "value": words, "revision": "cccccccccc", "state": state, "at": at}
    return judging(commands=[record | more])


def test_an_order_is_done_or_refused_when_its_record_says_so():
    for state in ("Done", "Ignored"):
        assert outcome("abort=true", "true", None, recorded("abort", "true", state)).state == state


def test_the_same_words_from_before_are_no_answer():
    body = recorded("abort", "true", "Done", seen="17")
    before = status_in_part(body["status"]).commands[0]
    assert outcome("abort=true", "true", before, body) is None
    assert outcome("abort=true", "true", before, recorded("abort", "true", "Done", seen="21")).state == "Done"


def test_a_kill_is_done_once_everybody_is_back_and_names_no_revision():
    assert (value("kill", judging()), value("unkill", judging())) == ("true", None)
    reasoned = value("kill", judging(), reason="INC-7 it insults people")
    assert given({"modelrollout.io/kill": reasoned})["kill"].value == reasoned
    body = recorded("kill", "true", "Bound")
    body["status"]["conditions"].append(condition("Killed", "False", "Reverting"))
    assert outcome("kill=true", "true", None, body) is None
    assert "Not everybody is back yet" in unanswered("kill=true", body, 10).message
    body["status"]["conditions"][-1] = condition("Killed", "True", "HeldByKill")
    assert outcome("kill=true", "true", None, body).state == "Done"
    assert outcome("kill-", None, None, body) is None
    assert outcome("kill-", None, None, judging()).state == "Done"


def test_an_order_that_waits_for_its_revision_is_kept_and_no_failure():
    body = recorded("abort", "dddddddddd", "Bound")
    assert outcome("abort=dddddddddd", "dddddddddd", None, body) is None
    answer = unanswered("abort=dddddddddd", body, 10)
    assert (answer.state, answer.exit_code) == ("Bound", 0)


def test_a_pause_is_done_once_the_rollout_says_that_it_is_paused():
    body = recorded("pause", "cccccccccc", "Bound")
    assert outcome("pause=cccccccccc", "cccccccccc", None, body) is None
    body["status"]["conditions"].append(condition("Paused", "True", "PausedByCommand"))
    assert outcome("pause=cccccccccc", "cccccccccc", None, body).state == "Done"
    assert outcome("pause-", None, None, body) is None
    assert outcome("pause-", None, None, judging()).state == "Done"


def test_a_pause_at_rest_is_kept_for_the_next_revision():
    assert unanswered("pause=true", AT_REST, 10).state == "Bound"


def test_without_an_operator_the_order_stands_and_the_exit_code_says_so():
    answer = unanswered("abort=cccccccccc", judging(), 10)
    assert answer.exit_code == 3
    assert "stands on the object" in answer.message


def test_an_operator_that_was_uninstalled_is_named():
    body = judging()
    body["status"]["conditions"] = [condition("Managed", "False", "Uninstalled", "It was uninstalled")]
    assert unanswered("abort=cccccccccc", body, 10).message == "It was uninstalled."


def test_the_operator_takes_the_command_for_a_person():
    assert COMMAND_MANAGER in BY_HAND
