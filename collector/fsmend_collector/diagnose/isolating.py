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
_NOTED_AGAIN_NS = 3_600 * 1_000_000_000


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
        unwritten: what the audit does not have yet.
    """

    count: int = 0
    unwritten: list[Isolated] = field(default_factory=list)
    _logged: set[str] = field(default_factory=set)
    _noted: dict[tuple[str, str], int] = field(default_factory=dict)

    def note(self, what: str, error: Exception, now_ns: int) -> None:
        """Count it. The log has each place in the code once; the audit each of a thousand things, once an hour."""
        self.count += 1
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
        text = f"{type(error).__name__} at {place}: {error}"
        if place not in self._logged:
            self._logged.add(place)
            log.error("diagnosis goes on without %s: %s", what, text, exc_info=error)
        noted_ns = self._noted.get((what, place))
        due = len(self._noted) < _NOTED_AT_MOST if noted_ns is None else now_ns >= noted_ns + _NOTED_AGAIN_NS
        if due:
            self._noted[what, place] = now_ns
            self.unwritten.append(Isolated(now_ns, what, text[:500]))


def write_isolated(connection: Connection, found: list[Isolated]) -> None:
    """Write to the audit what was put aside."""
    for one in found:
        audit(connection, one.at_ns, "collector", "diagnosis.fault", FAULT_KIND, one.what, one.text)
