"""The inside of the fake model server: a line in front of a few places, tokens and faults as chosen.

Standard library only: runs beside `fake_vllm.py` in pods.
"""

import asyncio
import collections
import dataclasses
import os
import random
import time

from vllm_metrics import Metrics

DEAD = "EngineCore encountered an issue. See stack trace (above) for the root cause."
OVERLOADED = "The server is overloaded, please try again later."


class HttpError(Exception):
    """An answer in the form in which vLLM refuses."""

    def __init__(self, status, message, kind, param=None):
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": status}}


@dataclasses.dataclass
class Knobs:
    """What one may choose; times in seconds, rates from 0 to 1."""

    ttft: float = 0.0
    tpot: float = 0.0
    jitter: float = 0.0  # sigma of a log-normal factor on both, drawn per request
    tokens: int = 16  # how many are generated unless max_tokens is less
    answer: str = ""  # said instead of the usual words
    error_rate: float = 0.0  # 500, or in a stream an error under 200
    crash_after: int = -1  # so many completions are answered, the next one kills the engine; -1: never
    startup_delay: float = 0.0
    startup_exit: int = -1  # exit code with which it ends instead of becoming ready

    def change(self, values):
        """Set knobs by name. ValueError for one that does not exist, or a value that is not of its type."""
        kinds = {field.name: field.type for field in dataclasses.fields(self)}
        for name, value in values.items():
            if name not in kinds:
                raise ValueError(f"there is no knob {name}; there are {', '.join(kinds)}")
            setattr(self, name, kinds[name](value))

    @classmethod
    def from_environment(cls):
        """`FAKE_TTFT=0.2` sets ttft, and so on."""
        knobs = cls()
        given = {name: os.environ.get(f"FAKE_{name.upper()}") for name in vars(knobs)}
        knobs.change({name: value for name, value in given.items() if value is not None})
        return knobs


@dataclasses.dataclass
class Completion:
    """One request to the engine, and what came of it."""

    prompt_tokens: int
    max_tokens: int
    words: list
    produced: int = 0
    reason: str | None = None


class Engine:
    """Runs at most `places` requests at a time; others wait in line, at most `longest_line` of them."""

    def __init__(self, model, knobs, *, places, longest_line, longest_text):
        self.knobs, self.places, self.longest_line = knobs, places, longest_line
        self.metrics = Metrics(model, longest_text)
        self.waiting = collections.deque()
        self.running = 0
        self.answered = 0
        self.state = "up"  # or "draining": finish what runs, "stopping": cut it, "dead"
        self.died = asyncio.Event()
        self.tasks = set()
        """The tasks that serve requests, for `cut`."""

    async def generate(self, request):
        """Yield words as they come; afterwards `request.reason` says why it ended, and all is counted.

        Raises HttpError instead of the first word, or of any when the engine dies.
        """
        arrived = time.monotonic()
        if not await self._place(request):
            return
        begun, first, last = time.monotonic(), None, None
        factor = random.lognormvariate(0, self.knobs.jitter) if self.knobs.jitter else 1.0
        try:
            await pause(self.knobs.ttft * factor)
            self._maybe_fail()
            first = last = time.monotonic()
            self._prefilled(request, first - arrived)
            yield self._next(request)
            while request.reason is None:
                await pause(self.knobs.tpot * factor)
                now = time.monotonic()
                self.metrics.observe("inter_token_latency_seconds", now - last)
                last = now
                yield self._next(request)
        except HttpError:
            request.reason = None if self.state == "dead" else "error"
            raise
        except asyncio.CancelledError:
            self._cut_short(request)
        finally:
            self._leave()
            if request.reason:
                self._finished(request, arrived, begun, first, last)

    def _cut_short(self, request):
        """What a cancelled request ends with. Raises again when the client went: that counts nowhere."""
        if self.state == "dead":
            raise HttpError(500, DEAD, "InternalServerError")
        if self.state != "stopping":
            raise asyncio.CancelledError
        request.reason = "abort"

    async def _place(self, request):
        """Wait for a place; False when the server stops before there is one."""
        if self.running < self.places:
            self.running += 1
            return True
        if self.longest_line is not None and len(self.waiting) >= self.longest_line:
            self.metrics.reject("max_num_queued_reqs")
            raise HttpError(503, OVERLOADED, "ServiceUnavailableError")
        turn = asyncio.get_running_loop().create_future()
        self.waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()  # the turn came in the very moment when the request went
            else:
                self.waiting.remove(turn)
            self._cut_short(request)
            return False
        return True

    def _leave(self):
        """Hand the place to the next in line, or free it."""
        while self.waiting:
            turn = self.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.running -= 1

    def _maybe_fail(self):
        self.answered += 1
        if 0 <= self.knobs.crash_after < self.answered:
            self.die()
            raise HttpError(500, DEAD, "InternalServerError")
        if self.knobs.error_rate and random.random() < self.knobs.error_rate:
            raise HttpError(500, "Internal server error", "InternalServerError")

    def _prefilled(self, request, seconds):
        add, tokens = self.metrics.add, request.prompt_tokens
        add("prompt_tokens", tokens)
        add("prompt_tokens_by_source", tokens, source="local_compute")
        add("prefix_cache_queries", tokens)
        self.metrics.observe("time_to_first_token_seconds", seconds)
        self.metrics.observe("iteration_tokens_total", tokens + 1)

    def _next(self, request):
        word = request.words[request.produced]
        request.produced += 1
        self.metrics.add("generation_tokens")
        if request.produced >= request.max_tokens:
            request.reason = "length"
        elif request.produced >= len(request.words):
            request.reason = "stop"
        return word

    def _finished(self, request, arrived, begun, first, last):
        self.metrics.add("request_success", finished_reason=request.reason)
        if first is None:
            return
        observe = self.metrics.observe
        if request.produced > 1:
            observe("iteration_tokens_total", 1, request.produced - 1)
            observe("request_time_per_output_token_seconds", (last - first) / (request.produced - 1))
        for name, value in (
            ("e2e_request_latency_seconds", time.monotonic() - arrived),
            ("request_queue_time_seconds", begun - arrived),
            ("request_prefill_time_seconds", first - begun),
            ("request_decode_time_seconds", last - first),
            ("request_inference_time_seconds", last - begun),
            ("request_prompt_tokens", request.prompt_tokens),
            ("request_prefill_kv_computed_tokens", request.prompt_tokens),
            ("request_generation_tokens", request.produced),
            ("request_max_num_generation_tokens", request.produced),
            ("request_params_max_tokens", request.max_tokens),
            ("request_params_n", 1),
            ("request_num_preemptions", 0),
        ):
            observe(name, value)

    def scrape(self):
        """The text of /metrics."""
        in_line = sum(not turn.done() for turn in self.waiting)
        self.metrics.set("num_requests_running", self.running)
        self.metrics.set("num_requests_waiting", in_line)
        self.metrics.set("num_requests_waiting_by_reason", in_line, reason="capacity")
        self.metrics.set("kv_cache_usage_perc", min(1.0, self.running / self.places))
        return self.metrics.text()

    def die(self):
        """As when the engine's process is killed: whatever runs gets an error."""
        self.state = "dead"
        self.died.set()
        self.cut()

    def cut(self):
        """Stop whatever runs or waits, but the task that calls."""
        for task in self.tasks - {asyncio.current_task()}:
            task.cancel()


async def pause(seconds):
    if seconds > 0:
        await asyncio.sleep(seconds)
