"""A real Prometheus on a free port: fed by a list of targets, or finding pods through a cluster's API."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.bed.control_plane import answers
from tests.bed.failure import BedError
from tests.bed.pieces import binary
from tests.bed.ports import free_port
from tests.bed.process import Process, Processes

GATEWAY_STATS_PORT = "15090"
Job = Mapping[str, Any]


class PrometheusClient:
    """Questions to a running Prometheus."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=10)

    def close(self) -> None:
        self.http.close()

    def targets(self) -> list[dict[str, Any]]:
        """Active targets as Prometheus tells them: labels, health, lastScrape, lastError."""
        found: list[dict[str, Any]] = self.http.get("/api/v1/targets?state=active").json()["data"][
            "activeTargets"
        ]
        return found

    def wait_scraped(self, count: int = 1, seconds: float = 90, **labels: str) -> None:
        """Wait until `count` targets with these labels are up and none with them is down."""
        deadline = time.monotonic() + seconds
        while True:
            matching = [t for t in self.targets() if labels.items() <= t["labels"].items()]
            if len(matching) >= count and all(t["health"] == "up" for t in matching):
                return
            if time.monotonic() > deadline:
                seen = [(t["scrapeUrl"], t["health"], t["lastError"]) for t in matching]
                raise BedError(f"{count} targets with {labels} should be up after {seconds} s; seen: {seen}")
            time.sleep(0.1)

    def query(self, expression: str, at: float | None = None) -> list[tuple[dict[str, str], float]]:
        """Instant query: the series' labels and values now, or at a Unix time."""
        parameters: dict[str, str | float] = {"query": expression}
        if at is not None:
            parameters["time"] = at
        body = self.http.post("/api/v1/query", data=parameters).json()
        if body["status"] != "success":
            raise BedError(f"Prometheus could not answer {expression!r}: {body['error']}")
        return [(row["metric"], float(row["value"][1])) for row in body["data"]["result"]]

    def samples(self, selector: str, seconds: float) -> list[list[tuple[float, float]]]:
        """Per series its raw samples of the past seconds: Unix time and value."""
        body = self.http.post("/api/v1/query", data={"query": f"{selector}[{seconds:.0f}s]"}).json()
        if body["status"] != "success":
            raise BedError(f"Prometheus could not answer {selector!r}: {body['error']}")
        return [[(at, float(value)) for at, value in row["values"]] for row in body["data"]["result"]]

    def wait_value(self, expression: str, value: float, seconds: float = 90) -> None:
        """Wait until the expression has exactly one series and it has this value."""
        deadline = time.monotonic() + seconds
        while True:
            seen = self.query(expression)
            if [found for _, found in seen] == [value]:
                return
            if time.monotonic() > deadline:
                raise BedError(f"{expression} should be {value} after {seconds:.0f} s; seen: {seen}")
            time.sleep(0.2)


class Prometheus(PrometheusClient):
    """One instance with data in its own folder; use as a context manager, or `start` and `stop`.

    Without `jobs` it scrapes what `set_targets` says. The scrape timeout is the interval.
    """

    def __init__(
        self,
        *,
        jobs: Sequence[Job] | None = None,
        scrape_interval: str = "1s",
        address: str = "127.0.0.1",
        port: int | None = None,
        processes: Processes | None = None,
    ) -> None:
        """`address` is where it listens: pods can only ask it at an address of the node."""
        self._processes = processes
        self._own = processes is None
        self._jobs = jobs
        self._interval = scrape_interval
        self.address = address
        self._port = port or free_port()
        super().__init__(f"http://{address}:{self._port}")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        executable = binary("prometheus")
        self._processes = self._processes or Processes("prometheus")
        self.folder = self._processes.folder / "prometheus"
        self.folder.mkdir()
        try:
            self.set_targets([])
            self._write_config()
            self._process = self._processes.start("prometheus", self._command(executable))
            self._processes.wait_until(
                lambda: answers(self.http, "/-/ready"), "ready Prometheus", self._process
            )
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End an instance of its own; one that belongs to a larger bed ends with that."""
        self.close()
        if self._own and self._processes is not None:
            self._processes.end()

    @property
    def process(self) -> Process:
        """For faults: `process.signal(SIGSTOP)` makes it hang, `process.kill()` ends it."""
        return self._process

    def _command(self, executable: Path) -> list[str | Path]:
        return [
            executable,
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address={self.address}:{self._port}",
            "--web.enable-lifecycle",
            "--scrape.discovery-reload-interval=100ms",  # new targets would wait up to 5 s
            "--log.level=warn",
        ]

    def _write_config(self) -> None:
        jobs = self._jobs if self._jobs is not None else [file_job(self.folder / "targets.json")]
        times = {"scrape_interval": self._interval, "scrape_timeout": self._interval}
        content = {
            "global": {**times, "evaluation_interval": self._interval},
            "scrape_configs": list(jobs),
            "rule_files": [str(self.folder / "rules-*.yml")],
        }
        (self.folder / "prometheus.yml").write_text(json.dumps(content, indent=2))  # JSON is YAML

    def set_targets(self, targets: Sequence[tuple[str, Mapping[str, str]]]) -> None:
        """Scrape these `("host:port", {label: value})` from now on; needs no `reload`."""
        groups = [{"targets": [address], "labels": dict(labels)} for address, labels in targets]
        part = self.folder / "targets.part"
        part.write_text(json.dumps(groups))
        part.replace(self.folder / "targets.json")

    def set_rules(self, groups: Sequence[Mapping[str, Any]]) -> None:
        """Evaluate these groups of rules from now on."""
        (self.folder / "rules-own.yml").write_text(json.dumps({"groups": list(groups)}))
        self.reload()

    def reload(self, jobs: Sequence[Job] | None = None) -> None:
        """Read the configuration again, with other scrape jobs when given."""
        self._jobs = self._jobs if jobs is None else jobs
        self._write_config()
        answer = self.http.post("/-/reload")
        if answer.status_code != 200:
            raise BedError(f"Prometheus refused its configuration: {answer.text.strip()}")


def file_job(path: Path) -> Job:
    """A job that scrapes the targets in a file and sees its changes at once."""
    return {
        "job_name": "targets",
        "file_sd_configs": [{"files": [str(path)], "refresh_interval": "1s"}],
    }


def pod_jobs(kubeconfig: Path) -> list[Job]:
    """Jobs that find a rollout's pods and the gateways' Envoys through the API server.

    Labels of a series: rollout, revision, namespace, pod; for Envoy's: gateway, namespace, pod.
    """
    discovery = [{"role": "pod", "kubeconfig_file": str(kubeconfig)}]
    common = [
        keep_not("__meta_kubernetes_pod_phase", "Pending|Succeeded|Failed"),
        keep_not("__meta_kubernetes_pod_container_init", "true"),
        label("__meta_kubernetes_namespace", "namespace"),
        label("__meta_kubernetes_pod_name", "pod"),
    ]
    rollout = "__meta_kubernetes_pod_label_modelrollout_io_rollout"
    revision = "__meta_kubernetes_pod_label_modelrollout_io_revision"
    gateway = "__meta_kubernetes_pod_label_gateway_networking_k8s_io_gateway_name"
    pods = [keep(rollout, ".+"), *common, label(rollout, "rollout"), label(revision, "revision")]
    envoys = [
        keep(gateway, ".+"),
        keep("__meta_kubernetes_pod_container_port_number", GATEWAY_STATS_PORT),
        *common,
        label(gateway, "gateway"),
    ]
    return [
        {"job_name": "rollouts", "kubernetes_sd_configs": discovery, "relabel_configs": pods},
        {
            "job_name": "gateways",
            "metrics_path": "/stats/prometheus",
            "kubernetes_sd_configs": discovery,
            "relabel_configs": envoys,
        },
    ]


def keep(source: str, regex: str) -> dict[str, Any]:
    return {"source_labels": [source], "action": "keep", "regex": regex}


def keep_not(source: str, regex: str) -> dict[str, Any]:
    return {"source_labels": [source], "action": "drop", "regex": regex}


def label(source: str, target: str) -> dict[str, Any]:
    return {"source_labels": [source], "target_label": target}
