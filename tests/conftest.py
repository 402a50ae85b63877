"""What holds for every test."""

import os

from hypothesis import HealthCheck, settings

# Times are never asserted: two cores are shared. In CI the same examples every time, so that red means changed.
settings.register_profile(
    "ours", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("ours")
