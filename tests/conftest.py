"""Loads the test bed's fixtures for every tier, and says how long property tests look."""

import gc
import os

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.bed.plugin"]

# To look for garbage among all that is loaded is a tenth of the unit tier, and tests leave little of it.
gc.set_threshold(50_000, 20, 100)

# How long an example takes is the machine's business; how many there are is ours. On CI they are the same
# each time, so that a change is not held up by what it did not do, and few, so that the quick tier is quick.
# New ones are found at the desk, and by `make sweep`, which looks long.
settings.register_profile(
    "inner", max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", parent=settings.get_profile("inner"), derandomize=True)
settings.register_profile("sweep", parent=settings.get_profile("inner"), max_examples=300)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "inner"))
