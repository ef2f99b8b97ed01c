"""preStop hook of the model server's container: waits until no request is running or waiting.

The kubelet runs this source inside the container as `python3 -IS -c SOURCE PORT SECONDS` before it sends
SIGTERM, on which vLLM cuts every stream. It always succeeds: at worst the time is up.
"""

from __future__ import annotations

import contextlib
import http.client
import sys
import time

SETTLE = 5.0
"""Seconds until proxies and kube-proxy have heard that this pod takes no new requests."""
PERIOD = 0.5
PATIENCE = 2.0
BUSY = ("vllm:num_requests_running{", "vllm:num_requests_waiting{")


def main(port: int, timeout: float) -> None:
    """Return when the server is idle, gone, or `timeout` seconds have passed."""
    start = time.monotonic()
    while (spent := time.monotonic() - start) < timeout:
        try:
            requests = in_flight(port)
        except ConnectionRefusedError:
            return  # never up, or gone already
        except (OSError, http.client.HTTPException, ValueError):
            requests = None  # too busy to say counts as busy
        if requests == 0 and spent >= SETTLE:
            return
        time.sleep(PERIOD)


def in_flight(port: int) -> float | None:
    """Requests running and waiting, summed over the server's engines; None when it does not say."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as server:
        server.request("GET", "/metrics")
        lines = server.getresponse().read().decode().splitlines()
    samples = [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(BUSY)]
    return sum(samples) if samples else None


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
