"""What a completion says, from server-sent events or from a whole body."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from modelrollout.evaluate.answers import Answer


class Malformed(ValueError):
    """What came is no completion."""


async def events(chunks: AsyncIterator[bytes], most: int) -> AsyncIterator[bytes]:
    """The data of each event, as it comes. Raises Malformed when more than `most` bytes come."""
    rest, size = b"", 0
    async for chunk in chunks:
        size += len(chunk)
        if size > most:
            raise Malformed(f"more than {most // 2**20} MiB came.")
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip()
    if rest.startswith(b"data:"):
        yield rest[5:].strip()


class Heard:
    """One answer while it comes in."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}
        self._finish: str | None = None
        self._usage: dict[str, Any] = {}
        self._ttft: float | None = None
        self._logprobs: list[float] = []
        self._retrieved: tuple[str, ...] = ()
        self._pieces = 0
        self.error: str | None = None
        self.ended = False

    def event(self, data: bytes, at: float) -> None:
        """One event of a stream, `at` seconds after the request."""
        if data == b"[DONE]":
            self.ended = True
            return
        given = _parsed(data)
        self._common(given)
        for choice in given.get("choices") or ():
            delta = choice.get("delta") or {}
            text = delta.get("content") or delta.get("reasoning_content") or choice.get("text")
            if (text or delta.get("tool_calls")) and self._ttft is None:
                self._ttft = at
            self._pieces += bool(text)
            self._parts.append(delta.get("content") or choice.get("text") or "")
            for call in delta.get("tool_calls") or ():
                self._call(call)
            self._closing(choice)

    def whole(self, data: bytes, at: float) -> None:
        """The body of an answer that was not streamed; its first token came with the last."""
        given = _parsed(data)
        self._common(given)
        choices = given.get("choices")
        if not choices and self.error is None:
            raise Malformed(f"no `choices` in {_short(data)}.")
        for choice in choices or ():
            message = choice.get("message") or {}
            self._parts.append(message.get("content") or choice.get("text") or "")
            for number, call in enumerate(message.get("tool_calls") or ()):
                self._call({"index": number, **call})
            self._closing(choice)
        self._ttft, self.ended = at, True

    def _common(self, given: dict[str, Any]) -> None:
        if (found := given.get("error")) is not None:
            self.error = str(found.get("message", found) if isinstance(found, dict) else found)[:200]
        self._usage = given.get("usage") or self._usage
        if isinstance(ids := given.get("retrieved"), list):
            self._retrieved = tuple(str(one) for one in ids)

    def _closing(self, choice: dict[str, Any]) -> None:
        if (reason := choice.get("finish_reason")) is not None:
            self._finish, self.ended = str(reason), True
        if self._finish in ("abort", "error"):
            self.error = "the server aborted the answer"
        found = choice.get("logprobs") or {}
        tokens = found.get("content") or ()
        self._logprobs += [float(token["logprob"]) for token in tokens if "logprob" in token]
        self._logprobs += [float(one) for one in found.get("token_logprobs") or () if one is not None]

    def _call(self, call: dict[str, Any]) -> None:
        made = self._calls.setdefault(int(call.get("index") or 0), {"name": "", "arguments": ""})
        function = call.get("function") or {}
        made["name"] += function.get("name") or ""
        made["arguments"] += function.get("arguments") or ""

    def answer(self, seconds: float) -> Answer:
        logprob = sum(self._logprobs) / len(self._logprobs) if self._logprobs else None
        produced = self._usage.get("completion_tokens")
        return Answer(
            text="".join(self._parts),
            finish=self._finish,
            tool_calls=tuple(call for _, call in sorted(self._calls.items())),
            prompt_tokens=self._usage.get("prompt_tokens"),
            completion_tokens=self._pieces if produced is None else produced,
            ttft=self._ttft,
            seconds=seconds,
            logprob=logprob,
            retrieved=self._retrieved,
        )


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        given = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"{_short(data)} is no JSON.") from error
    if not isinstance(given, dict):
        raise Malformed(f"{_short(data)} is no object.")
    return given


def _short(data: bytes) -> str:
    text = data.decode(errors="replace")
    return repr(text if len(text) <= 80 else f"{text[:77]}...")
