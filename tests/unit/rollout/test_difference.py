"""What is different from the revision before, in a line, without what may be secret."""

from __future__ import annotations

from typing import Any

import pytest

from modelrollout.api.spec import Spec
from modelrollout.rollout.difference import LONGEST, LONGEST_FORM, difference, stored
from modelrollout.rollout.revision import form_of
from tests.unit.rollout.world import Operator, World, installed, spec_of

FORM = {"image": "vllm:1", "args": ["--max-model-len=8192"], "env": [{"name": "HF_TOKEN", "value": "hf_1"}]}


def asked(model: dict[str, Any] | None = None, **runtime: Any) -> Spec:
    return spec_of(model={"uri": "hf://Qwen/Qwen3-8B", **(model or {})}, runtime=FORM | runtime)


SAID: dict[str, tuple[Spec, str | None, str]] = {
    "an argument more": (
        asked(args=["--max-model-len=8192", "--max-num-seqs=1"]),
        None,
        "args: + --max-num-seqs=1; model unchanged",
    ),
    "an argument with another value": (
        asked(args=["--max-model-len=64"]),
        None,
        "args: + --max-model-len=64, - --max-model-len=8192; model unchanged",
    ),
    "another image": (asked(image="vllm:2"), None, "image: vllm:1 → vllm:2; model unchanged"),
    "another model": (
        asked({"uri": "hf://Qwen/Qwen3-4B"}),
        None,
        "model uri: hf://Qwen/Qwen3-8B → hf://Qwen/Qwen3-4B",
    ),
    "a version": (asked({"revision": "4c44"}), None, "model revision: none → 4c44"),
    "a variable, whose value is not told": (
        asked(env=[{"name": "HF_TOKEN", "value": "hf_2"}]),
        None,
        "env: HF_TOKEN changed; model unchanged",
    ),
    "a variable more": (
        asked(env=[{"name": "HF_TOKEN", "value": "hf_1"}, {"name": "A", "value": "b"}]),
        None,
        "env: + A; model unchanged",
    ),
    "an argument that may be secret": (
        asked(args=["--max-model-len=8192", "--api-key=sk-1"]),
        None,
        "args: + --api-key=…; model unchanged",
    ),
    "prompts": (asked(), "kcqrsqm2fb", "prompts: changed; model unchanged"),
    "resources": (asked(resources={"limits": {"cpu": 2}}), None, "resources: changed; model unchanged"),
    "two things": (
        asked({"revision": "4c44"}, image="vllm:2"),
        None,
        "model revision: none → 4c44; image: vllm:1 → vllm:2",
    ),
    "nothing": (asked(), None, ""),
}


@pytest.mark.parametrize("what", SAID)
def test_it_is_said_in_a_line(what: str) -> None:
    spec, prompts, expected = SAID[what]
    before = stored(form_of(asked()))
    assert before is not None
    assert difference(before, form_of(spec, prompts)) == expected


def test_what_is_not_understood_says_nothing_and_what_is_too_long_is_not_kept() -> None:
    assert difference("{", form_of(asked())) == difference("[]", form_of(asked())) == ""
    assert stored(form_of(asked(args=["x" * 1000] * 64))) is None
    many = asked(args=[f"--{'x' * 900}{number}" for number in range(20)])
    before = stored(form_of(asked()))
    assert before is not None
    assert len(difference(before, form_of(many))) <= LONGEST < LONGEST_FORM


def test_the_event_and_status_say_what_is_different() -> None:
    operator: Operator = installed()
    operator.world.changed = "args: + --max-num-seqs=1; model unchanged"
    operator.world.ask(spec_of("vllm:2"))
    operator.settle()
    (note,) = (each for plan in operator.plans for each in plan.notes if each.reason == "RolloutStarted")
    assert note.message.endswith("steps. args: + --max-num-seqs=1; model unchanged")
    assert operator.status.canary is not None
    assert operator.status.canary.changed == operator.world.changed
    assert World(spec_of()).changed == ""
