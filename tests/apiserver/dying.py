"""Runs the `modelrollout` command and kills its process right after its n-th write to the API server.

The write has been answered, but nobody will ever hear the answer. DIE_AFTER says n. Renewals of the
Lease do not count, because they change no rollout.
"""

import os
import signal
import sys

from modelrollout.cli import main
from modelrollout.telemetry import Telemetry

LEFT = int(os.environ["DIE_AFTER"])
called = Telemetry.called


def called_and_die(self, verb, resource, status, seconds):
    """The client tells of each request once it was answered; status 0 says that it was not."""
    global LEFT  # noqa: PLW0603 - the process has one life
    called(self, verb, resource, status, seconds)
    if verb != "get" and resource != "leases" and status:
        LEFT -= 1
        if LEFT == 0:
            print(f"dying after {verb} {resource} {status}", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)


Telemetry.called = called_and_die
sys.exit(main())
