"""`make dashboard-picture`: docs/img/dashboard.svg, the chart's dashboard with real answers of Prometheus.

A Prometheus of the test bed scrapes two revisions and the operator's own metrics for a while, in which a
revision goes through three steps. What it answers to the dashboard's queries is drawn where the dashboard
has its panels. It is a rendering of the same queries, and no picture of Grafana: the test bed has none.
"""

from __future__ import annotations

import json
import random
import sys
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from prometheus_client import generate_latest

from modelrollout.analysis.evidence.evidence import Evidence
from modelrollout.analysis.inputs.metric import Metric, Tolerance
from modelrollout.analysis.inputs.observation import Look, Observation, Ratio
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.telemetry import Telemetry
from tests.apiserver.exporters import Exporter
from tests.bed.folders import REPOSITORY
from tests.bed.prometheus import Prometheus

BOARD = REPOSITORY / "charts/modelrollout/files/dashboard.json"
STEPS = ((5, 25), (25, 30), (50, 30))
"""Percent of the requests, and seconds."""
RATE, WINDOW, LOOK = 80, 10, 5
"""Requests a second; seconds of `$__rate_interval`; seconds of a look."""
STABLE, CANARY = "kcqrsqm2fb", "f96f9dvzqn"
EDGES = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0)
TTFT, TPOT = "vllm:time_to_first_token_seconds", "vllm:request_time_per_output_token_seconds"
TOLERATED = {"vllm/errors": 0.005, "http/client-error-rate": 0.01}
COLOURS = mpl.colormaps["tab10"].colors  # type: ignore[attr-defined]


class Pods(Exporter):
    """The server of one revision, and how bad and slow its answers are."""

    def __init__(self, revision: str, slower: float) -> None:
        super().__init__()
        self.labels = {"namespace": "ml", "rollout": "chat", "revision": revision}
        self.slower, self.answered, self.failed = slower, 0, 0
        self.series["vllm:num_requests_running"] = 2
        for reason in ("stop", "error"):
            self.series[f'vllm:request_success_total{{finished_reason="{reason}"}}'] = 0

    def answer(self, rng: random.Random, requests: int) -> None:
        for _ in range(requests):
            failed = rng.random() < 0.004
            self.answered, self.failed = self.answered + 1, self.failed + failed
            reason = "error" if failed else "stop"
            self._add(f'vllm:request_success_total{{finished_reason="{reason}"}}')
            self._add("vllm:generation_tokens_total", rng.randint(80, 240))
            for family, median in ((TTFT, 0.3), (TPOT, 0.08)):
                self._see(family, median * self.slower * rng.lognormvariate(0, 0.6))

    def _see(self, family: str, value: float) -> None:
        for edge in EDGES[bisect_left(EDGES, value) :]:
            self._add(f'{family}_bucket{{le="{edge}"}}')
        self._add(f'{family}_bucket{{le="+Inf"}}')

    def _add(self, name: str, amount: float = 1) -> None:
        self.series[name] = float(self.series.get(name, 0)) + amount


class Operator(Exporter):
    """The operator's own metrics."""

    def __init__(self, telemetry: Telemetry) -> None:
        super().__init__()
        self._registry = telemetry.registry

    def text(self) -> str:
        return generate_latest(self._registry).decode()


def played(telemetry: Telemetry, stable: Pods, canary: Pods) -> None:
    """The three steps, second by second, with evidence from what both revisions answered."""
    rng, second = random.Random(7), 0
    metrics = [Metric(name, tolerance=Tolerance(1, worse), phi=1.0) for name, worse in TOLERATED.items()]
    evidence, since = Evidence.fresh(Plan(tuple(metrics), planned_looks=25)), (0, 0, 0, 0)
    ways: dict[tuple[str, str], float] = {}
    for weight, seconds in STEPS:
        for _ in range(seconds):
            began = time.monotonic()
            second += 1
            canary.answer(rng, RATE * weight // 100)
            stable.answer(rng, RATE - RATE * weight // 100)
            now = (canary.failed, canary.answered, stable.failed, stable.answered)
            if second % LOOK == 0:
                bad, all_, base, of = (float(n - b) for n, b in zip(now, since, strict=True))
                seen = Observation(Ratio(bad, all_), Ratio(base, of))
                evidence, verdict = evidence.fold(Look(second - LOOK, second), dict.fromkeys(TOLERATED, seen))
                ways = {
                    (name, limit): 100 * (each.promote_progress if limit == "pass" else each.revert_progress)
                    for name, each in verdict.metrics.items()
                    for limit in ("pass", "revert")
                }
                since = now
            telemetry.show(
                namespace="ml", name="chat", phase="Progressing", verdict="Insufficient",
                desired=weight, observed=weight, evidence=ways,
            )  # fmt: skip
            time.sleep(max(0.0, began + 1 - time.monotonic()))


def asked(prometheus: Prometheus, expression: str, since: float) -> list[tuple[dict[str, str], Any]]:
    """Labels and points (seconds since the beginning, value) of each series that answers a query."""
    for name, value in {"$namespace": "ml", "$rollout": "chat", "$__rate_interval": f"{WINDOW}s"}.items():
        expression = expression.replace(name, value)
    until = since + sum(seconds for _, seconds in STEPS)
    how: dict[str, Any] = {"query": expression, "start": since + WINDOW, "end": until, "step": 1}
    rows = prometheus.http.get("/api/v1/query_range", params=how).json()["data"]["result"]
    return [(row["metric"], [(at - since, float(value)) for at, value in row["values"]]) for row in rows]


def legend(form: str, labels: Mapping[str, str]) -> str:
    for name, value in labels.items():
        form = form.replace("{{" + name + "}}", value)
    return form


def answers(prometheus: Prometheus, panel: Mapping[str, Any], since: float) -> Iterator[tuple[str, Any]]:
    for target in panel.get("targets", ()):
        for labels, points in asked(prometheus, target["expr"], since):
            yield legend(target.get("legendFormat", ""), labels) or "  ".join(labels.values()), points


def drawn(axes: Axes, panel: Mapping[str, Any], found: list[tuple[str, Any]]) -> None:
    unit = panel["fieldConfig"]["defaults"].get("unit", "none")
    shown = {"percent": ", %", "s": ", s", "reqps": ", 1/s"}.get(unit, "")
    axes.set_title(panel["title"] + shown, fontsize=8, loc="left")
    if panel["type"] == "timeseries":
        for number, (name, points) in enumerate(sorted(found, reverse=True)):
            style = "--" if number % 2 else "-"
            axes.plot(*zip(*points, strict=True), style, label=name, linewidth=1.3, color=COLOURS[number])
        axes.set_ylim(bottom=0)
        axes.tick_params(labelsize=6)
        axes.grid(alpha=0.25)
        axes.legend(fontsize=6, frameon=False, loc="best")
        return
    axes.set_xticks([])
    axes.set_yticks([])
    if panel["type"] == "stat":
        value = f"{found[0][1][-1][1]:.0f}"
        axes.text(0.5, 0.45, value, fontsize=18, ha="center", va="center", color="#0b6e4f")
        return
    for number, (line, _) in enumerate(found):
        axes.text(0.02, 0.85 - 0.18 * number, line, fontsize=7, va="center", family="monospace")


def listed(prometheus: Prometheus, panel: Mapping[str, Any], since: float) -> Iterator[tuple[str, Any]]:
    """The rows of a table."""
    for target in panel["targets"]:
        for labels, _ in asked(prometheus, target["expr"], since):
            names = ("namespace", "name", "phase", "verdict")
            yield "  ".join(labels[name] for name in names if name in labels), None


def picture(prometheus: Prometheus, since: float) -> plt.Figure:
    panels = json.loads(BOARD.read_text())["panels"]
    rows = max(each["gridPos"]["y"] + each["gridPos"]["h"] for each in panels)
    figure = plt.figure(figsize=(13, 0.31 * rows))
    for panel in panels:
        at = panel["gridPos"]
        left, width = (at["x"] + 0.6) / 24, (at["w"] - 0.9) / 24
        if panel["type"] == "row":
            title = panel["title"].replace("$namespace", "ml").replace("$rollout", "chat")
            figure.text(left, 1 - (at["y"] + 0.8) / rows, title, fontsize=11, weight="bold")
            continue
        axes = figure.add_axes((left, 1 - (at["y"] + at["h"] - 0.9) / rows, width, (at["h"] - 1.9) / rows))
        answered = listed if panel["type"] == "table" else answers
        drawn(axes, panel, list(answered(prometheus, panel, since)))
    return figure


def main() -> None:
    telemetry = Telemetry()
    telemetry.leads(True)
    telemetry.errors.labels("Conflict").inc(0)
    stable, canary, operator = Pods(STABLE, 1.0), Pods(CANARY, 1.04), Operator(telemetry)
    mpl.rcParams |= {"svg.hashsalt": "dashboard", "svg.fonttype": "none"}
    with Prometheus(scrape_interval="1s") as prometheus:
        for each in (stable, canary, operator):
            each.start()
        try:
            targets = [(pods.address, pods.labels) for pods in (stable, canary)]
            prometheus.set_targets([*targets, (operator.address, {"job": "operator"})])
            prometheus.wait_scraped(3)
            since = time.time()
            played(telemetry, stable, canary)
            time.sleep(2)
            figure = picture(prometheus, since)
        finally:
            for each in (stable, canary, operator):
                each.close()
    figure.savefig(Path(sys.argv[1]), metadata={"Date": None}, bbox_inches="tight")


if __name__ == "__main__":
    main()
