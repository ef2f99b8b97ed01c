"""Metrics by name: `use: vllm/time-to-first-token`. A pack is a file of data, `*.yaml`, in this folder.

*.yaml → catalogue (what a name means: a metric and the counters that it is counted from); defaults (a rollout
that names no metrics); page (docs/metrics.md).
"""
