"""A run asks both sides fairly, whatever comes of it."""

import json

from modelrollout.evaluate.answers import Answer
from modelrollout.evaluate.policy import read
from modelrollout.sources.quality.golden import Golden
from modelrollout.sources.quality.results import Results
from modelrollout.sources.quality.run import Run
from modelrollout.sources.quality.scoring import Scoring

POLICY = """
dataset: golden.jsonl
concurrency: 1
stopEarly: false
scorers: [{name: correct, kind: exact}]
gates: [{score: correct, atMostWorse: 5%}]
"""


class Side:
    def __init__(self, name, asked):
        self.name, self.asked = name, asked

    async def answers(self, case):
        self.asked.append((case.id, self.name))
        return [Answer(text="yes", ttft=0.1, seconds=0.1, completion_tokens=1)]


async def order_of(folder, name):
    """(case, side) in the order of asking, in a run with a results file of its own."""
    policy, golden = read(POLICY), Golden(folder / "golden.jsonl")
    results, asked = Results(folder / name, {}, len(golden)), []
    arms = {side: Side(side, asked) for side in ("candidate", "baseline")}
    await Run(policy, golden, arms, results, Scoring(policy, 7), seed=7).go()
    results.close()
    golden.close()
    return asked


async def test_each_case_is_asked_of_both_sides_at_once_and_neither_is_always_the_first(tmp_path):
    lines = (json.dumps({"id": f"c{number}", "prompt": "?", "expected": "yes"}) for number in range(200))
    (tmp_path / "golden.jsonl").write_text("\n".join(lines))
    asked = await order_of(tmp_path, "first.jsonl")
    pairs = list(zip(asked[::2], asked[1::2], strict=True))
    assert all(one[0] == other[0] and one[1] != other[1] for one, other in pairs)
    assert 70 < sum(one[1] == "candidate" for one, _ in pairs) < 130
    cases = [one[0] for one, _ in pairs]
    assert cases != sorted(cases, key=lambda case: int(case[1:]))
    assert await order_of(tmp_path, "second.jsonl") == asked
