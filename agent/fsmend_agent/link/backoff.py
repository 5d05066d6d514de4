"""How long to wait before the next attempt: pure, randomness is an argument."""

from dataclasses import dataclass

FIRST_SECONDS = 0.5
CAP_SECONDS = 300.0
_QUICK_ATTEMPTS = 2


@dataclass(slots=True)
class Backoff:
    """Exponential from half a second, capped, and spread after the cap.

    The spread comes after the cap: ten thousand agents that all reached the cap must not come back in one second.
    """

    attempts: int = 0

    def next_seconds(self, share: float) -> float:
        """Return the next wait.

        Args:
            share: from 0 to 1, drawn anew each time; so much of the wait is added to it.
        """
        doublings = min(max(0, self.attempts - _QUICK_ATTEMPTS), 32)
        self.attempts += 1
        return min(FIRST_SECONDS * float(1 << doublings), CAP_SECONDS) * (1 + share)

    def succeeded(self) -> None:
        """Begin from the start again: the peer took us."""
        self.attempts = 0
