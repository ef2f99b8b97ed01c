"""A judge's reply is read strictly; agreement and ratings are what their names say."""

import pytest

from modelrollout.api.mistakes import Mistaken
from modelrollout.evaluate import judging
from modelrollout.evaluate.agreement import agreement
from modelrollout.evaluate.cases import Case
from modelrollout.evaluate.elo import ratings
from modelrollout.evaluate.policy import read


def judge(kind="judge", **fields):
    given = {"name": "mark", "kind": kind, "endpoint": "http://judge", **fields}
    return read(
        f"dataset: x\nscorers: [{given!r}]\ngates: [{{score: ttft, atMost: 1}}]".replace("'", '"')
    ).scorers[0]


@pytest.mark.parametrize(
    ("reply", "mark"),
    [
        ('{"reason": "good", "score": 4}', 4),
        ('```json\n{"score": 4.5}\n```', 4.5),
        ('<think>{"score": 1} perhaps</think>{"score": 3}', 3),
        ('I say {"score": 2}.', 2),
        ("4", None),
        ("Score: 4 out of 5", None),
        ('{"score": "4"}', None),
        ('{"score": true}', None),
        ('{"score": 6}', None),
        ('{"score": 0}', None),
        ('{"score": NaN}', None),
        ('{"score": 2} or {"score": 4}', None),
        ("[4]", None),
        ("", None),
        ("{" * 50_000, None),
    ],
)
def test_a_mark_is_read_from_one_json_object_only(reply, mark):
    read_mark = judging.read_mark(reply, (1, 5))
    assert (read_mark.value if read_mark else None) == mark


@pytest.mark.parametrize(
    ("reply", "share"),
    [
        ('{"winner": "A"}', 1),
        ('{"winner": "b"}', 0),
        ('{"winner": "tie"}', 0.5),
        ('{"winner": "C"}', None),
        ("A", None),
    ],
)
def test_a_winner_is_read_from_one_json_object_only(reply, share):
    mark = judging.read_winner(reply)
    assert (mark.value if mark else None) == share


def test_the_prompt_holds_rubric_question_reference_and_answer():
    case = Case(id="a", prompt="Which {capital}?", expected="Paris")
    _, user = judging.pointwise(judge(rubric="Correct?"), case, "It is {Paris}.")
    for part in ("Correct?", "Which {capital}?", "Paris", "It is {Paris}.", "1 (worst) to 5 (best)"):
        assert part in user["content"]


def test_a_repair_shows_the_reply_and_asks_once_more():
    asked = judging.pointwise(judge(), Case(id="a", prompt="Q"), "A")
    messages = judging.repair(judge(), asked, "nonsense")
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "user"]
    assert '"score"' in messages[-1]["content"]


def test_prompts_have_versions_and_an_unknown_one_is_refused():
    assert judging.prompt_of(judge()).version == "pointwise-1"
    assert judging.prompt_of(judge("pairwise-judge")).version == "pairwise-1"
    with pytest.raises(Mistaken, match="there are pointwise-1"):
        judging.prompt_of(judge(prompt="pairwise-1"))


def test_agreement_is_full_where_marks_are_the_same_and_chance_where_they_are_unrelated():
    same = agreement([(1, 1), (3, 3), (5, 5)])
    assert (same.exact, same.kappa, same.rank, same.bias) == (1, 1, pytest.approx(1), 0)
    unrelated = agreement([(1, 1), (1, 5), (5, 1), (5, 5)])
    assert unrelated.kappa == pytest.approx(0)
    kind = agreement([(2, 1), (4, 3)])
    assert (kind.bias, kind.within_one) == (1, 1)
    assert agreement([]) is None


def test_weighted_kappa_of_a_known_table():
    pairs = [(1, 1)] * 20 + [(1, 2)] * 5 + [(2, 1)] * 10 + [(2, 2)] * 15
    assert agreement(pairs).kappa == pytest.approx(0.4)  # Cohen's kappa of the 2x2 table 20 5 10 15


def test_ratings_order_versions_by_their_wins_and_stay_finite():
    matches = [("b", "a", 1.0)] * 30 + [("b", "a", 0.0)] * 10 + [("c", "b", 1.0)] * 40
    rated = ratings(matches)
    assert list(rated) == ["c", "b", "a"]
    assert rated["b"] - rated["a"] == pytest.approx(190, abs=25)  # odds of 3 to 1
    assert sum(rated.values()) / 3 == pytest.approx(1000)
