"""Follows one ModelRollout and says each change once, as `kubectl get mr -w` would."""

from __future__ import annotations

import contextlib
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

PATH = "/apis/modelrollout.io/v1alpha1/namespaces/{namespace}/modelrollouts/{name}"


@dataclass(frozen=True)
class Moment:
    """What was new at a time (unix seconds)."""

    at: float
    phase: str
    step: str
    weight: int
    verdict: str
    message: str

    def line(self) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(self.at))
        columns = f"  {clock}  {self.phase or '-':<12}{self.step or '-':<6}{self.weight:>4} %  "
        columns += f"{self.verdict or '-':<14}"
        return textwrap.fill(
            self.message, WIDTH, initial_indent=columns, subsequent_indent=" " * len(columns)
        )


WIDTH = 150
"""Of a line; a longer message goes on below its column."""
HEADER = f"  {'time':<10}{'PHASE':<12}{'STEP':<6}{'WEIGHT':<8}{'VERDICT':<14}MESSAGE"


@dataclass
class Watch:
    """Reads the resource twice a second; keeps the moments."""

    http: httpx.Client
    path: str
    say: Callable[[str], None]
    moments: list[Moment] = field(default_factory=list)
    resource: dict[str, Any] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    """Revision -> its model, of every revision that status has named so far."""

    def until(
        self,
        done: Callable[[dict[str, Any]], bool],
        what: str,
        seconds: float,
        each: Callable[[Moment], None],
    ) -> None:
        """Follow until `done(status)`; TimeoutError says what did not happen and what was seen last."""
        deadline = time.monotonic() + seconds
        while True:
            status = self._look(each)
            if done(status):
                return
            if time.monotonic() > deadline:
                last = self.moments[-1].line().strip() if self.moments else "nothing"
                raise TimeoutError(f"Waited {seconds:.0f} s for {what}. Seen last: {last}")
            time.sleep(0.5)

    def _look(self, each: Callable[[Moment], None]) -> dict[str, Any]:
        with contextlib.suppress(httpx.HTTPError):  # an API server that is busy is asked again
            answer = self.http.get(self.path)
            answer.raise_for_status()
            self.resource = answer.json()
        status: dict[str, Any] = self.resource.get("status", {})
        self.models |= models(status)
        moment = _moment(status)
        if not self.moments or _key(self.moments[-1]) != _key(moment):
            self.moments.append(moment)
            self.say(moment.line())
            each(moment)
        return status


def condition(status: dict[str, Any], kind: str) -> bool:
    return any(c["type"] == kind and c["status"] == "True" for c in status.get("conditions", []))


def models(status: dict[str, Any]) -> dict[str, str]:
    """Revision -> its model, of the revisions that status names now."""
    named = [status.get(role) or {} for role in ("stable", "canary", "previous")]
    return {each["revision"]: each["model"] for each in named if each.get("model")}


def _moment(status: dict[str, Any]) -> Moment:
    return Moment(
        time.time(),
        status.get("phase", ""),
        (status.get("step") or {}).get("progress", ""),
        (status.get("weight") or {}).get("desired", 0),
        status.get("verdict") or "",
        status.get("message", ""),
    )


def _key(moment: Moment) -> tuple[object, ...]:
    return (moment.phase, moment.step, moment.weight, moment.verdict, moment.message)
