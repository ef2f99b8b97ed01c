"""Loads the test bed's fixtures for every tier, and says how long property tests look."""

import os

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.bed.plugin"]

# How long an example takes is the machine's business; how many there are is ours: more of them on CI, and the
# same each time, so that a change is not held up by what it did not do. New ones are found at the desk.
settings.register_profile(
    "inner", max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", parent=settings.get_profile("inner"), max_examples=100, derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "inner"))
