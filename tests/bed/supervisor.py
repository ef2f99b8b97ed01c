"""The small process above every process of a bed; it ends them all when its owner is gone.

Owner and supervisor speak JSON lines over stdin and stdout. End of file on stdin, or another parent than at
the start, means that the owner died, however it died; unless the owner said `detach`. The supervisor is a
child subreaper, so daemons of daemons (containerd's shims and the pods below them) stay its descendants and
end with it; should it be killed itself, its own children get SIGKILL from the kernel and the rest is found by
mark (see remains.py).

Run as `python -m tests.bed.supervisor FOLDER`; FOLDER's name is the bed's mark. Standard library only.
"""

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.bed import proc, remains

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def die_with_parent() -> None:
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Supervisor:
    """State of one bed's processes; `serve` returns when the bed is to end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.parent = os.getppid()
        self.detached = False
        self.ending = False
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.codes: dict[int, int] = {}
        self.record()

    def record(self) -> None:
        owner = None if self.detached else proc.identity(self.parent).__dict__
        content = {"supervisor": proc.identity(os.getpid()).__dict__, "owner": owner}
        part = self.folder / f"{remains.RECORD}.part"
        part.write_text(json.dumps(content))
        part.replace(self.folder / remains.RECORD)

    def serve(self) -> None:
        buffer = b""
        while not self.ending:
            self.codes.update(proc.reap())
            if self.detached:
                time.sleep(0.2)
                continue
            ready, _, _ = select.select([0], [], [], 0.5)
            if ready:
                chunk = os.read(0, 65536)
                buffer += chunk
                if not chunk and not self.detached:
                    return
            *lines, buffer = buffer.split(b"\n")
            for line in lines:
                self.answer(json.loads(line))
            if os.getppid() != self.parent and not self.detached:
                return

    def answer(self, request: dict[str, Any]) -> None:
        operation = getattr(self, f"do_{request.pop('do')}")
        try:
            reply = {"ok": operation(**request)}
        except OSError as error:
            reply = {"error": str(error)}
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()
        if self.detached:
            self.let_go_of_pipes()

    def do_start(self, name: str, argv: list[str], env: dict[str, str], cwd: str) -> int:
        with (self.folder / f"{name}.log").open("ab") as log:
            child = subprocess.Popen(
                argv,
                cwd=cwd,
                env={**os.environ, **env, proc.MARK: self.folder.name},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - safe: the supervisor has one thread
            )
        self.running[name] = child
        return child.pid

    def do_code(self, name: str) -> int | None:
        """Exit code of the latest process of that name, None while it runs."""
        self.codes.update(proc.reap())
        return self.codes.get(self.running[name].pid)

    def do_signal(self, name: str, number: int) -> bool:
        if self.do_code(name) is not None:
            return False
        os.kill(self.running[name].pid, number)
        return True

    def do_detach(self) -> bool:
        self.detached = True
        self.record()
        return True

    def let_go_of_pipes(self) -> None:
        """Keep none of the owner's pipes open: whoever reads its output (`up | tee`) waits for their end."""
        nothing = os.open(os.devnull, os.O_RDWR)
        log = os.open(self.folder / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for stream, target in ((0, nothing), (1, nothing), (2, log)):
            os.dup2(target, stream)
        os.close(nothing)
        os.close(log)

    def do_end(self) -> bool:
        self.ending = True
        return True


def main() -> None:
    folder = Path(sys.argv[1])
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    os.setsid()  # a terminal's Ctrl-C is for the owner; it ends us in order
    supervisor = Supervisor(folder)
    signal.signal(signal.SIGTERM, lambda *_: setattr(supervisor, "ending", True))
    sys.stdout.write('{"ok": true}\n')
    sys.stdout.flush()
    try:
        supervisor.serve()
    finally:
        complaints = remains.end(folder, os.getpid(), keep_logs="MODELROLLOUT_BED_KEEP_LOGS" in os.environ)
        for complaint in complaints:
            sys.stderr.write(complaint + "\n")


if __name__ == "__main__":
    main()
