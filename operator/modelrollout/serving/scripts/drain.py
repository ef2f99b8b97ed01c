"""preStop hook of the model server's container: waits until no request is running or waiting.

The kubelet runs this source inside the container as `python3 -IS -c SOURCE PORT SECONDS GAUGE…` before it
sends SIGTERM, on which servers cut their streams. The gauges, in the server's /metrics, count such requests;
without any, the whole time is waited. It always succeeds: at worst the time is up.
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


def main(port: int, timeout: float, gauges: tuple[str, ...]) -> None:
    """Return when the server is idle, gone, or `timeout` seconds have passed."""
    start = time.monotonic()
    while (spent := time.monotonic() - start) < timeout:
        try:
            requests = in_flight(port, gauges)
        except ConnectionRefusedError:
            return  # never up, or gone already
        except (OSError, http.client.HTTPException, ValueError):
            requests = None  # too busy to say counts as busy
        if requests == 0 and spent >= SETTLE:
            return
        time.sleep(PERIOD)


def in_flight(port: int, gauges: tuple[str, ...]) -> float | None:
    """Requests running and waiting, summed over the server's engines; None when it does not say."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as server:
        server.request("GET", "/metrics")
        lines = server.getresponse().read().decode().splitlines()
    names = tuple(gauge + after for gauge in gauges for after in "{ ")
    samples = [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(names)]
    return sum(samples) if samples else None


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), tuple(sys.argv[3:]))
