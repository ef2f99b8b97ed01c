"""A rollout's evidence as a file.

record is the format, replay judges one again. look_log keeps in status which looks were folded, so that a
record can be counted again from Prometheus.
"""
