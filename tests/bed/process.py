"""Starting and ending the processes of a bed, from the owner's side of the supervisor."""

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.bed import folders
from tests.bed.failure import BedError, BedUnsupported


class Process:
    """One named process of a bed. Its output is in `log`."""

    def __init__(self, bed: "Processes", name: str, argv: Sequence[str], env: Mapping[str, str]) -> None:
        self.bed, self.name, self.argv, self.env = bed, name, list(argv), dict(env)
        self.pid = 0
        self.log = bed.folder / f"{name}.log"

    def start(self) -> Self:
        cwd = str(self.bed.folder)
        self.pid = self.bed.ask(do="start", name=self.name, argv=self.argv, env=self.env, cwd=cwd)
        return self

    def code(self) -> int | None:
        """Exit code, None while it runs."""
        code: int | None = self.bed.ask(do="code", name=self.name)
        return code

    def signal(self, number: signal.Signals) -> None:
        """Send a signal (SIGSTOP and SIGCONT make a hang); nothing happens when it has ended."""
        self.bed.ask(do="signal", name=self.name, number=int(number))

    def stop(self, seconds: float = 10.0) -> None:
        """SIGTERM, and SIGKILL when it has not ended after `seconds`."""
        self.signal(signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while self.code() is None:
            if time.monotonic() > deadline:
                self.kill()
                return
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        while self.code() is None:
            time.sleep(0.01)

    def last_words(self, lines: int = 12) -> str:
        if not self.log.exists():
            return "(no output)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Processes:
    """The processes of one bed and its folder; all end with `end`, the `with` block or this process."""

    def __init__(self, kind: str) -> None:
        if sys.platform != "linux":
            raise BedUnsupported(
                "The test bed needs Linux: it ends its processes by means of /proc and prctl."
            )
        name = f"{kind}-{secrets.token_hex(4)}"
        self.folder = folders.run_root() / name
        self.folder.mkdir(parents=True, mode=0o700)
        self.named: dict[str, Process] = {}
        self.detached = False
        self._lock = threading.Lock()
        self._supervisor = subprocess.Popen(
            [sys.executable, "-m", "tests.bed.supervisor", str(self.folder)],
            cwd=folders.REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(folders.REPOSITORY), "PYTHONWARNINGS": "ignore"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def ask(self, **request: Any) -> Any:
        """Send one request to the supervisor and return its answer."""
        with self._lock:
            assert self._supervisor.stdin is not None
            self._supervisor.stdin.write(json.dumps(request).encode() + b"\n")
            self._supervisor.stdin.flush()
            return self._answer()

    def _answer(self) -> Any:
        assert self._supervisor.stdout is not None
        line = self._supervisor.stdout.readline()
        if not line:
            raise BedError(
                f"The supervisor of {self.folder.name} ended unexpectedly; the bed is gone with it."
            )
        reply = json.loads(line)
        if "error" in reply:
            raise BedError(f"The bed could not start a process: {reply['error']}.")
        return reply["ok"]

    def start(self, name: str, argv: Sequence[str | Path], env: Mapping[str, str] | None = None) -> Process:
        """Start `argv` as `name`; its log is `folder/name.log`, its working folder is `folder`."""
        process = Process(self, name, [str(word) for word in argv], env or {})
        self.named[name] = process
        return process.start()

    def wait_until(self, ready: Callable[[], bool], what: str, of: Process, seconds: float = 180.0) -> None:
        """Wait for `ready`; stop waiting at once when process `of` has ended, and show its last words."""
        deadline = time.monotonic() + seconds
        while not ready():
            code = of.code()
            if code is not None:
                raise BedError(f"{of.name} ended with code {code} before {what}:\n{of.last_words()}")
            if time.monotonic() > deadline:
                raise BedError(
                    f"No {what} within {seconds:.0f} s. Last words of {of.name}:\n{of.last_words()}"
                )
            time.sleep(0.05)

    def detach(self) -> None:
        """Let the bed outlive this process; `python -m tests.bed down` ends it."""
        self.ask(do="detach")
        self.detached = True
        self._close_pipes()

    def end(self) -> None:
        """End everything and remove the folder. Does nothing after `detach` or a first `end`."""
        if self.detached or self._supervisor.poll() is not None:
            self._close_pipes()
            return
        self.ask(do="end")
        self._close_pipes()
        try:
            self._supervisor.wait(timeout=180)
        except subprocess.TimeoutExpired as error:
            raise BedError(
                f"{self.folder.name} has not ended within 180 s: run `python -m tests.bed down`."
            ) from error

    def _close_pipes(self) -> None:
        for pipe in (self._supervisor.stdin, self._supervisor.stdout):
            if pipe is not None:
                pipe.close()
        if self.detached:
            self._supervisor.returncode = 0  # not ours to wait for any more
