"""The fake model server as a process on this machine."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.bed.ports import free_port

SOURCES = sorted(Path(__file__).parent.glob("*vllm*.py"))
"""All that the server needs; put them into one folder of a pod and run `fake_vllm.py` there."""


@dataclass
class Server:
    """A running server, and a client for it."""

    process: subprocess.Popen[str]
    port: int
    http: httpx.Client

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def turn(self, **knobs: float | str) -> None:
        """Choose other timing or faults from now on; see `vllm_engine.Knobs`."""
        self.http.post("/fake", json=knobs).raise_for_status()

    def complete(self, **fields: object) -> httpx.Response:
        body = {"model": "chat", "prompt": "Hello", "max_tokens": 4, **fields}
        return self.http.post("/v1/completions", json=body)

    def chat(self, **fields: object) -> httpx.Response:
        body = {
            "model": "chat",
            "messages": [{"role": "user", "content": "Hello"}],
            "max_tokens": 4,
            **fields,
        }
        return self.http.post("/v1/chat/completions", json=body)

    def listening(self) -> bool:
        try:
            return self.http.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    def metric(self, name: str, **labels: str) -> float | None:
        """Sum of the samples of this name that carry these labels; None when no sample does."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        samples = [
            float(line.rsplit(" ", 1)[1])
            for line in self.http.get("/metrics").text.splitlines()
            if line.split("{")[0].split(" ")[0] == name and all(label in line for label in wanted)
        ]
        return sum(samples) if samples else None


@contextlib.contextmanager
def fake_vllm(*flags: str, wait: bool = True, name: str = "fake", **knobs: object) -> Iterator[Server]:
    """A server that answers as `name`, with vLLM's flags and with knobs; ended when the block ends."""
    port = free_port()
    argv = [
        sys.executable,
        str(Path(__file__).with_name("fake_vllm.py")),
        "--host=127.0.0.1",
        f"--port={port}",
    ]
    environment = {f"FAKE_{knob.upper()}": str(value) for knob, value in knobs.items()}
    process = subprocess.Popen(
        [*argv, "--served-model-name=chat", *flags],
        env={**os.environ, "FAKE_NAME": name, **environment},
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as http:
            server = Server(process, port, http)
            if wait:
                until_listening(server)
            yield server
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def until_listening(server: Server, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not server.listening():
        if server.process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(
                f"the fake model server did not start within {seconds} s (exit code {server.process.poll()})"
            )
        time.sleep(0.02)
