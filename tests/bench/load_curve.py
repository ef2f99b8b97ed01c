"""How a real vLLM slows down with the requests that it carries, beside the curve of the simulated servers.

    PYTHONPATH=operator:. python -m tests.bench.load_curve [--model tiny] [--rounds 5]

Starts one server on the CPU from the bed's environment and keeps 1, 2, 4 … streams busy, each asking again as
soon as it was answered. The server's own counters give the mean time to the first token and per output token.
Loads take turns in rounds, and the median of the rounds counts, so that what else the machine does meets all
of them. `fitted` draws from them the three numbers of a `fleet.Server`, and the table shows what that server
and the default one, scaled to the same pace, make of each load.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import numpy as np

from tests.bed import vllm
from tests.bed.ports import free_port
from tests.bench.fleet import Server
from tests.load.http import Target
from tests.load.load import Load

STREAMS = (1, 2, 4, 8, 16)
SHORT, LONG = 12, 700
"""Words of a prompt, a token each."""
TOKENS = 32
"""Of an answer."""
MEANS = {
    "first": "vllm:time_to_first_token_seconds",
    "pace": "vllm:request_time_per_output_token_seconds",
    "prompt": "vllm:request_prompt_tokens",
}
_SAMPLE = re.compile(r"^(vllm:[a-z_]+?)(?:\{[^}]*\})? ([0-9.eE+-]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Point:
    """What the server counted while so many streams were busy; times in seconds."""

    streams: int
    prompt: float
    first: float
    pace: float
    """Time per output token."""


def fitted(points: Sequence[Point]) -> Server:
    """The pace over the streams gives `step` and `per_running`, the first tokens of prompts of different
    length give `per_token`."""
    short = min(point.prompt for point in points)
    usual = [point for point in points if point.prompt < 2 * short]
    slope, step = np.polyfit([each.streams for each in usual], [each.pace for each in usual], 1)
    alone = sorted((point.prompt, point.first) for point in points if point.streams == 1)
    (fewest, sooner), (most, later) = alone[0], alone[-1]
    per_token = (later - sooner) / (most - fewest) - (step + slope) / Server.chunk
    return Server(step=float(step), per_running=float(slope), per_token=float(per_token))


def expected(server: Server, streams: int, prompt: float) -> tuple[float, float]:
    """Time to the first token and per output token of the simulated server beside so many streams: it
    finishes the iteration in progress, then prefills, and the first token comes with the next one."""
    pace = server.step + server.per_running * streams
    return pace * (1 + prompt / server.chunk) + server.per_token * prompt, pace


def table(points: Sequence[Point]) -> Iterator[str]:
    """Markdown: each load as measured, by the fitted server, and by the default one at the same pace."""
    fit = fitted(points)
    default = Server().scaled(fit.step / Server().step)
    yield "| streams | prompt tokens | first token, ms | fitted | default | per token | fitted | default |"
    yield "|---|---|---|---|---|---|---|---|"
    for point in points:
        found = [expected(server, point.streams, point.prompt) for server in (fit, default)]
        cells = [[point.first, *(each[0] for each in found)], [point.pace, *(each[1] for each in found)]]
        numbers = " | ".join(f"{1000 * value:.1f}" for value in (*cells[0], *cells[1]))
        yield f"| {point.streams} | {point.prompt:.0f} | {numbers} |"
    yield ""
    for name, server in (("fitted", fit), ("default", Server())):
        more, token = (100 * each / server.step for each in (server.per_running, server.per_token))
        yield (
            f"{name}: an iteration takes {1000 * server.step:.2f} ms, {more:.2f} % more for each running "
            f"request and {token:.2f} % more for each prompt token"
        )


# ── a real server ────────────────────────────────────────────────────────────────────────────────


@contextmanager
def serving(model: str) -> Iterator[str]:
    """The address of a vLLM that runs while the block does."""
    home, port = vllm.vllm(), free_port()
    words = [home.python, *vllm.SERVER, f"--model={home.model(model)}", f"--port={port}"]
    words += ["--served-model-name=chat", "--no-enable-prefix-caching"]
    environment = {**os.environ, **home.environment}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([*map(str, words)], env=environment, stdout=log, stderr=log)
        address = f"http://127.0.0.1:{port}"
        try:
            until_ready(address, process)
            yield address
        finally:
            process.terminate()
            process.wait()


def until_ready(address: str, process: subprocess.Popen[bytes], patience: float = 600) -> None:
    until = time.monotonic() + patience
    while process.poll() is None and time.monotonic() < until:
        try:
            httpx.get(f"{address}/health", timeout=5).raise_for_status()
            return
        except httpx.HTTPError:
            time.sleep(1)
    raise SystemExit("vLLM did not come up.")


def counters(address: str) -> Mapping[str, float]:
    found: dict[str, float] = {}
    for name, value in _SAMPLE.findall(httpx.get(f"{address}/metrics", timeout=30).text):
        found[name] = found.get(name, 0.0) + float(value)
    return found


def measured(address: str, streams: int, words: int, seconds: float) -> Point:
    prompt = " ".join(["return"] * words)
    target = Target(address, prompt=prompt, max_tokens=TOKENS, timeout=120)
    before = counters(address)
    tally = asyncio.run(Load(target, users=streams, seconds=seconds).run())
    after = counters(address)
    if tally.failed or not tally.sent:
        raise SystemExit(f"vLLM failed: {tally.failures}")

    def mean(name: str) -> float:
        total, count = (after[f"{name}_{part}"] - before[f"{name}_{part}"] for part in ("sum", "count"))
        return total / count

    return Point(streams, **{what: mean(name) for what, name in MEANS.items()})


def median(points: Sequence[Point]) -> Point:
    middle = {what: statistics.median(getattr(point, what) for point in points) for what in MEANS}
    return Point(points[0].streams, **middle)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="tiny", choices=vllm.MODELS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each load in each round")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server ends, too
    loads = [*((streams, SHORT) for streams in STREAMS), (1, LONG), (4, LONG)]
    with serving(given.model) as address:
        for streams, words in loads:
            measured(address, streams, words, 0.5)  # the first ones of a kind are slower
        rounds = []
        for number in range(given.rounds):
            rounds.append([measured(address, *load, given.seconds) for load in loads])
            print(f"round {number + 1}: machine load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    print("\n".join(table([median(of_load) for of_load in zip(*rounds, strict=True)])))


if __name__ == "__main__":
    main()
