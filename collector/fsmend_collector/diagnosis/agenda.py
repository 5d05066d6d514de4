"""The agenda: which faults time alone may change, and when. So a sweep costs as what is due, not as all that fails."""

from heapq import heappop, heappush

from fsmend_collector.diagnosis.config import SECONDS_NS, DiagnosisConfig
from fsmend_collector.diagnosis.fault import Fault
from fsmend_collector.diagnosis.joining import FaultKey


class Agenda:
    """Keep one time a fault at which to look at it."""

    def __init__(self) -> None:
        self._due: dict[FaultKey, int] = {}
        self._soon: list[FaultKey] = []  # those without a time: a storm brings them by the thousand
        self._heap: list[tuple[int, int, FaultKey]] = []
        self._number = 0

    def __len__(self) -> int:
        """Count the faults that are to be looked at some time."""
        return len(self._due)

    def look(self, key: FaultKey, at_ns: int = 0) -> None:
        """Look at a fault at a time, or at the next occasion; an earlier time that was noted stays."""
        if self._due.get(key, at_ns + 1) > at_ns:
            self._due[key] = at_ns
            if not at_ns:
                self._soon.append(key)
                return
            self._number += 1
            heappush(self._heap, (at_ns, self._number, key))

    def due(self, now_ns: int) -> list[FaultKey]:
        """Take the faults that are due off, in a stable order; each is to be noted again."""
        soon, self._soon = self._soon, []
        keys = [key for key in dict.fromkeys(soon) if self._due.get(key) == 0]
        for key in keys:
            del self._due[key]
        while self._heap and self._heap[0][0] <= now_ns:
            at_ns, _, key = heappop(self._heap)
            if self._due.get(key) == at_ns:
                del self._due[key]
                keys.append(key)
        return keys

    def forget(self, key: FaultKey) -> None:
        """Forget a fault."""
        self._due.pop(key, None)


def next_look_ns(fault: Fault, config: DiagnosisConfig, now_ns: int) -> int:
    """Return when time alone may next change a fault that was just looked at: after now.

    What else changes it, evidence, a proof, an operator's word, is told, and what is told is looked at.
    """
    times = [fault.forgettable_ns()]
    if fault.muted_until_ns:
        times.append(fault.muted_until_ns)
    if fault.stands_still:
        # Already over, it is not watched well enough: that may change any moment.
        times.append(fault.tally.latest_ns + config.standstill_seconds * SECONDS_NS)
    return max(min(times), now_ns + 1)
