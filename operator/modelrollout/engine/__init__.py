"""The loop: observe from cluster and sources, ask the brain, record, act."""
