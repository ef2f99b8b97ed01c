"""Loads the test bed's fixtures for every tier, and says how long property tests look."""

import os

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.bed.plugin"]

# How long an example takes is the machine's business; how many there are is ours: more of them on CI.
settings.register_profile(
    "inner", max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", parent=settings.get_profile("inner"), max_examples=100)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "inner"))
