"""What tests ask of an operator's run."""

from __future__ import annotations

from modelrollout.rollout.actions import SetTraffic
from tests.unit.rollout.world import Operator


def moves(operator: Operator) -> list[SetTraffic]:
    """Every traffic change so far."""
    return [call for call in operator.world.calls if isinstance(call, SetTraffic)]


def weights(operator: Operator) -> list[int]:
    return [move.split.canary for move in moves(operator)]


def condition(operator: Operator, kind: str) -> tuple[str, str]:
    """Status and reason."""
    found = next(each for each in operator.status.conditions if each.type == kind)
    return found.status, found.reason


def said(operator: Operator, kind: str) -> str:
    return next(each.message for each in operator.status.conditions if each.type == kind)


def command(operator: Operator, name: str, value: str = "true") -> None:
    operator.world.say(name, value)
