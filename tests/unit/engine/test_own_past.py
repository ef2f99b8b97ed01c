"""While a revision serves and none is on trial, the operator compares its requests with their past."""

import asyncio
import re
from types import SimpleNamespace

import pytest

from modelrollout.api.names import RolloutKey
from modelrollout.api.spec import Spec
from modelrollout.engine.judging.own_past import OwnPasts
from modelrollout.sources.looks import LookSource
from modelrollout.sources.provider import ProviderError

AT = RolloutKey("ml", "chat")
NOW = 1_700_000_000.0
SPEC = Spec.model_validate(
    {
        "replicas": 1,
        "model": {"uri": "hf://test/one"},
        "runtime": {"image": "vllm/vllm-openai:v0.32.0"},
        "traffic": {"service": "chat"},
        "strategy": {"canary": {"steps": [{"weight": 50, "for": "1m"}]}},
        "analysis": {
            "prometheus": {"address": "http://p", "labels": {"cluster": "a"}},
            "ownPast": {"window": "1h", "past": "5h", "metrics": ["prompt-tokens"]},
        },
    }
)


class Server:
    """Prompts that were short until an hour ago, and are long now."""

    def __init__(self):
        self.asked, self.broken = [], False

    async def numbers_by(self, label, expression, at):
        if self.broken:
            raise ProviderError("It is away.")
        self.asked.append((expression, at))
        short = 900.0 if at < NOW else 500.0
        return {"10.0": 0.0, "100.0": short, "1000.0": 1000.0, "+Inf": 1000.0}

    async def close(self): ...


async def as_it_is(_at, _case, question):
    return question


def resting(revision="one", phase="Stable", canary=None):
    """A view, and the plan of its pass."""
    stable = SimpleNamespace(revision=revision)
    status = SimpleNamespace(stable=stable, canary=canary, phase=phase)
    return SimpleNamespace(spec=SPEC), SimpleNamespace(status=status)


async def following(server, *rests):
    """What is found once the passes have ended so, and what they were woken by."""
    pasts = OwnPasts(LookSource(connect=lambda *_: server), as_it_is, clock=lambda: NOW)
    woken = []
    pasts.on_news = woken.append
    for rest in rests:
        pasts.follow(AT, *rest)
        for _ in range(50):
            await asyncio.sleep(0)
    found = pasts.of(AT)
    await pasts.close()
    return found, woken


async def test_each_window_of_the_past_is_asked_for_with_the_labels_of_the_revision_that_serves():
    server = Server()
    (found,), woken = await following(server, resting())
    assert found.drifted
    assert found.text.startswith("prompt-tokens: 50 % above 100 tokens, 10 % before")
    assert woken == [AT]
    assert [at for _, at in server.asked] == [NOW - 3600 * i for i in range(6)]
    asked = {expression for expression, _ in server.asked}
    assert asked == {
        'sum by (le) (increase(vllm:request_prompt_tokens_bucket{namespace="ml",rollout="chat",'
        'revision="one",cluster="a"}[3600s]))'
    }


async def test_it_is_asked_once_for_each_revision_and_not_at_each_pass():
    server = Server()
    await following(server, resting(), resting(), resting("two"))
    revisions = [re.findall('revision="(.*?)"', expression)[0] for expression, _ in server.asked]
    assert revisions == ["one"] * 6 + ["two"] * 6


@pytest.mark.parametrize("rest", [resting(canary="two"), resting(phase="Installing")])
async def test_nothing_is_asked_while_a_revision_is_on_its_way(rest):
    server = Server()
    found, _ = await following(server, rest)
    assert (found, server.asked) == ((), [])


async def test_a_server_that_is_away_finds_nothing_and_breaks_nothing():
    server = Server()
    server.broken = True
    assert await following(server, resting()) == ((), [])
