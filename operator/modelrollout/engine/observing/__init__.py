"""From the cache to what the brain decides on.

observe (Observer.snapshot) → observed (observed_from), with obstacles, which finds what stands against a
rollout. The observer stands on three: fetch reads from the API server what no watch has shown, gateways reads
what a route points to, reader parses spec, status and route once per version.
"""
