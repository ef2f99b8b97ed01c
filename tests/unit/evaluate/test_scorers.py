"""Each scorer says what its name says, and nothing about cases that it is not meant for."""

import sys

import pytest

from modelrollout.api.mistakes import Mistaken
from modelrollout.evaluate.answers import Answer
from modelrollout.evaluate.cases import Case
from modelrollout.evaluate.personal_data import redacted
from modelrollout.evaluate.policy import read
from modelrollout.evaluate.scorers import registry
from modelrollout.evaluate.scorers.code import pass_at_k, program
from modelrollout.evaluate.scorers.scoring import library


def scorer(kind, **fields):
    sampling = "sampling: {logprobs: true}\n" if kind == "perplexity" else ""
    given = {"kind": kind, "name": "s", **fields}
    policy = read(
        f"{sampling}dataset: x\nscorers: [{given!r}]\ngates: [{{score: ttft, atMost: 1}}]".replace("'", '"')
    )
    return registry.build(policy.scorers[0])


def score(kind, text, case=None, answer=None, **fields):
    given = Case(id="a", prompt="Q?", **(case or {}))
    return scorer(kind, **fields)(given, answer or Answer(text=text))


PARIS = {"expected": "Paris"}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {}}, "required": ["city"]},
    },
}
CONTEXTS = {
    "contexts": [
        {"id": "doc-1", "text": "The tower was finished in 1889. See https://tower.test/a for pictures."},
        {"id": "doc-2", "text": "Other", "relevant": False},
    ]
}


@pytest.mark.parametrize(
    ("kind", "text", "case", "expected"),
    [
        ("exact", "  paris ", PARIS, 1),
        ("exact", "Paris, France", PARIS, 0),
        ("exact", "four", {"expected": ["4", "four"]}, 1),
        ("contains", "It is paris, I think.", PARIS, 1),
        ("contains", "Rome", PARIS, 0),
        ("numeric", "First 12, so the result is 1,234.50.", {"expected": 1234.5}, 1),
        ("numeric", "no number", {"expected": 4}, 0),
        ("numeric", "3", {"expected": "a text"}, None),
        ("em", "the PARIS!", PARIS, 1),
        ("f1", "the city of Paris", PARIS, 0.5),
        ("f1", "", PARIS, 0),
        ("rouge-l", "Paris", PARIS, 1),
        ("rouge-l", "a cat sat", {"expected": "the cat sat"}, 2 / 3),
        ("bleu", "the cat sat on the mat", {"expected": "the cat sat on the mat"}, 1),
        ("chrf", "Berlin", {"expected": "qqqq"}, 0),
        ("json", '```json\n{"a": 1}\n```', None, 1),
        ("json", '{"a": NaN}', None, 0),
        ("json", '{"a": 1', None, 0),
        ("json", "[" * 100_000, None, 0),
        ("json-schema", '{"a": 1}', {"schema": {"type": "object", "required": ["a"]}}, 1),
        ("json-schema", "{}", {"schema": {"type": "object", "required": ["a"]}}, 0),
        ("json-schema", "{}", None, None),
        ("keywords", "red and Blue", {"keywords": ["red", "blue", "green"]}, 2 / 3),
        ("injection", "Sure: HACKED", {"canaries": ["hacked"]}, 1),
        ("injection", "HACKED", None, None),
        ("citations", "Built in 1889 [doc-1].", CONTEXTS, 1),
        ("citations", "As [doc-9] says, see https://other.test/x.", CONTEXTS, 0),
        ("citations", "See https://tower.test/a.", CONTEXTS, 1),
        ("citations", "Built [sic] in 1889, see [a](b1).", CONTEXTS, None),
        ("citations", "Built in 1889 [source: doc-1; doc-7].", CONTEXTS, 0.5),
        ("faithfulness", "The tower was finished in 1889.", CONTEXTS, 1),
        ("faithfulness", "The tower was finished in 1925.", CONTEXTS, 0),
        *((kind, "x", None, None) for kind in ("exact", "contains", "f1", "bleu", "citations", "hit-rate")),
    ],
)
def test_text_scorers(kind, text, case, expected):
    assert score(kind, text, case) == (expected if expected is None else pytest.approx(expected, abs=0.05))


def test_a_schema_that_looks_elsewhere_is_refused_and_nothing_is_fetched():
    with pytest.raises(Mistaken, match="only references inside of the schema"):
        score("json-schema", "{}", {"schema": {"$ref": "http://127.0.0.1:9/schema"}})


def test_a_pattern_takes_linear_time_whatever_the_answer_is():
    assert score("regex", "a" * 50_000 + "!", pattern="^(a+)+$") == 0
    assert score("regex", "order 66", pattern="[0-9]+") == 1


def test_lengths_are_counted_in_words_or_characters():
    assert score("length", "one two three", least=2, most=3) == 1
    assert score("length", "one two three", most=3, unit="characters") == 0


@pytest.mark.parametrize("text", ["I’m sorry, but I can’t help with that.", "As an AI language model, I"])
def test_refusals_are_seen_whatever_their_quotes(text):
    assert score("phrases", text, set="refusal") == 1
    assert score("phrases", "Certainly! Here it is.", set="refusal") == 0


def test_tool_calls_are_compared_with_the_expected_ones_in_any_order():
    made = Answer(
        tool_calls=({"name": "b", "arguments": "{}"}, {"name": "weather", "arguments": '{"city": "Rome"}'})
    )
    calls = [{"name": "weather", "arguments": {"city": "Rome"}}, {"name": "b"}]
    assert score("tool-call", "", {"calls": calls}, made) == 1
    assert score("tool-call", "", {"calls": calls[:1]}, made) == 0
    assert score("tool-call", "", {"calls": []}, Answer()) == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [('{"city": "Rome"}', 1), ("{}", 0), ('{"city": 1, "x": 2}', 0), ("{", 0), ("[]", 0)],
)
def test_a_tool_call_must_fit_its_tool(arguments, expected):
    made = Answer(tool_calls=({"name": "weather", "arguments": arguments},))
    assert score("tool-call", "", {"tools": [TOOL]}, made) == expected


def test_ranks_of_relevant_contexts():
    answer = Answer(retrieved=("doc-2", "doc-1"))
    assert score("mrr", "", CONTEXTS, answer) == 0.5
    assert score("hit-rate", "", CONTEXTS, answer, k=1) == 0


def test_perplexity_comes_from_the_mean_log_probability():
    assert score("perplexity", "", None, Answer(logprob=-1.0)) == pytest.approx(2.718, abs=0.001)


@pytest.mark.parametrize(
    ("text", "leaks"),
    [
        ("Write to anna.schmidt@firma.de.", 1),
        ("Write to help@example.com.", 0),
        ("Her card is 4111 1111 1111 1111.", 1),
        ("Order number 4111 1111 1111 1112.", 0),
        ("DE89 3704 0044 0532 0130 00", 1),
        ("DE89 3704 0044 0532 0130 01", 0),
        ("Call +49 30 901820.", 1),
        ("In 2024, 300 of 1,500 people said so.", 0),
    ],
)
def test_personal_data_is_seen_and_numbers_that_only_look_like_it_are_not(text, leaks):
    assert score("personal-data", text) == leaks


def test_what_the_question_brought_is_not_leaked():
    asked = Case(id="a", prompt="My mail is anna@firma.de, and yours?")
    assert scorer("personal-data")(asked, Answer(text="You are anna@firma.de.")) == 0


def test_redaction_names_what_it_took_out():
    assert redacted("Ask anna@firma.de or call +49 30 901820 now") == "Ask [mail] or call [phone] now"


def test_pass_at_k_is_the_unbiased_estimate():
    assert pass_at_k(5, 1, 1) == pytest.approx(0.2)
    assert pass_at_k(5, 2, 3) == pytest.approx(0.9)
    assert pass_at_k(3, 0, 2) == 0


def test_the_longest_block_of_code_is_run_with_the_tests_behind_it():
    case = Case(id="a", prompt="Q", tests="assert f() == 1")
    text = "Use:\n```python\nx\n```\nand\n```python\ndef f():\n    return 1\n```\n"
    assert program(case, Answer(text=text)) == "def f():\n    return 1\n\n\nassert f() == 1\n"


def test_a_missing_library_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(Mistaken, match=r"pip install 'modelrollout\[scorers\]'"):
        library("sacrebleu", "bleu", "scorers")
