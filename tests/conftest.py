"""What holds for every test: hypothesis without a stopwatch, since machines that run this are shared.

The gate draws the same examples each time, so that it speaks of the change and not of the dice; everywhere else every
run draws new ones.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "shared", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=os.environ.get("CI") == "true"
)
settings.load_profile("shared")
