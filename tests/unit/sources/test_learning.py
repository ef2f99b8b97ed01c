"""What is learned of the control before the first look."""

import pytest

from modelrollout.analysis.counters.matchers import Arms
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.packs.catalogue import arrivals, durations, resolve
from modelrollout.api.analysis import Metric
from modelrollout.sources.learning import learn
from modelrollout.sources.looks import LookSource
from modelrollout.sources.question import Question
from tests.unit.sources.test_lasting import UNTIL, UPS, VLLM, Server

USES = ("http/success-rate", "vllm/restarts")


async def learned(series):
    metrics = [Metric(use=use) for use in USES]
    arms = Arms("ml", "chat", "chat", stable="old", canary="new")
    asked = Question("http://p", 1.0, resolve(metrics), arms, 0.0, arrivals(metrics), durations(metrics))
    source, plan = LookSource(connect=lambda *_: Server(series)), Plan(tuple(m.metric for m in asked.metrics))
    found = await learn(source, asked, plan, 20, interval=300.0, until=UNTIL)
    await source.close()
    return found


async def test_each_metric_learns_how_long_a_step_takes_to_settle_for_it():
    found = await learned(UPS + VLLM)
    assert [m.settle for m in found.evidence.plan.metrics] == pytest.approx([22.5, 0.0], abs=0.1)
    assert not found.warnings


async def test_where_no_histogram_says_how_long_requests_take_nothing_waits_and_it_is_said():
    found = await learned(UPS)
    assert [m.settle for m in found.evidence.plan.metrics] == [0.0, 0.0]
    assert found.warnings.keys() == {USES[0]}
    assert "how long requests take" in found.warnings[USES[0]]
