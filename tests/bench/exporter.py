"""The counters of both arms of many rollouts, each at a path of its own, as its pod would have shown them."""

import http.server
import threading
import time

RATE = 100.0
"""Requests a second of each rollout; one in a thousand fails."""


class Exporter:
    """Serves `/<rollout>/<revision>`. Of a rollout's requests the canary gets what `weigh` said last.

    The first revision of a rollout that is asked for is its stable one.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._shares = {}
        self._counted = {}
        self._began = {}
        handler = type("Handler", (_Handler,), {"exporter": self})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def targets(self, namespace, revisions):
        """Scrape targets of `revisions`: rollout -> the revisions whose pods there are."""
        return [
            (
                self.address,
                {
                    "__metrics_path__": f"/{rollout}/{revision}",
                    "namespace": namespace,
                    "rollout": rollout,
                    "revision": revision,
                    "pod": f"{rollout}-{revision}",
                },
            )
            for rollout, each in revisions.items()
            for revision in filter(None, each)
        ]

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

    def text(self, path):
        rollout, revision = path.strip("/").split("/")
        with self._lock:
            revisions = self._began.setdefault(rollout, {})
            began = revisions.setdefault(revision, time.time())
            self._move(rollout)
            total = self._counted[rollout][1][min(list(revisions).index(revision), 1)]
        return (
            "# TYPE http_requests_total counter\n"
            f'http_requests_total{{handler="/v1/completions",status="2xx"}} {int(0.999 * total)}\n'
            f'http_requests_total{{handler="/v1/completions",status="5xx"}} {int(0.001 * total)}\n'
            "# TYPE process_start_time_seconds gauge\n"
            f"process_start_time_seconds {began}\n"
        )


class _Handler(http.server.BaseHTTPRequestHandler):
    exporter: Exporter

    def do_GET(self):
        body = self.exporter.text(self.path).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass
