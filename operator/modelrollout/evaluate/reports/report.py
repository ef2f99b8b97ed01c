"""Everything that a report may say, gathered once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelrollout.evaluate.findings import Findings
from modelrollout.evaluate.planning import Forecast
from modelrollout.evaluate.policy import Policy
from modelrollout.evaluate.trial import Trial
from modelrollout.evaluate.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Report:
    policy_name: str
    policy: Policy
    trial: Trial
    verdict: Verdict
    findings: Findings
    forecasts: tuple[Forecast, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    """From a side to what was asked, such as the model's name and the address."""
    names: Mapping[str, str] = field(default_factory=dict)
    """From a side to what it is called, such as its revision."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    """From a judge to its prompt's version and its models."""
    ratings: Mapping[str, float] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
