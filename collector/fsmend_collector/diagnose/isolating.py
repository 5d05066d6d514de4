"""Isolating: what diagnosis cannot take is put aside, counted and shown, and the rest goes on."""

import logging
import traceback
from dataclasses import dataclass, field

from sqlalchemy import Connection

from fsmend_collector.audit import audit

log = logging.getLogger(__name__)

FAULT_KIND = "diagnosis"
"""Object kind of the audit's rows about faults; `fsmend health` reads them."""

_NOTED_AT_MOST = 1_000


@dataclass(frozen=True, slots=True)
class Isolated:
    """One thing that diagnosis could not take.

    Attributes:
        what: record 123, tick …
    """

    at_ns: int
    what: str
    text: str


@dataclass(slots=True)
class Isolation:
    """Everything that was put aside since the start.

    Attributes:
        count: how often.
        unwritten: what the audit does not have yet; no more than a thousand in the life of a process.
    """

    count: int = 0
    unwritten: list[Isolated] = field(default_factory=list)
    _logged: set[str] = field(default_factory=set)

    def note(self, what: str, error: Exception, now_ns: int) -> None:
        """Count it; the log has each place in the code once, the audit each thing."""
        self.count += 1
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
        text = f"{type(error).__name__} at {place}: {error}"
        if place not in self._logged:
            self._logged.add(place)
            log.error("diagnosis goes on without %s: %s", what, text, exc_info=error)
        if self.count <= _NOTED_AT_MOST:
            self.unwritten.append(Isolated(now_ns, what, text[:500]))


def write_isolated(connection: Connection, found: list[Isolated]) -> None:
    """Write to the audit what was put aside."""
    for one in found:
        audit(connection, one.at_ns, "collector", "diagnosis.fault", FAULT_KIND, one.what, one.text)
