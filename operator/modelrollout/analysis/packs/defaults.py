"""What a rollout is judged by when it names no metrics."""

from __future__ import annotations

from modelrollout.api.analysis import Analysis, Metric
from modelrollout.api.spec import Spec

PODS = (
    "http/client-error-rate",
    "http/success-rate",
    "vllm/success-rate",
    "vllm/time-to-first-token",
    "vllm/failed-scrapes",
)
"""What vLLM's servers count, behind every router: requests refused, failed, slow, and servers that hang."""
MESH = ("istio/success-rate",)
"""What Istio's proxies count beside it: requests that no pod answered."""


def analysis_of(spec: Spec) -> Analysis | None:
    """The analysis that the spec asks for, with metrics in it; None where it asks for none."""
    analysis = spec.analysis
    if analysis is None or analysis.metrics:
        return analysis
    names = (*PODS, *(MESH if spec.traffic.istio is not None else ()))
    return analysis.model_copy(update={"metrics": [Metric(use=name) for name in names]})
