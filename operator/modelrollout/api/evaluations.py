"""Evaluations: which golden sets are asked of a revision, and what came of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from modelrollout.api.quantities import Duration
from modelrollout.api.wire import Name, Wire

WHEN_PATTERN = r"^(beforeTraffic|afterPromotion|onDrift|[0-9A-Za-z*,/#-]+( [0-9A-Za-z*,/#-]+){4})$"
KEY_PATTERN = r"^[-._a-zA-Z0-9]+$"

Key = Annotated[str, Field(min_length=1, max_length=253, pattern=KEY_PATTERN)]


class PolicySource(Wire):
    """Where the policy is."""

    config_map: Name
    """Name of the ConfigMap that holds the policy, and its golden set where the policy names a file."""
    key: Key = "quality.yaml"
    """The policy's file in that ConfigMap."""


class Evaluation(Wire):
    """A golden set and its gates, asked of a revision by a Job."""

    name: Annotated[Name, Field(max_length=32)]
    """How steps, status and Events call it."""
    policy: PolicySource
    """What is asked, how answers are scored, and what the scores must hold."""
    when: Annotated[str, Field(min_length=1, max_length=100, pattern=WHEN_PATTERN)] | None = None
    """beforeTraffic: the first thing that a new revision must pass, unless a step names this evaluation.
    afterPromotion, or a cron expression in UTC such as 0 2 * * *: the revision that serves is asked, alone,
    so its policy needs absolute limits; onDrift: the same, when its requests have drifted from their past
    (analysis.ownPast). Left out: only where a step names it."""
    on_fail: Literal["revert", "alarm"] = "alarm"
    """When the revision that serves fails. revert: users go back to the one before, while that is kept warm;
    later, and with alarm, an Event says so. At a step a Fail always reverts."""
    on_stale: Literal["hold", "warn"] = "hold"
    """When the last run on the revision that serves had no valid result. hold: no new rollout begins until
    one has; warn: an Event says so. The revision serves on either way."""
    timeout: Duration = "1h"
    """After this long the Job is ended. That says nothing about the model, and the Job is run again."""
    env: Annotated[list[dict[str, Any]], Field(max_length=32)] = Field(default_factory=list)
    """Kubernetes EnvVar objects of the Job's container, such as the key of a judge from a Secret."""
    resources: dict[str, Any] = Field(default_factory=dict)
    """Kubernetes ResourceRequirements of the Job's container, instead of the operator's setting."""
    report_claim: Name | None = None
    """A PersistentVolumeClaim on which the report and all answers are kept; without it the answers go with
    the Job's pod, and a Job that was interrupted asks everything anew."""

    @property
    def schedule(self) -> str | None:
        """The cron expression; None where it is run for another reason."""
        return self.when if self.when not in (None, "beforeTraffic", "afterPromotion", "onDrift") else None


Found = Literal["Pass", "Fail", "Insufficient", "ProviderError"]


class ValidResult(Wire):
    """A result that passed or failed a revision."""

    verdict: Literal["Pass", "Fail"]
    """What was found."""
    revision: str
    """Of which revision."""
    at: str
    """When."""


class EvaluationStatus(Wire):
    """The last run of one evaluation."""

    name: str
    """The evaluation."""
    revision: str
    """The revision that it was run on."""
    run: str
    """What it was run for: a stay at a step, a promotion, or a moment of its schedule."""
    job: str = ""
    """The Job that runs it, or ran it last."""
    attempt: int = 1
    """How many Jobs were started for this run so far."""
    verdict: Found | None = None
    """What it found; absent while it runs. Insufficient and ProviderError neither pass nor fail it."""
    message: str = ""
    """How far it is, or what it found, in words."""
    at: str = ""
    """When this became so."""
    valid: ValidResult | None = None
    """The last result that passed or failed a revision."""
    stale: bool = False
    """Runs since then have ended without a valid result."""
