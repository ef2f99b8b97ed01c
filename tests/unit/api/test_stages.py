"""A step of the wire is read once, into exactly one kind of stage."""

from __future__ import annotations

import pytest

from modelrollout.api.spec import Match, Step
from modelrollout.api.stages import Evaluate, Shift, Stage, Wait, stage_of

BETA = {"header": "x-beta", "value": "yes"}


@pytest.mark.parametrize(
    ("step", "stage"),
    [
        ({"weight": 5}, Shift(0, weight=5)),
        ({"weight": 100, "for": "10m"}, Shift(600, weight=100)),
        ({"mirror": 20, "for": "1h"}, Shift(3600, mirror=20)),
        ({"match": [BETA]}, Shift(0, matches=(Match.model_validate(BETA),))),
        ({"pause": {"duration": "5m"}}, Wait(300)),
        ({"pause": {}}, Wait(None)),
        ({"evaluate": "golden"}, Evaluate("golden")),
    ],
)
def test_a_step_is_what_its_one_field_says(step: dict[str, object], stage: Stage) -> None:
    assert stage_of(Step.model_validate(step)) == stage


def test_a_step_that_this_version_cannot_read_waits_for_a_person_and_never_passes_by_itself() -> None:
    """A newer version's kind of step is left in status after a downgrade; its field is not known here."""
    assert stage_of(Step.model_validate({"kindOfTheFuture": {"name": "golden"}, "for": "1m"})) == Wait(None)


def test_the_crd_does_not_offer_an_evaluation_before_the_operator_runs_any() -> None:
    assert "evaluate" in Step.model_fields
    assert "evaluate" not in Step.model_json_schema()["properties"]
