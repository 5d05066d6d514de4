"""What holds for every test: hypothesis without a stopwatch, since machines that run this are shared.

The gate draws the same examples each time, so that it speaks of the change and not of the dice; everywhere else every
run draws new ones.
"""

import os
import signal

from hypothesis import HealthCheck, settings
from soak import examples

settings.register_profile(
    "shared",
    deadline=None,
    max_examples=examples(100),
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=os.environ.get("CI") == "true",
)
settings.load_profile("shared")

# A shell starts what it puts into the background with SIGINT ignored, and children inherit that; some of ours are
# to be interrupted.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
