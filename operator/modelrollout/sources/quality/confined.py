"""The child of the sandbox: limits itself, then runs the program that comes by standard input.

Standard library only, run as a file with `-I -S`: `confined.py SECONDS MEBIBYTES`.
"""

import contextlib
import ctypes
import resource
import sys

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000


def confine(seconds: float, mebibytes: int) -> None:
    """No more than this: in the user namespace of its own not even root can raise a limit."""
    # the C library is called directly: os.unshare comes with Python 3.12
    ctypes.CDLL(None).unshare(CLONE_NEWUSER | CLONE_NEWNET)  # where this is not allowed, the network stays
    for what, most in (
        (resource.RLIMIT_CPU, int(seconds) + 1),
        (resource.RLIMIT_AS, mebibytes * 2**20),
        (resource.RLIMIT_FSIZE, 2**20),
        (resource.RLIMIT_NOFILE, 32),
        (resource.RLIMIT_NPROC, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(what)
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (limit, limit))


if __name__ == "__main__":
    confine(float(sys.argv[1]), int(sys.argv[2]))
    exec(compile(sys.stdin.read(), "answer.py", "exec"), {"__name__": "__main__"})  # noqa: S102
