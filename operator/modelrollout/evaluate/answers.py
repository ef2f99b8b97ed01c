"""What an endpoint answered to one case, and what it took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, or `problem`: the sentence that says why no answer came. Times in seconds."""

    text: str = ""
    finish: str | None = None
    tool_calls: tuple[dict[str, Any], ...] = ()
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    ttft: float | None = None
    seconds: float | None = None
    logprob: float | None = None
    """The mean log probability of its tokens."""
    attempts: int = 1
    problem: str | None = None
    retrieved: tuple[str, ...] = ()
    """The ids of the contexts that a retrieval server says it used, best first."""

    @property
    def answered(self) -> bool:
        return self.problem is None

    @property
    def tpot(self) -> float | None:
        if self.ttft is None or self.seconds is None or (self.completion_tokens or 0) < 2:
            return None
        return (self.seconds - self.ttft) / ((self.completion_tokens or 0) - 1)

    def dump(self) -> dict[str, Any]:
        """JSON-able, without what is not known."""
        known = ((name, getattr(self, name)) for name in self.__slots__)
        return {name: value for name, value in known if value not in (None, (), "")}

    @classmethod
    def load(cls, stored: dict[str, Any]) -> Answer:
        known = {name: value for name, value in stored.items() if name in cls.__slots__}
        for name in ("tool_calls", "retrieved"):
            known[name] = tuple(known.get(name, ()))
        return cls(**known)
