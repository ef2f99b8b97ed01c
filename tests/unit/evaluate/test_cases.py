"""Cases are read from three formats, and a wrong line is named."""

import json

import pytest

from modelrollout.api.mistakes import Mistaken
from modelrollout.evaluate.cases import csv_rows, from_json, from_row, guessed


def case(**fields):
    return from_json(json.dumps({"prompt": "2+2?", **fields}), "golden.jsonl, line 7")


def test_plain_forms_become_lists_and_texts():
    made = case(id=3, expected=4, tags="math", contexts=["a text"])
    assert (made.id, made.expected, made.tags) == ("3", ("4",), ("math",))
    assert (made.contexts[0].id, made.contexts[0].text) == ("1", "a text")


def test_a_case_without_an_id_is_named_after_its_line():
    assert case().id == "line-7"


def test_a_system_prompt_goes_before_a_case_that_brings_none():
    assert [m["role"] for m in case().conversation("Be brief.")] == ["system", "user"]
    own = from_json(json.dumps({"messages": [{"role": "system", "content": "Own."}]}), "a, line 1")
    assert [m["content"] for m in own.conversation("Be brief.")] == ["Own."]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "It is no JSON"),
        ("[" * 100_000, "It is no JSON"),
        ("[1]", "this line is a list"),
        ('{"id": "a"}', "either `messages` or `prompt`"),
        ('{"prompt": "a", "messages": [{"role": "user", "content": "b"}]}', "either `messages` or `prompt`"),
        ('{"prompt": "a", "expcted": "b"}', 'did you mean "expected"?'),
        ('{"prompt": "a", "mood": "b"}', "Fields of your own go below `metadata`"),
        ('{"messages": [{"role": "bot", "content": "b"}]}', "messages[0].role"),
        ('{"prompt": "a", "weight": 0}', "weight"),
        ('{"prompt": 5}', "prompt: 5 was given, a text is expected"),
    ],
)
def test_a_wrong_line_is_named_with_its_number(line, says):
    with pytest.raises(Mistaken) as caught:
        from_json(line, "golden.jsonl, line 12")
    assert caught.value.sentences[0].startswith("golden.jsonl, line 12: ")
    assert says in caught.value.sentences[0]


def test_openai_evals_are_read():
    line = json.dumps({"input": [{"role": "user", "content": "2+2?"}], "ideal": ["4", "four"], "level": 1})
    assert guessed("samples.jsonl", line) == "openai-evals"
    made = from_json(line, "samples.jsonl, line 1", "openai-evals")
    assert (made.expected, made.metadata) == (("4", "four"), {"level": 1})


def test_columns_of_a_csv_are_read():
    rows = csv_rows(
        iter(["question,answer,tags,system,owner\n", '"2+2, please?",4|four,math|easy,Be brief.,me\n'])
    )
    columns = {"prompt": "question", "expected": "answer"}
    made = from_row(next(rows), columns, "golden.csv, line 2")
    assert made.question == "system: Be brief.\nuser: 2+2, please?"
    assert (made.expected, made.tags, made.metadata) == (("4", "four"), ("math", "easy"), {"owner": "me"})


@pytest.mark.parametrize(("row", "says"), [("a,b,c\n", "more cells"), ("a\n", "fewer cells")])
def test_a_row_of_another_length_is_named(row, says):
    rows = csv_rows(iter(["prompt,expected\n", row]))
    with pytest.raises(Mistaken, match=says):
        from_row(next(rows), {}, "golden.csv, line 2")


def test_two_cases_that_ask_the_same_have_one_fingerprint():
    assert case(id="a").fingerprint == from_json('{"prompt": " 2+2? "}', "b, line 1").fingerprint
