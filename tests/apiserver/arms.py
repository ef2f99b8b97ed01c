"""Two arms that can be made good or bad at will, as Prometheus sees them."""

import http.server
import threading
import time


class Arm:
    """A server's /metrics: requests since the start, of which a share is answered with 500.

    The counters are functions of time, so that a scrape sees what a real server would have counted.
    """

    def __init__(self, rate=200.0, bad=0.0):
        self.rate = rate
        self._started = time.time()
        self._good = self._failed = 0.0
        self._moved = self._started
        self._lock = threading.Lock()
        self.bad = bad
        handler = type("Handler", (_Handler,), {"arm": self})
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

    def serve(self, *, rate=None, bad=None):
        """From now on so many requests a second, of which this share fails."""
        self.text()
        self.rate = self.rate if rate is None else rate
        self.bad = self.bad if bad is None else bad

    def text(self):
        with self._lock:
            now = time.time()
            requests = self.rate * (now - self._moved)
            self._good += requests * (1 - self.bad)
            self._failed += requests * self.bad
            self._moved = now
            lines = [
                "# TYPE http_requests_total counter",
                f'http_requests_total{{handler="/v1/completions",status="2xx"}} {int(self._good)}',
                "# TYPE process_start_time_seconds gauge",
                f"process_start_time_seconds {self._started}",
            ]
            if self._failed >= 1:
                lines.insert(
                    2, f'http_requests_total{{handler="/v1/completions",status="5xx"}} {int(self._failed)}'
                )
            return "\n".join(lines) + "\n"


class _Handler(http.server.BaseHTTPRequestHandler):
    arm: Arm

    def do_GET(self):
        body = self.arm.text().encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass
