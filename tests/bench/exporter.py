"""The counters of both arms of many rollouts, all on one page, with the labels that their pods would have.

Hundreds of pages a second would measure this exporter and not the operator; so the page also has the `up`
that Prometheus would have made for each pod.
"""

import threading
import time

from tests.shared.metrics_page import MetricsPage

RATE = 100.0
"""Requests a second of each rollout; one in a thousand fails."""


class Exporter(MetricsPage):
    """Serves `/metrics`. Of a rollout's requests the canary gets what `weigh` said last."""

    def __init__(self):
        super().__init__()
        self._lock = threading.Lock()
        self._shares = {}
        self._counted = {}
        self._began = {}

    def know(self, namespace, revisions):
        """`revisions`: rollout -> the revisions whose pods there are, the stable one first."""
        with self._lock:
            for rollout, each in revisions.items():
                for revision in each:
                    pods = self._began.setdefault((namespace, rollout), {})
                    pods.setdefault(revision, time.time())

    def weigh(self, rollout, percent):
        """From now on the canary gets this share."""
        with self._lock:
            self._move(rollout)
            self._shares[rollout] = percent / 100

    def _move(self, rollout):
        """Count what has come since the last time."""
        now = time.time()
        since, counts = self._counted.setdefault(rollout, [now, [0.0, 0.0]])
        share, requests = self._shares.get(rollout, 0.0), RATE * (now - since)
        self._counted[rollout] = [now, [counts[0] + requests * (1 - share), counts[1] + requests * share]]

    def text(self):
        lines = []
        with self._lock:
            for (namespace, rollout), pods in self._began.items():
                self._move(rollout)
                counts = self._counted[rollout][1]
                for place, (revision, began) in enumerate(pods.items()):
                    pod = f'namespace="{namespace}",rollout="{rollout}",revision="{revision}"'
                    pod += f',pod="{rollout}-{revision}"'
                    served = f'{pod},handler="/v1/completions"'
                    total = counts[min(place, 1)]
                    lines += [
                        f"up{{{pod}}} 1",
                        f"process_start_time_seconds{{{pod}}} {began}",
                        f'http_requests_total{{{served},status="2xx"}} {int(0.999 * total)}',
                        f'http_requests_total{{{served},status="5xx"}} {int(0.001 * total)}',
                    ]
        return "\n".join(lines) + "\n"
