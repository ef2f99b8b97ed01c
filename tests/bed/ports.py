"""Free ports that no other bed takes between being found and being used."""

import contextlib
import os
import random
import socket

from tests.bed import folders, proc

LOW, HIGH = 20000, 32000
"""Below the kernel's range for outgoing connections, so that a client cannot take the port meanwhile."""


def free_port() -> int:
    """A free TCP port, reserved by a file for as long as this process lives."""
    folder = folders.run_root() / "ports"
    folder.mkdir(parents=True, exist_ok=True)
    for _ in range(1000):
        port = random.randrange(LOW, HIGH)
        claim = folder / str(port)
        if claim.exists() and _claimed(claim.read_text()):
            continue
        claim.unlink(missing_ok=True)
        with socket.socket() as probe:
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                continue
        with contextlib.suppress(FileExistsError), claim.open("x") as file:
            me = proc.identity(os.getpid())
            file.write(f"{me.pid} {me.started}")
            return port
    raise OSError(f"no free port between {LOW} and {HIGH}")


def _claimed(content: str) -> bool:
    try:
        pid, started = map(int, content.split())
    except ValueError:
        return False
    return proc.Identity(pid, started).alive()
