"""A policy that is right is read; of one that is wrong, each mistake is a sentence for its author."""

import pytest

from modelrollout.api.mistakes import Mistaken
from modelrollout.evaluate.policy import read

GOOD = """
dataset: golden.jsonl
sampling: {temperature: 0, max_tokens: 256, seed: 7}
scorers:
  - {name: correct, kind: exact}
  - {name: judge, kind: judge, endpoint: http://judge:8000/v1, scale: [1, 5]}
prices: {completionPer1k: 0.01}
gates:
  - {score: correct, atMostWorse: "5%"}
  - {score: judge, atLeast: 4.0, atMostWorse: 0.2}
  - {score: cost, atMost: "0.01", atMostWorse: "10%"}
"""


def mistakes(text):
    with pytest.raises(Mistaken) as caught:
        read(text)
    return "\n".join(caught.value.sentences)


def test_percentages_and_plain_numbers_mean_what_is_written():
    correct, judge, cost = read(GOOD).gates
    assert (correct.at_most_worse, correct.at_most_worse.percent) == (0.05, True)
    assert (judge.at_most_worse, judge.at_most_worse.percent) == (0.2, False)
    assert cost.limits["atMost"] == 0.01


def test_the_digest_changes_with_the_policy_and_only_with_it():
    assert read(GOOD).digest == read(f"# a comment\n{GOOD}").digest
    assert read(GOOD).digest != read(GOOD.replace("5%", "6%")).digest
    assert read(GOOD).digest != read(GOOD.replace("[1, 5]", "[0, 5]")).digest  # a scorer's own field


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", "It is no YAML"),
        ("- a", "A policy is a mapping"),
        ("dataset: x", "gates: This field is missing"),
        ("dataset: x\ngates: []", "without gates can pass nothing"),
        ("dataset: x\ngates: {a: 1}", "a list is expected"),
        ("dataset: {file: a, url: http://b}\ngates: [{score: ttft, atMost: 1}]", "exactly one place"),
        ("dataset: {pvc: data}\ngates: [{score: ttft, atMost: 1}]", "needs the `path`"),
        ("dataset: x\nconcurency: 5\ngates: [{score: ttft, atMost: 1}]", 'did you mean "concurrency"?'),
    ],
)
def test_a_mistake_in_the_whole_is_said(text, says):
    assert says in mistakes(text)


@pytest.mark.parametrize(
    ("scorer", "says"),
    [
        ("{kind: exat}", 'scorers[0]: There is no scorer of kind "exat"; did you mean "exact"?'),
        ("{name: a}", "has no `kind`; the kinds are exact, contains"),
        ("exact", "a mapping with `name` and `kind` is expected"),
        ("{kind: exact, ignorCase: true}", 'scorers[0].ignorCase: There is no field "ignorCase"'),
        ("{kind: judge}", 'The judge "judge" has no endpoint'),
        ("{kind: judge, endpoint: http://a, scale: [5, 1]}", "must rise"),
        ("{kind: judge, endpoint: 'judge:8000'}", "scorers[0].endpoint"),
        ("{kind: http}", "scorers[0].url: This field is missing"),
        ("{kind: regex, pattern: '(?=x)'}", "knows no look-around"),
        ("{kind: phrases, set: refusl}", "the sets are not-sure, refusal"),
        ("{kind: phrases}", "need a `set`"),
        ("{kind: code, k: 5}", "write `sampling: {samples: 5}`"),
        ("{kind: perplexity}", "needs `sampling: {logprobs: true}`"),
        ("{name: cost, kind: exact}", 'may not be called "cost"'),
        ("{name: a, kind: exact}, {name: a, kind: em}", 'two scorers are called "a"'),
    ],
)
def test_a_mistake_in_a_scorer_is_said(scorer, says):
    said = mistakes(f"dataset: x\nscorers: [{scorer}]\ngates: [{{score: ttft, atMost: 1}}]")
    assert says.lower() in said.lower()


@pytest.mark.parametrize(
    ("gate", "says"),
    [
        ("{score: corect, atLeast: 1%}", 'No score is called "corect"; did you mean "correct"?'),
        ("{score: correct}", "limits nothing"),
        ("{score: correct, atMostWorse: '5,5%'}", "write a point where the comma stands"),
        ("{score: correct, atMostWorse: 5}", "is the whole scale"),
        ("{score: correct, atMostWorse: -5%}", "finite number of 0 or more"),
        ("{score: correct, atMostWorse: five}", "is not a number"),
        ("{score: correct, atLeast: 80}", "outside of the scale from 0 to 1"),
        ("{score: correct, atMostWorse: 0}", "which no number of cases can prove"),
        ("{score: correct, atLeast: 100%}", "which no number of cases can prove"),
        ("{score: correct, atLeast: 90%}, {score: correct, atMostWorse: 5%}", "two gates are on"),
        ("{score: cost, atMost: 1}", "needs `prices`"),
        ("{score: ttft, atLeast: 1}", "write atMost"),
        ("{score: ttft, atMostWorse: 0.1}", "write a percentage"),
        ("{score: alike, atMostWorse: 5%}", "compares the answers with the baseline's already"),
    ],
)
def test_a_mistake_in_a_gate_is_said(gate, says):
    scorers = "{name: correct, kind: exact}, {name: alike, kind: similarity, to: baseline}"
    said = mistakes(f"dataset: x\nscorers: [{scorers}]\ngates: [{gate}]")
    assert says.lower() in said.lower()


def test_all_mistakes_are_said_at_once():
    said = mistakes(
        "dataset: x\nscorers: [{kind: exat}, {kind: judge}]\ngates: [{score: a}]\nrisk: {miss: 5}"
    )
    assert said.count("\n") == 3
    assert 'write "5%" if percent is meant' in said
