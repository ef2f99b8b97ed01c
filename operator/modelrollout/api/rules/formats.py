"""What to write in place of a text that does not match the pattern of its field."""

from __future__ import annotations

from collections.abc import Mapping

from modelrollout.api import analysis, evaluations, model, quantities, registry, strategy, wire

FORMATS: Mapping[str, str] = {
    quantities.DURATION_PATTERN: "write a duration in hours, minutes and seconds, such as 30s, 10m or 1h30m",
    quantities.FRACTION_PATTERN: 'write a decimal number in quotes, such as "0.01" or "1.10"',
    wire.NAME_PATTERN: "write lower-case letters, digits and dashes, with a letter or digit at both ends",
    model.PLAIN_URI_PATTERN: (
        "write where the adapter lies: hf://org/name, pvc://claim/path or file:///path; aliases and branches "
        "are looked up for model.uri only"
    ),
    model.URI_PATTERN: (
        "write hf://org/name or hf://org/name@branch (a commit belongs in model.revision), s3://bucket/path, "
        "gs://bucket/path, pvc://claim/path, file:///path, mlflow://name@alias or mlflow://name/version"
    ),
    registry.ALIAS_PATTERN: "write an alias as MLflow has them: letters, digits, dashes and underscores",
    evaluations.WHEN_PATTERN: (
        "write beforeTraffic, afterPromotion, onDrift or a cron expression of five fields, such as 0 2 * * *"
    ),
    evaluations.KEY_PATTERN: "write the key of a ConfigMap: letters, digits, dashes, dots and underscores",
    model.VISIBLE_PATTERN: "it holds a control character or an invisible one: write it without",
    analysis.PACK_METRIC_PATTERN: "write pack/metric, such as vllm/time-to-first-token",
    strategy.COOKIE_PATTERN: "write the cookie's name alone, in letters, digits and dashes, such as canary",
    model.PATH_PATTERN: "write a path that begins with a slash, such as /v1/embeddings",
    analysis.HTTP_PATTERN: (
        "write http:// or https://, a host, and if need be a port and a path, such as "
        "http://prometheus.monitoring:9090; a user name and password belong in a Secret"
    ),
}
"""Pattern of a string in `api.spec` -> what to write; the API server's own words would quote the pattern."""
