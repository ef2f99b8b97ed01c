"""The operator as a process of its own, to be killed and started again."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import httpx

from tests.bed.folders import REPOSITORY
from tests.bed.ports import free_port


class Operator:
    """`modelrollout operator` against one control plane. Its log is a file; `stop` and `kill` end it."""

    def __init__(
        self, plane, folder, *, namespaces=(), identity="pod-a", lease="default", launcher=None, flags=()
    ):
        """`launcher`: a Python file that runs the command with a fault in it."""
        self.port = free_port()
        self.log = folder / f"operator-{identity}.log"
        start = [str(launcher)] if launcher else ["-m", "modelrollout"]
        self._command = [
            sys.executable,
            *start,
            "operator",
            "--identity",
            identity,
            "--lease-namespace",
            lease,
        ]
        self._command += [
            "--listen",
            f"127.0.0.1:{self.port}",
            "--log-format",
            "json",
            "--log-level",
            "debug",
        ]
        for namespace in namespaces:
            self._command += ["--namespace", namespace]
        self._command += flags
        self._env = {
            **os.environ,
            "KUBECONFIG": str(plane.kubeconfig),
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "operator"), str(REPOSITORY)]),
            "PYTHONDONTWRITEBYTECODE": "",  # the image has its bytecode: what is measured must not compile
        }
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process is not None and self.process.poll() is None:
            self.stop()

    def start(self, **env):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._command, env={**self._env, **env}, stderr=log, stdout=log)
        return self

    def stop(self, seconds=15):
        """SIGTERM, and how long it took; the exit code is in `process.returncode`."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        return time.monotonic() - started

    def kill(self):
        self.process.kill()
        self.process.wait()

    def lines(self):
        """Its log lines as dicts; what is not JSON comes as {"event": text}."""
        found = []
        for line in self.log.read_text().splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                found.append({"event": line})
        return found

    def get(self, path):
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=5)

    def wait_ready(self, seconds=90):
        deadline = time.monotonic() + seconds
        while True:
            try:
                if self.get("/readyz").status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            assert self.process.poll() is None, f"the operator ended:\n{self.log.read_text()[-3000:]}"
            assert time.monotonic() < deadline, f"not ready:\n{self.log.read_text()[-3000:]}"
            time.sleep(0.05)

    def metric(self, name, **labels):
        """Sum of the samples of a metric with these labels."""
        total = 0.0
        for line in self.get("/metrics").text.splitlines():
            match = re.match(rf"{name}(?:\{{(.*)\}})? (\S+)$", line)
            if match and all(f'{key}="{value}"' in (match[1] or "") for key, value in labels.items()):
                total += float(match[2])
        return total
