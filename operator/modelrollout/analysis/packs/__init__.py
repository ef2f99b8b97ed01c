"""Metrics by name: `use: vllm/time-to-first-token`. A pack is a file of data, `*.yaml`, in this folder.

*.yaml → pack (reads them) → catalogue (what a name means: a metric and the counters that it is counted from);
limits (how much worse it may be), prices (of accelerators), own (metrics that no pack has), measures (of
experiments and bandits), defaults (a rollout that names no metrics), page (docs/metrics.md).
"""
