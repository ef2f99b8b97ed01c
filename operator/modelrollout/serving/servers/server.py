"""What the operator must know of a model server: how it is started, asked, watched and emptied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from modelrollout.api.spec import Spec

Flags = list[list[str]]
"""Flags, each with its values."""


@dataclass(frozen=True)
class Question:
    """A short request of the kind that clients send. A server that answers it can serve them."""

    path: str
    body: Mapping[str, Any]
    """Without the model's name, which the builder adds. None as a value stands for a second of silence as
    audio, and makes the request a form."""
    sign: str = ""
    """What a good answer has in its text."""


def served_name(rollout: str, spec: Spec) -> str:
    """The name by which clients ask for the model; the first, where it has several."""
    return spec.model.served_name or rollout


def no_flags(_rollout: str, _spec: Spec) -> Flags:
    return []


@dataclass(frozen=True)
class ModelServer:
    name: str
    """As `runtime.server` names it."""
    flags: Callable[[str, Spec], Flags]
    """(rollout's name, spec) -> the flags that say what to serve; ValueError when it cannot be served."""
    questions: tuple[Question, ...]
    """Asked in turn: the first of these APIs that the server has must answer."""
    command: tuple[str, ...] = ()
    """Instead of the image's entry point; `runtime.command` wins."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """The user's own variables win."""
    health: str | None = None
    """Path of the readiness and liveness probes; None: only that the port is open is asked."""
    key: str = "OPENAI_API_KEY"
    """Variable that holds the key that the server asks for, if it does."""
    busy: tuple[str, ...] = ()
    """Gauges of requests running and waiting; empty: a pod that leaves is given the whole drain timeout."""
