"""What others write cannot move a cursor, forge a line or hide, wherever the operator repeats it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from modelrollout.api.conditions import ACCEPTED, Finding, conclude
from modelrollout.api.model import Model, Runtime
from modelrollout.api.printable import printable
from modelrollout.api.reasons.order import COMMAND_IGNORED

NASTY = "\x1b[31mred\x1b[0m\r\nfake\u202edesrever\u200b\u2028\x9b\x7f"


def test_control_and_invisible_characters_are_written_out_and_all_else_stays() -> None:
    shown = r"\x1b[31mred\x1b[0m\r\nfake\u202edesrever\u200b\u2028\x9b\x7f"
    assert printable(NASTY) == shown
    assert printable("44 % slower – 模型 ☕ é") == "44 % slower – 模型 ☕ é"


def test_sentences_and_conditions_are_safe_to_show() -> None:
    said = COMMAND_IGNORED.say(annotation="a", value=NASTY, why=NASTY)
    assert said.isprintable()
    found = conclude([], {ACCEPTED: Finding("False", "Odd", NASTY)}, 1, "2026-11-27T10:00:00Z")
    assert found[0].message.isprintable()


@pytest.mark.parametrize("bad", ["\x1b[31m", "a\nb", "a\x00", "a\x9b", "a\u202eb"])
def test_what_names_a_model_holds_no_control_characters(bad: str) -> None:
    for field in ({"servedName": bad}, {"uri": f"hf://org/{bad}"}, {"revision": bad}):
        with pytest.raises(ValidationError):
            Model.model_validate({"uri": "hf://org/name"} | field)
    with pytest.raises(ValidationError):
        Runtime.model_validate({"image": bad})
    assert Model(uri="hf://org/名", served_name="my model").served_name == "my model"
