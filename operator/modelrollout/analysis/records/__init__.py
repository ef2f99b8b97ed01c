"""A rollout's evidence as a file.

export (writes) → record (the format, read with shapes) → replay (judges it again). look_log keeps in status
which looks were folded, so that a record can be counted again from Prometheus.
"""
