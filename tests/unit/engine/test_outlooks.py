"""While the pods of a new revision load, the operator asks what the traffic of the past hour can decide."""

import asyncio
from array import array

import pytest

from modelrollout.analysis.counters.series import Series
from modelrollout.api.names import RolloutKey
from modelrollout.api.spec import Spec
from modelrollout.engine.judging.case import Case, question_of
from modelrollout.engine.judging.outlooks import Outlooks
from modelrollout.sources.looks import LookSource
from tests.unit.sources.test_lasting import OURS, TIMES, UNTIL, UPS, Server

AT = RolloutKey("ml", "chat")
STEPS = [{"weight": weight, "for": "10m"} for weight in (5, 25, 50)]
ANALYSIS = {
    "prometheus": {"address": "http://p"},
    "interval": "300s",
    "metrics": [{"use": "vllm/success-rate", "tolerate": {"absolute": "0.005"}}],
}
SPEC = Spec.model_validate(
    {
        "replicas": 1,
        "model": {"uri": "hf://test/one"},
        "runtime": {"image": "vllm/vllm-openai:v0.32.0"},
        "traffic": {"service": "chat", "gateway": {"httpRoute": "chat", "rule": "completions"}},
        "strategy": {"canary": {"steps": STEPS}},
        "analysis": ANALYSIS,
    }
)


async def as_it_is(_at, _case, question):
    return question


async def outlook(per_scrape):
    """Of a service of one pod, which has no halves, that got so many requests between two scrapes."""
    values = array("d", (per_scrape * i for i in range(len(TIMES))))
    arrived = Series({**OURS, "__name__": "vllm:time_to_first_token_seconds_count"}, TIMES, values)
    source = LookSource(clock=lambda: UNTIL + 60, connect=lambda *_: Server([*UPS, arrived]))
    outlooks, told = Outlooks(source, as_it_is, clock=lambda: UNTIL + 60), asyncio.Event()
    outlooks.on_news = lambda _: told.set()
    case = Case("2026-11-28T09:00:00Z", "old", "new", SPEC.analysis)
    question = question_of(AT, SPEC, case, (1.0, 1.0))
    outlooks.follow(AT, SPEC, case, question)
    first = outlooks._followed[AT].task
    outlooks.follow(AT, SPEC, case, question)
    assert outlooks._followed[AT].task is first  # each case is asked about once
    await asyncio.wait_for(told.wait(), 10)
    found = outlooks.of(AT)
    outlooks.forget(AT)
    assert outlooks.of(AT) is None
    await outlooks.close()
    return found


@pytest.mark.parametrize(("per_scrape", "enough"), [(15, False), (1500, True)])
async def test_one_request_a_second_is_said_to_be_too_little_and_a_hundred_to_be_enough(per_scrape, enough):
    found = await outlook(per_scrape)
    assert (found.late is None) is enough
    assert enough or "With this traffic step" in found.late
