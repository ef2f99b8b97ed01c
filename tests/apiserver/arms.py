"""Two arms that can be made good or bad at will, as Prometheus sees them."""

import threading
import time

from tests.shared.metrics_page import MetricsPage


class Arm(MetricsPage):
    """A server's /metrics: requests since the start, of which a share is answered with 500. A quarter as
    many users come, of whom a share buys.

    The counters are functions of time, so that a scrape sees what a real server would have counted.
    """

    def __init__(self, rate=200.0, bad=0.0, buys=0.1):
        super().__init__()
        self.rate = rate
        self._started = time.time()
        self._good = self._failed = self._bought = 0.0
        self._moved = self._started
        self._lock = threading.Lock()
        self.bad = bad
        self.buys = buys

    def serve(self, *, rate=None, bad=None, buys=None):
        """From now on so many requests a second, of which this share fails, and this share of users buys."""
        self.text()
        self.rate = self.rate if rate is None else rate
        self.bad = self.bad if bad is None else bad
        self.buys = self.buys if buys is None else buys

    def text(self):
        with self._lock:
            now = time.time()
            requests = self.rate * (now - self._moved)
            self._good += requests * (1 - self.bad)
            self._failed += requests * self.bad
            self._bought += requests / 4 * self.buys
            self._moved = now
            lines = [
                "# TYPE http_requests_total counter",
                f'http_requests_total{{handler="/v1/completions",status="2xx"}} {int(self._good)}',
                "# TYPE shop_visitors_total counter",
                f"shop_visitors_total {int((self._good + self._failed) / 4)}",
                "# TYPE shop_orders_total counter",
                f"shop_orders_total {int(self._bought)}",
                "# TYPE process_start_time_seconds gauge",
                f"process_start_time_seconds {self._started}",
            ]
            if self._failed >= 1:
                lines.insert(
                    2, f'http_requests_total{{handler="/v1/completions",status="5xx"}} {int(self._failed)}'
                )
            return "\n".join(lines) + "\n"
