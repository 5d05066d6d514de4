"""How many examples a property is tried with: `TIMES` as many as usual in `make soak`."""

import os

TIMES = int(os.environ.get("TIMES", "1"))


def examples(count: int) -> int:
    """Return how many examples to draw where so many are usual."""
    return count * TIMES
