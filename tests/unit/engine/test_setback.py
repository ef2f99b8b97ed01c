"""What a pass could not do stands in status, once and for as long as it is so."""

from modelrollout.api.problem import Problem
from modelrollout.engine.writing.status_writer import stalled

REFUSED = Problem("Refused", "The API server answered 422 to create deployments in ml: no image")
NOW, LATER = "2026-11-27T10:00:00Z", "2026-11-27T11:00:00Z"


def resource(status):
    return {"metadata": {"generation": 3}, "status": status}


def test_the_status_as_stored_gets_the_condition_and_the_message():
    other = {"type": "Accepted", "status": "True"}
    status = stalled(
        resource({"phase": "Starting", "conditions": [other], "of-a-newer-version": 1}), REFUSED, NOW
    )
    assert status["message"] == REFUSED.message
    assert (status["phase"], status["of-a-newer-version"], status["conditions"][0]) == ("Starting", 1, other)
    assert status["conditions"][1] == {
        "type": "Stalled",
        "status": "True",
        "reason": "Refused",
        "message": REFUSED.message,
        "lastTransitionTime": NOW,
        "observedGeneration": 3,
    }


def test_what_status_says_already_is_not_written_again():
    assert stalled(resource(stalled(resource({}), REFUSED, NOW)), REFUSED, LATER) is None


def test_another_setback_replaces_the_first_and_keeps_since_when_nothing_moves():
    before = stalled(resource({}), REFUSED, NOW)
    (condition,) = stalled(resource(before), Problem("Refused", "quota"), LATER)["conditions"]
    assert (condition["message"], condition["lastTransitionTime"]) == ("quota", NOW)


def test_a_message_of_any_length_fits():
    assert len(stalled(resource({}), Problem("Refused", "x" * 5000), NOW)["message"]) == 1024
