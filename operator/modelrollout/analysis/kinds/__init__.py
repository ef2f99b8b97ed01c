"""One test per kind of metric; all give the same reading.

checks (are these counts, and comparable?) → shares, latency, counting or scalar, chosen by tests_by_kind →
reading. mean_of_values is judged where the buckets of latency are too coarse; strata are those of a share of
requests; quantiles are for people only.
"""
