"""Looks: counting both arms over the same aligned intervals, and what has been found so far."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from modelrollout.engine.findings import NOTHING, Findings
from modelrollout.engine.keys import RolloutKey
from modelrollout.engine.view import View
from modelrollout.rollout.model import Plan
from modelrollout.telemetry import Telemetry


class Looks:
    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self.on_news: Callable[[RolloutKey], None] = lambda _: None

    def findings(self, at: RolloutKey) -> Findings:
        return NOTHING

    def follow(self, at: RolloutKey, view: View, plan: Plan) -> None:
        return

    def checkpoint(self, at: RolloutKey) -> dict[str, Any] | None:
        return None

    def forget(self, at: RolloutKey) -> None:
        return

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        return
