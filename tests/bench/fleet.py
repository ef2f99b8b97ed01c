"""Continuous-batching servers, many rollouts of them at once.

A lane is one pod of one rollout. Time goes in slots of half a second; within a slot the moments of
first tokens and ends are exact. An iteration of a server takes `step + per_running * running` seconds, and
`per_token` more for each prompt token that it prefills, at most `chunk` of them. So a busy pod is slower for
all its requests, a long prompt holds up the others, and a full KV cache holds up the queue.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tests.bench.worlds import TTFT

Array = npt.NDArray[np.float64]
Lanes = npt.NDArray[np.int64]
SLOT = 0.5
SCRAPE = 15.0
KEPT = 8
"""Scrapes that a lane remembers."""
TPOT = np.array(
    [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80]
)
E2E = np.array([0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680])
"""vLLM's bucket edges, seconds."""
FAMILIES = {
    "vllm:time_to_first_token_seconds": TTFT,
    "vllm:request_time_per_output_token_seconds": TPOT,
    "vllm:e2e_request_latency_seconds": E2E,
}
"""Histograms that a lane counts; the columns of its counters are their buckets, then good and bad ends, and
the sums of the three."""
ENDS = sum(len(edges) + 1 for edges in FAMILIES.values())
SUMS = ENDS + 2
COLUMNS = SUMS + len(FAMILIES)


@dataclass(frozen=True)
class Server:
    """How long an iteration takes, in seconds; the defaults are about an 8B model on one H100."""

    step: float = 0.007
    per_running: float = 5e-5
    per_token: float = 4e-5
    chunk: float = 2048.0
    kv: float = 300_000.0
    """Tokens of prompts and answers that fit into the cache."""

    def scaled(self, factor: float) -> Server:
        """A larger model: everything takes `factor` times as long."""
        return replace(
            self,
            step=self.step * factor,
            per_running=self.per_running * factor,
            per_token=self.per_token * factor,
        )

    def capacity(self, prompt: float, answer: float) -> float:
        """Requests per second that one pod can serve for ever, with so many tokens each on average."""
        running = self.kv / (prompt + answer / 2)
        return 1 / (self.per_token * prompt + answer * (self.step / running + self.per_running))


@dataclass(frozen=True)
class Users:
    """What users ask for: medians and spreads (sigma of the logarithm) of prompts and answers in tokens."""

    prompt: float = 600.0
    prompt_sigma: float = 0.9
    answer: float = 150.0
    answer_sigma: float = 0.7
    long_share: float = 0.0
    """Prompts that are documents ..."""
    long: float = 12_000.0
    """... of about so many tokens."""
    cached: float = 0.0
    """Requests whose prompt a warm prefix cache holds, all but a twentieth of it."""
    burst: float = 0.0
    """Sigma of the logarithm of the arrival rate; it changes every ten seconds or so."""
    day: float = 0.0
    """The arrival rate rises and falls by this part over an hour."""
    aborts: float = 0.01
    """Clients that go away in mid-answer; no server counts their end."""

    def means(self) -> tuple[float, float]:
        """Prompt tokens to compute and answer tokens of an average request."""
        usual = self.prompt * math.exp(self.prompt_sigma**2 / 2)
        prompt = (1 - self.long_share) * usual + self.long_share * self.long
        return prompt * (1 - 0.95 * self.cached), self.answer * math.exp(self.answer_sigma**2 / 2)


@dataclass
class _Running:
    """Requests that have arrived and not ended, one entry each."""

    lane: Lanes
    arrived: Array
    first: Array
    """When its first token is due, unix seconds."""
    since: Array
    """The lane's count of iterations at the first token; nan before."""
    answer: Array
    prompt: Array
    fate: Lanes
    """0: ends well, 1: ends with an error at once, 2: the client goes away."""

    def take(self, mask: npt.NDArray[np.bool_]) -> _Running:
        return _Running(*(getattr(self, name)[mask] for name in self.__dataclass_fields__))

    def join(self, other: _Running) -> _Running:
        names = self.__dataclass_fields__
        return _Running(*(np.concatenate([getattr(self, n), getattr(other, n)]) for n in names))


class Fleet:
    """`lanes` pods and their counters; `bursts` names for each lane the rollout whose users reach it."""

    def __init__(
        self, rng: np.random.Generator, server: Server, users: Users, owner: Lanes, start: float = 1e6
    ) -> None:
        lanes = len(owner)
        self.rng, self.server, self.users, self.owner = rng, server, users, owner
        self.now = start
        self.counters = np.zeros((lanes, COLUMNS))
        self.slow, self.slow_prefill, self.bad = np.ones(lanes), np.ones(lanes), np.zeros(lanes)
        """How many times as long an iteration takes, and each prompt token; the share of errors."""
        self.warmth = np.full(lanes, 3000.0)
        """Requests that each prefix cache has seen."""
        self.begun = np.full(lanes, start - 1e6)
        """When each process began."""
        self.down_until = np.zeros(lanes)
        self.scraped = np.full((lanes, KEPT), np.nan)
        self.samples = np.zeros((lanes, KEPT, COLUMNS))
        self._phase = (np.arange(lanes) * 7919) % int(SCRAPE / SLOT)
        self._slots = 0
        self._free = np.full(lanes, start)
        self._iterations = np.zeros(lanes)
        self._mood = np.zeros(int(owner.max()) + 1)
        nothing, none = np.zeros(0), np.zeros(0, dtype=np.int64)
        self._running = _Running(none, nothing, nothing, nothing, nothing, nothing, none)

    def advance(self, seconds: float, rates: Array) -> None:
        """So many seconds on, `rates` requests per second arriving at each lane."""
        for _ in range(round(seconds / SLOT)):
            self._slot(rates)

    def crash(self, lanes: Lanes, away: float) -> None:
        """Processes die with all they were answering and counting, and come back `away` seconds later."""
        self.counters[lanes] = 0.0
        self.begun[lanes] = self.down_until[lanes] = self.now + away
        self.warmth[lanes] = 0.0
        self._free[lanes] = self.now + away
        self._running = self._running.take(~np.isin(self._running.lane, lanes))

    def _slot(self, rates: Array) -> None:
        now, server, run = self.now, self.server, self._running
        lanes = len(rates)
        decoding = run.first <= now
        running = np.bincount(run.lane[decoding], minlength=lanes)
        base = self.slow * (server.step + server.per_running * running)
        held = run.prompt + np.where(decoding, self._iterations[run.lane] - run.since, 0.0)
        full = np.bincount(run.lane, weights=held, minlength=lanes) > server.kv
        self._free = np.where(full, np.maximum(self._free, now + SLOT), self._free)
        run = run.join(self._arrivals(rates, base))
        busy = np.clip(self._free - now, 0.0, SLOT)
        prefilled = min(server.chunk, self.users.means()[0])
        grown = busy / (base + self.slow_prefill * server.per_token * prefilled) + (SLOT - busy) / base
        begins = np.isnan(run.since) & (run.first <= now + SLOT)
        part = (run.first - now) / SLOT
        run.since = np.where(begins, self._iterations[run.lane] + part * grown[run.lane], run.since)
        self._iterations = self._iterations + grown
        self._count(0, TTFT, run.lane[begins], (run.first - run.arrived)[begins])
        over = self._iterations[run.lane] - run.since - run.answer
        ended = ~np.isnan(run.since) & (over >= 0)
        self._end(run.take(ended), now + SLOT - over[ended] / grown[run.lane[ended]] * SLOT)
        self._running = run.take(~ended)
        self.now = now + SLOT
        self._scrape()

    def _arrivals(self, rates: Array, base: Array) -> _Running:
        rng, users, server, now = self.rng, self.users, self.server, self.now
        if users.burst:
            shock = rng.standard_normal(len(self._mood))
            self._mood = 0.95 * self._mood + math.sqrt(1 - 0.95**2) * shock
        mood = np.exp(users.burst * self._mood - users.burst**2 / 2)[self.owner]
        day = 1 + users.day * math.sin(2 * math.pi * now / 3600)
        up = self.down_until <= now
        counts = rng.poisson(rates * mood * day * up * SLOT)
        lane = np.repeat(np.arange(len(rates)), counts)
        n = len(lane)
        at = now + SLOT * rng.random(n)
        at = at[np.argsort(lane + (at - now) / SLOT * 0.999)]
        prompt = np.clip(users.prompt * rng.lognormal(0, users.prompt_sigma, n), 8, 30_000)
        if users.long_share:
            prompt = np.where(rng.random(n) < users.long_share, users.long * rng.lognormal(0, 0.3, n), prompt)
        warm = self.warmth[lane] / (self.warmth[lane] + 300)
        hit = rng.random(n) < users.cached * warm
        tokens = np.where(hit, 0.05, 1.0) * prompt
        self.warmth = self.warmth + counts
        work = tokens * (base[lane] / server.chunk + self.slow_prefill[lane] * server.per_token)
        # each lane prefills first come, first served: done = max(arrival, done before) + work
        before = np.cumsum(work) - work
        apart = lane * 1e7
        done = (
            before
            + work
            + np.maximum.accumulate(np.maximum(at, self._free[lane]) - now - before + apart)
            - apart
            + now
        )
        np.maximum.at(self._free, lane, done)
        answer = np.clip(users.answer * rng.lognormal(0, users.answer_sigma, n), 1, 4000)
        draw = rng.random(n)
        fate = np.where(draw < self.bad[lane], 1, np.where(draw > 1 - users.aborts, 2, 0))
        answer = np.where(fate == 1, 1.0, np.where(fate == 2, answer * rng.random(n), answer))
        first = done + base[lane] * (0.5 + rng.random(n))
        return _Running(lane, at, first, np.full(n, np.nan), answer, prompt, fate)

    def _end(self, run: _Running, when: Array) -> None:
        counted = run.fate < 2
        run, when = run.take(counted), when[counted]
        np.add.at(self.counters, (run.lane, ENDS + run.fate), 1)
        good = run.fate == 0
        run, when = run.take(good), when[good]
        several = run.answer > 1.5
        pace = (when - run.first) / np.maximum(run.answer, 1)
        self._count(1, TPOT, run.lane[several], pace[several])
        self._count(2, E2E, run.lane, when - run.arrived)

    def _count(self, number: int, edges: Array, lane: Lanes, values: Array) -> None:
        column = sum(len(e) + 1 for e in list(FAMILIES.values())[:number])
        np.add.at(self.counters, (lane, column + np.searchsorted(edges, values, side="left")), 1)
        np.add.at(self.counters, (lane, SUMS + number), values)

    def _scrape(self) -> None:
        self._slots += 1
        due = (self._slots + self._phase) % int(SCRAPE / SLOT) == 0
        due &= self.down_until <= self.now
        if due.any():
            self.scraped[due] = np.roll(self.scraped[due], -1, axis=1)
            self.samples[due] = np.roll(self.samples[due], -1, axis=1)
            self.scraped[due, -1] = self.now
            self.samples[due, -1] = self.counters[due]
