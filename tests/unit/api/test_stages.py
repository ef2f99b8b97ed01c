"""A step of the wire is read once, into exactly one kind of stage."""

from __future__ import annotations

import pytest

from modelrollout.api.stages import Evaluate, Shift, Stage, Wait, stage_of
from modelrollout.api.strategy import Match, Step

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


@pytest.mark.parametrize(
    ("stage", "title", "opened_by", "judged"),
    [
        (Shift(600, weight=5), "weight 5 %", "", True),
        (Shift(600, mirror=20), "mirror 20 %", "", True),
        (Shift(0, matches=(Match.model_validate(BETA),)), "match", "", True),
        (Wait(300), "pause", "", False),
        (Wait(None), "pause", "a person", False),
        (Evaluate("golden"), "evaluate golden", "the evaluation, whose time is not planned here", False),
    ],
)
def test_a_stage_says_what_it_is_what_ends_it_and_whether_metrics_judge_it(
    stage: Stage, title: str, opened_by: str, judged: bool
) -> None:
    assert (stage.title, stage.opened_by, stage.judged) == (title, opened_by, judged)
    assert stage.shift == (stage if isinstance(stage, Shift) else None)


def test_a_step_that_this_version_cannot_read_waits_for_a_person_and_never_passes_by_itself() -> None:
    """A newer version's kind of step is left in status after a downgrade; its field is not known here."""
    assert stage_of(Step.model_validate({"kindOfTheFuture": {"name": "golden"}, "for": "1m"})) == Wait(None)
