"""A scorer of one's own in Python: how it is found, and that whatever it does is never a bad answer."""

import asyncio
import threading

import pytest

from modelrollout.api.mistakes import Mistaken
from modelrollout.evaluate.answers import Answer
from modelrollout.evaluate.cases import Case
from modelrollout.evaluate.findings import Findings
from modelrollout.evaluate.policy import read
from modelrollout.evaluate.trial import Trial
from modelrollout.sources.quality.external import PythonScorer, ScorerFailed
from modelrollout.sources.quality.run import folded
from modelrollout.sources.quality.scoring import Scoring

MODULE = """
import asyncio, sys, threading
from fractions import Fraction

STILL = threading.Event()
shares = {"right": lambda case, answer: float(answer.text == case.expected[0])}

def polite(case, answer):
    return "please" in answer.text

async def slowly(case, answer):
    await asyncio.sleep(0)
    return Fraction(1, 2)

async def never(case, answer):
    await asyncio.sleep(60)

class Whole:
    def score(self, case, answer):
        return 1
whole = Whole()

def hangs(case, answer): STILL.wait(60)
def fails(case, answer): raise KeyError("model")
def leaves(case, answer): sys.exit(3)
def stops(case, answer): raise StopIteration
def text(case, answer): return "0.5"
def many(case, answer): return [1.0] * 1000
def beyond(case, answer): return 1.5
def nothing(case, answer): return float("nan")
def unsure(case, answer): return None
number = 7
"""
CASE, ANSWER = Case(id="a", prompt="Q", expected="Yes, please"), Answer(text="Yes, please")


@pytest.fixture(autouse=True)
def package(tmp_path, monkeypatch):
    """A package with scorers, installed as pip would: a module, and metadata beside it."""
    (tmp_path / "house_scorers.py").write_text(MODULE)
    (tmp_path / "broken_scorers.py").write_text("def (:")
    info = tmp_path / "house_scorers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: house-scorers\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[modelrollout.scorers]\npolite = house_scorers:polite\ngone = house_scorers:gone\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


def policy(entry_point, timeout="30s"):
    own = f'{{name: own, kind: python, entryPoint: "{entry_point}", timeout: {timeout}}}'
    return read(f"dataset: x\nscorers: [{own}]\ngates: [{{score: own, atMostWorse: 5%}}]")


def scorer(entry_point, timeout="30s"):
    return PythonScorer(policy(entry_point, timeout).scorers[0])


@pytest.mark.parametrize(
    ("entry_point", "score"),
    [
        ("polite", 1.0),
        ("house_scorers:polite", 1.0),
        ("house_scorers:whole.score", 1.0),
        ("house_scorers:slowly", 0.5),
        ("house_scorers:unsure", None),
    ],
)
async def test_an_installed_entry_point_and_a_function_of_a_module_score(entry_point, score):
    assert await scorer(entry_point).score(CASE, ANSWER) == score


@pytest.mark.parametrize(
    ("entry_point", "says"),
    [
        (
            "rude",
            "no installed package has as an entry point of modelrollout.scorers; there are: gone",
        ),
        ("gone", r"cannot be loaded \(AttributeError"),
        ("house_scorers:gone", r"cannot be loaded \(AttributeError: .*gone.*Is it installed beside"),
        ("absent_scorers:polite", r"cannot be loaded \(ModuleNotFoundError"),
        ("broken_scorers:polite", r"cannot be loaded \(SyntaxError"),
        ("house_scorers:number", "is 7; a function of a case and an answer is expected"),
        ("house scorers:polite", r"scorers\[0\].entryPoint"),
    ],
)
def test_what_cannot_be_loaded_is_a_sentence_before_anything_is_asked(entry_point, says):
    with pytest.raises(Mistaken, match=says):
        scorer(entry_point)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("fails", "house_scorers:fails raised KeyError: 'model'"),
        ("leaves", r"raised RuntimeError: SystemExit\(3\)"),
        ("stops", r"raised RuntimeError: StopIteration\(\)"),
        ("text", "gave '0.5'; a score lies between 0 and 1"),
        ("many", r"gave \[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, ...\]; a score"),
        ("beyond", "gave 1.5; a score"),
        ("nothing", "gave nan; a score"),
    ],
)
async def test_what_a_function_does_instead_of_giving_a_score_is_said(name, says):
    with pytest.raises(ScorerFailed, match=says):
        await scorer(f"house_scorers:{name}").score(CASE, ANSWER)


@pytest.mark.parametrize("name", ["hangs", "never"])
async def test_a_function_that_gives_no_score_in_time_is_left_behind_and_stops_nobody(name):
    own = scorer(f"house_scorers:{name}", 0.02)
    for _ in range(2):
        with pytest.raises(ScorerFailed, match=r"gave no score within 0.02 s"):
            await own.score(CASE, ANSWER)
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "scorer")
    import house_scorers

    house_scorers.STILL.set()


async def test_while_a_function_works_other_answers_are_measured(monkeypatch):
    import house_scorers

    monkeypatch.setattr(house_scorers, "polite", lambda case, answer: house_scorers.STILL.wait(60))
    scoring = asyncio.create_task(scorer("house_scorers:polite").score(CASE, ANSWER))
    await asyncio.sleep(0)  # the loop goes on
    house_scorers.STILL.set()
    assert await scoring == 1.0


async def test_an_exception_in_one_case_leaves_it_unscored_and_is_no_bad_answer():
    plan = policy("house_scorers:fails")
    made = await Scoring(plan, 0).score(CASE, {"candidate": [ANSWER], "baseline": [ANSWER]})
    assert (made.unscored, "own" in made.scores) == (["own"], False)
    record = {"case": "a", "unscored": made.unscored, "reasons": made.reasons, "scores": made.scores}
    trial = Trial(plan, 100, {})
    trial.fold(folded(record))
    assert (trial.unscored, trial.tallies["own"].cases, trial.log_worse) == ({"own": 1}, 0, 0.0)
    findings = Findings(trial)
    findings.add(record)
    assert findings.failures == {"own": "house_scorers:fails raised KeyError: 'model'"}
    assert findings.worst == []
