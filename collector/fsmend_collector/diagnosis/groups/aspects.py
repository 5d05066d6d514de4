"""Aspects: in which way a unit fails, coarse enough that one shared cause shows in one or two of them."""

from dataclasses import dataclass

from fsmend_collector.diagnosis.codes import CLASS_OF_KIND
from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_proto.v1 import event_pb2

DEVICE, FILESYSTEM, HOST = 0, 1, 2
"""Kinds of units, and the places of their counts in a population."""


@dataclass(frozen=True, slots=True)
class Aspect:
    """One way to fail.

    Attributes:
        name: stable name.
        kind: of the units that it is counted in.
        per_hour: how many units of a healthy fleet begin to fail so in an hour, until history says otherwise.
    """

    name: str
    kind: int
    per_hour: float


# Losses: 18,387 tickets of about a million SSDs in two years (FAST'21). Media, health and link errors: drives with a
# count above zero per power-on hour in 66,776 reports of linuxhw/EnterpriseDrive.
ASPECTS: dict[str, Aspect] = {
    row.name: row
    for row in (
        Aspect("lost", DEVICE, 1.05e-6),
        Aspect("media", DEVICE, 3.5e-6),
        Aspect("link", DEVICE, 1.6e-6),
        Aspect("health", DEVICE, 1.0e-6),
        Aspect("corrupt", FILESYSTEM, 2.0e-7),
        Aspect("silent", HOST, 1.0e-5),
    )
}

_ASPECT_OF_CLASS = {
    "device_gone": "lost",
    "device_medium": "media",
    "device_io": "media",
    "fs_io": "media",
    "device_link": "link",
    "device_health": "health",
    "fs_data": "corrupt",
    "fs_metadata": "corrupt",
    "fs_error": "corrupt",
    "fs_shutdown": "corrupt",
    "fs_read_only": "corrupt",
}
ASPECT_OF_KIND: dict[int, str] = {
    kind: _ASPECT_OF_CLASS[name] for kind, name in CLASS_OF_KIND.items() if name in _ASPECT_OF_CLASS
}


def aspect_of(evidence: Evidence) -> str:
    """Return the aspect in which a finding shows its unit to fail; empty: it shows no failing."""
    if evidence.severity < event_pb2.SEVERITY_WARNING or evidence.before_agent or evidence.command_id:
        return ""
    if evidence.passed is True or evidence.reading == 0:
        return ""
    return ASPECT_OF_KIND.get(evidence.kind, "")
