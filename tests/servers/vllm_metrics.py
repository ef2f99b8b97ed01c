"""The metrics of vLLM 0.32: names, labels and bucket edges, as prometheus_client writes them.

Standard library only: runs beside `fake_vllm.py` in pods. What was seen at the real server is in
`tests/cluster/test_fake_vs_real.py`, which fails when the two drift apart.
"""

import itertools
import os
import time
from bisect import bisect_left
from pathlib import Path

TTFT = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560),
)
TPOT = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80)
LATENCY = (0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680)
STEP = tuple(2**power for power in (0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14))
HTTP = (0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 7.5, 10, 30, 60)
REASONS = ("stop", "length", "abort", "error", "repetition")
CACHES = ("prefix_cache", "external_prefix_cache", "mm_cache")
SOURCES = ("local_compute", "local_cache_hit", "external_kv_transfer")
TIERS = ("device", "host", "p2p", "disk", "external_unspecified")


def one_two_five(most):
    """1, 2, 5, 10 … up to the model's length: arms of different length have different buckets."""
    series = (digit * 10**power for power in itertools.count() for digit in (1, 2, 5))
    return tuple(itertools.takewhile(lambda edge: edge <= most, series))


class Family:
    """One metric name with its series: numbers, or for a histogram counts per bucket and the sum."""

    def __init__(self, name, kind, edges=()):
        self.name, self.kind, self.edges = name, kind, edges
        self.series = {}  # label text -> [value], or [counts…, sum]
        self.born = {}

    def at(self, **labels):
        key = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
        if key not in self.series:
            self.series[key] = [0.0] * {"histogram": len(self.edges) + 2, "summary": 2}.get(self.kind, 1)
            self.born[key] = time.time()
        return self.series[key]

    def observe(self, series, value, times=1):
        series[bisect_left(self.edges, value)] += times
        series[-1] += value * times

    def lines(self):
        shown = self.name + "_total" if self.kind == "counter" else self.name
        yield f"# HELP {shown} {self.name}\n# TYPE {shown} {self.kind}"
        for key, values in self.series.items():
            yield from getattr(self, f"_{self.kind}")(shown, key, values)
        if self.kind != "gauge" and self.series:
            yield f"# HELP {self.name}_created {self.name}\n# TYPE {self.name}_created gauge"
            for key, moment in self.born.items():
                yield sample(f"{self.name}_created", key, moment)

    def _gauge(self, shown, key, values):
        yield sample(shown, key, values[0])

    _counter = _gauge

    def _summary(self, shown, key, values):
        yield sample(f"{shown}_count", key, values[0])
        yield sample(f"{shown}_sum", key, values[1])

    def _histogram(self, shown, key, values):
        for edge, count in zip(
            (*map(float, self.edges), "+Inf"), itertools.accumulate(values[:-1]), strict=True
        ):
            yield sample(f"{shown}_bucket", f'{key},le="{edge}"' if key else f'le="{edge}"', count)
        yield sample(f"{shown}_count", key, sum(values[:-1]))
        yield sample(f"{shown}_sum", key, values[-1])


def sample(name, key, value):
    return f"{name}{{{key}}} {value!r}" if key else f"{name} {value!r}"


class Metrics:
    """All families. The engine's stand at 0 from the start, those of HTTP come with the first request."""

    def __init__(self, model, longest):
        self.families, self.known, self.model = {}, {}, model
        self.common = {"engine": "0", "model_name": model}
        self._process()
        self._gauges()
        self._counters()
        self._histograms(longest)
        self._http()

    def family(self, name, kind, edges=(), *, labels=({},), common=True):
        family = self.families[name] = Family(name, kind, edges)
        for extra in labels:
            family.at(**(self.common if common else {}), **extra)
        return family

    def _process(self):
        self.family("process_start_time_seconds", "gauge", common=False).at()[0] = time.time()
        self.family("process_resident_memory_bytes", "gauge", common=False)

    def _gauges(self):
        for name in ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"):
            self.family(f"vllm:{name}", "gauge")
        self.family(
            "vllm:num_requests_waiting_by_reason", "gauge", labels=each("reason", "capacity", "deferred")
        )
        states = each("sleep_state", "awake", "weights_offloaded", "discard_all")
        self.family("vllm:engine_sleep_state", "gauge", labels=states)
        self.set("engine_sleep_state", 1, sleep_state="awake")
        info = {"engine": "0", "block_size": "128", "enable_prefix_caching": "True", "num_gpu_blocks": "512"}
        self.family("vllm:cache_config_info", "gauge", labels=(info,), common=False).at(**info)[0] = 1.0

    def _counters(self):
        caches = [f"{cache}_{what}" for cache in CACHES for what in ("queries", "hits")]
        unused = [f"estimated_{what}_per_gpu" for what in ("flops", "read_bytes", "write_bytes")]
        tokens = ("prompt_tokens", "prompt_tokens_cached", "generation_tokens")
        for name in (*unused, *caches, "num_preemptions", *tokens):
            self.family(f"vllm:{name}", "counter")
        self.family("vllm:prompt_tokens_by_source", "counter", labels=each("source", *SOURCES))
        self.family("vllm:prompt_tokens_cached_by_source", "counter", labels=each("source", *TIERS))
        self.family("vllm:request_success", "counter", labels=each("finished_reason", *REASONS))
        limits = each("reason", "max_num_queued_reqs", "max_num_queued_tokens")
        labels = tuple({"model_name": self.model, **limit} for limit in limits)
        self.family("vllm:admission_rejections", "counter", labels=labels, common=False)

    def _histograms(self, longest):
        counted = ("prompt", "generation", "max_num_generation", "prefill_kv_computed")
        for name in (*(f"request_{what}_tokens" for what in counted), "request_params_max_tokens"):
            self.family(f"vllm:{name}", "histogram", one_two_five(longest))
        self.family("vllm:iteration_tokens_total", "histogram", STEP)
        self.family("vllm:request_params_n", "histogram", (1, 2, 5, 10, 20))
        self.family("vllm:request_num_preemptions", "histogram", (1, 2, 3, 4, 5, 10, 20))
        self.family("vllm:time_to_first_token_seconds", "histogram", TTFT)
        for name in ("inter_token_latency_seconds", "request_time_per_output_token_seconds"):
            self.family(f"vllm:{name}", "histogram", TPOT)
        for phase in ("queue", "inference", "prefill", "decode"):
            self.family(f"vllm:request_{phase}_time_seconds", "histogram", LATENCY)
        self.family("vllm:e2e_request_latency_seconds", "histogram", LATENCY)

    def _http(self):
        self.family("http_requests", "counter", labels=())
        self.family("http_request_size_bytes", "summary", labels=())
        self.family("http_response_size_bytes", "summary", labels=())
        self.family("http_request_duration_highr_seconds", "histogram", HTTP, common=False)
        self.family("http_request_duration_seconds", "histogram", (0.1, 0.5, 1), labels=())

    def _series(self, name, labels):
        """The numbers of one of the engine's series, found without making its label text for every token."""
        key = (name, *labels.values())
        if key not in self.known:
            self.known[key] = self.families[f"vllm:{name}"].at(**self.common, **labels)
        return self.known[key]

    def add(self, name, amount=1, **labels):
        self._series(name, labels)[0] += amount

    def set(self, name, value, **labels):
        self._series(name, labels)[0] = float(value)

    def observe(self, name, value, times=1):
        self.families[f"vllm:{name}"].observe(self._series(name, {}), value, times)

    def reject(self, reason):
        self.families["vllm:admission_rejections"].at(model_name=self.model, reason=reason)[0] += 1

    def count_http(self, handler, method, status, seconds, sizes):
        """`sizes`: bytes of the bodies that came and went."""
        families = self.families
        families["http_requests"].at(handler=handler, method=method, status=f"{status // 100}xx")[0] += 1
        for name, size in zip(("http_request_size_bytes", "http_response_size_bytes"), sizes, strict=True):
            series = families[name].at(handler=handler)
            series[0] += 1
            series[1] += size
        for name, labels in (
            ("http_request_duration_highr_seconds", {}),
            ("http_request_duration_seconds", {"handler": handler, "method": method}),
        ):
            families[name].observe(families[name].at(**labels), seconds)

    def text(self):
        self.families["process_resident_memory_bytes"].at()[0] = resident_bytes()
        return "\n".join(itertools.chain.from_iterable(f.lines() for f in self.families.values())) + "\n"


def each(label, *values):
    return tuple({label: value} for value in values)


def resident_bytes():
    try:
        return float(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0.0
