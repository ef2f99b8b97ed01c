"""What the user asks for: the `spec` of a ModelRollout, as pydantic models.

These models are the single source of the CRD's schema (see `api.crd`) and of every default. They
read what the API server stored, so unknown fields are ignored here and refused there.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from modelrollout.api.analysis import Analysis
from modelrollout.api.evaluations import Evaluation
from modelrollout.api.model import Model, Prompts, Runtime
from modelrollout.api.quantities import Duration
from modelrollout.api.registry import Registry
from modelrollout.api.strategy import Strategy
from modelrollout.api.traffic import Traffic
from modelrollout.api.transitions import Transition
from modelrollout.api.wire import Name, Wire


class Notify(Wire):
    """Where messages about this rollout's transitions go. Nothing waits for them."""

    secret: Name
    """A Secret in the namespace of the rollout, with any of the keys urls (addresses of chats, mail and
    pagers as Apprise writes them, one a line), webhook and webhook-key (an address that gets CloudEvents, and
    the key that signs them) and ca.crt (certificates in PEM that the webhook is trusted by). The operator may
    read it only where its administrator listed the name in the chart's value notify.secrets."""
    when: Annotated[list[Transition], Field(max_length=9)] = Field(default_factory=list)
    """The kinds of transition that are sent. Empty: all but entered and noted."""


Deletion = Literal["orphan", "drain"]


class Spec(Wire):
    """What is asked for. Write it, and the operator makes it so."""

    replicas: Annotated[int, Field(ge=1, le=1000)] = 1
    """Pods of the revision that serves. An autoscaler may write it, through the scale subresource."""
    model: Model
    """The model. A change here is a new revision."""
    registry: Registry | None = None
    """Where model.uri is looked up, if it names a version in MLflow or a branch: see docs/registry.md."""
    runtime: Runtime
    """The server that loads it. A change here is a new revision, but for drain and startupDeadline."""
    prompts: Prompts | None = None
    """Prompts and chat templates. A change of their content is a new revision."""
    traffic: Traffic
    """How users reach the model, and where their requests are split."""
    strategy: Strategy
    """How a new revision meets the users."""
    analysis: Analysis | None = None
    """What a new revision is judged by. Without it steps pass by time alone."""
    evaluations: Annotated[list[Evaluation], Field(max_length=8)] = Field(default_factory=list)
    """Golden sets that judge a revision's answers, each run by a Job. docs/quality.md says how."""
    rollback_window: Duration = "1h"
    """How long the old revision stays warm after promotion."""
    holdback: Annotated[int, Field(ge=0, le=20)] = 0
    """Percent of users who stay on the warm old revision during rollbackWindow, so that the new one is judged
    beside it. Needs a gateway or Istio. At the end of the window, at a new revision and at a rollback they go
    where everybody goes."""
    notify: Annotated[list[Notify], Field(max_length=8)] = Field(default_factory=list)
    """Where messages go when the rollout begins, passes a step, waits for a person, or ends."""
    deletion: Deletion = "orphan"
    """What `kubectl delete` of this resource does to users.

    orphan: nobody is cut off. The pods of the serving revision stay, with the Services that lead to them.
    drain: everything goes. The route and the Service are given back as they were found, then the pods finish
    the answers that they have begun and end.
    """
