"""Cost per token where the revisions run on different accelerators."""

from dataclasses import replace

import pytest

from modelrollout.analysis.counters.gather import Facts
from modelrollout.analysis.counters.observe import observe
from modelrollout.analysis.counters.targets import targets_of
from modelrollout.analysis.evidence.sentences import summary
from modelrollout.analysis.inputs.observation import ProblemKind
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.packs import catalogue
from modelrollout.analysis.packs.limits import Unresolvable
from modelrollout.analysis.packs.prices import with_prices_said
from modelrollout.api import analysis as spec
from modelrollout.serving.accelerators import hardware
from tests.unit.analysis.given import judge
from tests.unit.analysis.scrapes import ARMS, counter, steady, target, window

PRICES = {"NVIDIA-L4": "0.80", "NVIDIA-H100-80GB-HBM3": "4.00"}
APART = replace(ARMS, hardware=(("NVIDIA-H100-80GB-HBM3", "nvidia.com/gpu"), ("NVIDIA-L4", "nvidia.com/gpu")))
BOTH = [*target("a", "new"), *target("b", "old")]
FASTER = [
    counter("a", "new", "vllm:generation_tokens_total", steady(8_000)),
    counter("b", "old", "vllm:generation_tokens_total", steady(2_000)),
]
"""The canary makes four times the tokens in the same seconds."""


def cost(prices=None, arms=APART):
    metric = spec.Metric(use="vllm/cost-per-1k-tokens", prices=prices)
    return with_prices_said(catalogue.resolve([metric])[0], arms)


def seen(resolved, arms=APART):
    return observe(resolved, arms, Facts.of(tuple(FASTER), targets_of(BOTH)), window())


def ratio(observation):
    canary, control = observation.canary, observation.control
    return canary.sum / canary.n / (control.sum / control.n)


def test_an_accelerator_of_five_times_the_price_must_make_five_times_the_tokens():
    assert ratio(seen(cost())) == pytest.approx(1 / 4)
    assert ratio(seen(cost(PRICES))) == pytest.approx(5 / 4)


def test_the_cost_of_a_thousand_tokens_is_in_the_unit_of_the_prices():
    """60 s of an accelerator at 4.00 an hour make 48,000 tokens."""
    canary = seen(cost(PRICES)).canary
    assert canary.sum / canary.n == pytest.approx(60 * 4 / 3600 / 48)


def test_the_sentence_says_at_which_prices():
    def said(resolved, arms=APART):
        evidence, _ = judge(Plan((resolved.metric,)), [{resolved.name: seen(resolved, arms)}])
        standing = evidence.standings()[resolved.name]
        return summary(standing.metric, standing.reading)

    assert "an accelerator-hour at 4 for the canary and 0.8 for stable" in said(cost(PRICES))
    assert "each accelerator at the same price, though" in said(cost())
    assert "price" not in said(cost(arms=ARMS), ARMS)


def test_what_has_no_price_is_not_compared_and_its_names_are_said():
    found = seen(cost({"NVIDIA-L4": "0.80"})).problem
    assert found.kind is ProblemKind.NOT_COMPARABLE
    assert "the canary runs on" in found.message
    assert "NVIDIA-H100-80GB-HBM3, nvidia.com/gpu" in found.message


def test_prices_are_for_what_costs():
    with pytest.raises(Unresolvable, match="write use: vllm/cost-per-1k-tokens"):
        catalogue.resolve([spec.Metric(use="vllm/success-rate", prices=PRICES)])


def test_a_price_is_above_zero():
    with pytest.raises(Unresolvable, match="NVIDIA-L4 costs nothing: write a price above 0"):
        catalogue.resolve([spec.Metric(use="vllm/cost-per-1k-tokens", prices={"NVIDIA-L4": "0"})])


def test_a_pod_runs_on_the_nodes_and_resources_that_it_asks_for():
    terms = [{"matchExpressions": [{"key": "product", "operator": "In", "values": ["NVIDIA-L4"]}]}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    pod = {
        "nodeSelector": {"node.kubernetes.io/instance-type": "g6.xlarge"},
        "affinity": {"nodeAffinity": required},
        "containers": [{"resources": {"limits": {"nvidia.com/gpu": "1", "cpu": "4"}}}],
    }
    found = hardware({"spec": {"template": {"spec": pod}}})
    assert found == ("g6.xlarge", "NVIDIA-L4", "nvidia.com/gpu")
    assert hardware(None) == ()
