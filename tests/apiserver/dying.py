"""Runs the `modelrollout` command and kills its process right after its n-th write to the API server.

The write has been answered, but nobody will ever hear the answer. DIE_AFTER says n. Renewals of the
Lease do not count, for they change no rollout.
"""

import os
import signal
import sys

from modelrollout.cli import main
from modelrollout.cluster import client

LEFT = int(os.environ["DIE_AFTER"])
send = client._Lane.send


async def send_and_die(self, verb, resource_path, *rest):
    global LEFT  # noqa: PLW0603 - the process has one life
    answer = await send(self, verb, resource_path, *rest)
    if verb != "GET" and "/leases" not in resource_path:
        LEFT -= 1
        if LEFT == 0:
            print(f"dying after {verb} {resource_path} {answer[0]}", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
    return answer


client._Lane.send = send_and_die
sys.exit(main())
