"""Runs a model's code in a process of its own, with limits: it is untrusted, and it may never end.

Limits of the process: CPU seconds, memory, size of files, number of files and of processes. Where the system
allows it, the process has a network namespace without any network. It sees an empty environment and an empty
folder. That stops accidents and simple mischief; against an attacker, run the evaluation in a pod of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

_CONFINED = str(Path(__file__).with_name("confined.py"))
_MOST_OUTPUT = 65_536


@dataclass(frozen=True, slots=True)
class Ran:
    passed: bool
    problem: str = ""
    """The last line that the code said when it failed."""


async def run(program: str, seconds: float, memory_mib: int) -> Ran:
    """Whether the program ends by itself without an error within `seconds`."""
    with tempfile.TemporaryDirectory(prefix="answer-") as folder:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", _CONFINED, f"{seconds:g}", str(memory_mib)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            cwd=folder,
            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(seconds):
                said = await _talk(process, program)
                code = await process.wait()
        except TimeoutError:
            return Ran(False, f"It did not end within {seconds:g} s.")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if code == 0:
        return Ran(True)
    lines = said.decode(errors="replace").strip().splitlines()
    return Ran(False, lines[-1][:200] if lines else f"It ended with {code}.")


async def _talk(process: asyncio.subprocess.Process, program: str) -> bytes:
    """Hand the program over, and keep the end of what it says."""
    assert process.stdin is not None
    assert process.stderr is not None
    with contextlib.suppress(ConnectionError):
        process.stdin.write(program.encode())
        await process.stdin.drain()
    process.stdin.close()
    said = b""
    while part := await process.stderr.read(65_536):
        said = (said + part)[-_MOST_OUTPUT:]
    return said
