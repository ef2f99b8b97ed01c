"""What only the operator can find wrong with a spec, and its words."""

import pytest

from modelrollout.api.spec import Spec
from modelrollout.api.validation import problems

KNOWN = ("vllm/time-to-first-token", "vllm/errors", "istio/success-rate")


def spec(metrics=(), pod_template=None):
    analysis = {"prometheus": {"address": "http://p"}, "metrics": list(metrics)} if metrics else None
    return Spec.model_validate(
        {
            "model": {"uri": "hf://a/b"},
            "runtime": {"image": "vllm", "podTemplate": pod_template or {}},
            "traffic": {"service": "chat"},
            "strategy": {"blueGreen": {}},
            "analysis": analysis,
        }
    )


ROWS = {
    "nothing is wrong": (spec([{"use": "vllm/errors"}]), []),
    "nothing is judged": (spec(), []),
    "an own metric needs no pack": (spec([{"name": "x", "scalar": {"value": "x{$arm}"}}]), []),
    "a metric nearly spelled right": (
        spec([{"use": "vllm/time-to-first-tokn"}]),
        ["There is no metric vllm/time-to-first-tokn: did you mean vllm/time-to-first-token?"],
    ),
    "a metric that the pack lacks": (
        spec([{"use": "vllm/happiness"}]),
        ["There is no metric vllm/happiness: vllm has vllm/errors, vllm/time-to-first-token."],
    ),
    "a pack that does not exist": (
        spec([{"use": "triton/queue"}]),
        ["There is no metric triton/queue: the packs are istio, vllm."],
    ),
    "labels that are the operator's": (
        spec(pod_template={"metadata": {"labels": {"team": "x", "modelrollout.io/revision": "1"}}}),
        [
            "runtime.podTemplate sets modelrollout.io/revision, and the operator tells revisions apart by "
            "these labels: leave them out."
        ],
    ),
}


@pytest.mark.parametrize(("given", "expected"), ROWS.values(), ids=ROWS.keys())
def test_problems(given, expected):
    assert [problem.message for problem in problems(given, KNOWN)] == expected


def test_all_problems_are_told_at_once():
    found = problems(
        spec([{"use": "vllm/a"}, {"use": "x/b"}], {"metadata": {"labels": {"modelrollout.io/x": ""}}}), KNOWN
    )
    assert [problem.reason for problem in found] == ["UnknownMetric", "UnknownMetric", "ReservedLabel"]
