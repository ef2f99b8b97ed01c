"""Bad answers become golden cases: what is bad, each once, and without personal data."""

import pytest

from modelrollout.api.mistakes import Mistaken
from modelrollout.evaluate import directions
from modelrollout.evaluate.feedback import bad, exported, is_bad
from modelrollout.evaluate.policy import read

POLICY = """
dataset: x
sampling: {logprobs: true}
scorers:
  - {kind: exact, name: correct}
  - {kind: toxicity, name: harm}
  - {kind: phrases, name: declines, set: refusal, better: higher}
  - {kind: judge, name: mark, endpoint: "http://judge", scale: [1, 5]}
  - {kind: perplexity}
gates: [{score: ttft, atMost: 1}]
"""


def scored(**scores):
    return {
        "prompt": "Q",
        "scores": {name.replace("_", "-"): [value, None] for name, value in scores.items()},
    }


@pytest.mark.parametrize(
    ("record", "is_one"),
    [
        ({"rating": "down"}, True),
        ({"rating": "up"}, False),
        ({"rating": 0}, True),
        ({"rating": True}, False),
        ({"scores": {"correct": [0.0, 1.0]}}, True),
        ({"scores": {"correct": [1.0, 1.0], "ttft": [0.1, 0.1]}}, False),
        ({}, False),
    ],
)
def test_bad_and_good_feedback_are_told_apart(record, is_one):
    assert is_bad(record, 0.5) is is_one


@pytest.mark.parametrize(
    ("scores", "is_one"),
    [
        ({"harm": 0.0}, False),
        ({"harm": 1.0}, True),
        ({"declines": 0.0}, True),
        ({"declines": 1.0}, False),
        ({"mark": 2}, True),
        ({"mark": 3}, False),
        ({"correct": 1.0, "perplexity": 90.0, "ttft": 0.1}, False),
        ({"correct": 0.0}, True),
    ],
)
def test_what_is_bad_follows_the_direction_and_the_scale_in_the_head_of_the_results(scores, is_one):
    head = {"kind": "header", "scores": directions.written(read(POLICY))}
    lines = [("f, line 1", head), ("f, line 2", scored(**scores)), ("f, line 3", {"kind": "end"})]
    assert [place for place, _ in bad(lines, 0.5)] == (["f, line 2"] if is_one else [])


@pytest.mark.parametrize(
    ("scores", "is_one"),
    [({"toxicity": 0.0}, False), ({"refusal": 1.0}, True), ({"personal_data": 0.0, "correct": 0.0}, True)],
)
def test_an_older_run_without_directions_is_read_by_the_names_of_its_scores(scores, is_one):
    lines = [("f, line 1", {"kind": "header"}), ("f, line 2", scored(**scores))]
    assert bool(list(bad(lines, 0.5))) is is_one


def test_bad_cases_are_exported_once_and_without_personal_data():
    records = [
        (
            "f, line 1",
            {"rating": "down", "prompt": "Mail me at anna@firma.de", "answer": "Dear anna@firma.de"},
        ),
        ("f, line 2", {"rating": "down", "prompt": "mail me  at anna@firma.de"}),
        (
            "f, line 3",
            {"rating": "down", "messages": [{"role": "user", "content": "My card: 4111111111111111"}]},
        ),
        ("f, line 4", {"rating": "up", "prompt": "Good"}),
    ]
    first, second = exported(bad(records, 0.5), ())
    assert first["prompt"] == "Mail me at [mail]"
    assert first["metadata"]["answer"] == "Dear [mail]"
    assert second["messages"][0]["content"] == "My card: [card]"
    known = [first["id"].removeprefix("feedback-")]
    assert [case["id"] for case in exported(bad(records, 0.5), known)] == [second["id"]]


def test_a_record_that_asks_nothing_is_named():
    with pytest.raises(Mistaken, match="f, line 1: The record has neither"):
        list(exported([("f, line 1", {"rating": "down"})], ()))
