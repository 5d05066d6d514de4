"""The change feed: roll-outs, maintenance, campaigns. A change explains what it is expected to do."""

from collections.abc import Iterable
from dataclasses import dataclass

from fsmend_collector.diagnosis.groups.marks import Mark
from fsmend_collector.diagnosis.groups.views import Group

_COVERS = 0.8


@dataclass(frozen=True, slots=True)
class Change:
    """One change to a part of the fleet.

    Attributes:
        name: for people: "kernel 6.8.12 to role db".
        scope: group that it changes; ("fleet", "all") for everything.
        from_ns: when it began.
        until_ns: when its effects should be over.
        expected: aspects that it shows in when all goes well; those marks are not counted.
    """

    name: str
    scope: Group
    from_ns: int
    until_ns: int
    expected: frozenset[str] = frozenset()

    def touches(self, mark: Mark) -> bool:
        """Say whether the mark lies in its scope and time."""
        return self.from_ns <= mark.time_ns <= self.until_ns and self.scope in mark.groups


def expected_by(changes: Iterable[Change], mark: Mark) -> Change | None:
    """Return the change that expects this mark, if one does."""
    return next((one for one in changes if mark.aspect in one.expected and one.touches(mark)), None)


def suspected(changes: Iterable[Change], marks: list[Mark]) -> list[Change]:
    """Return the changes that came before most of these marks, within their scope."""
    found = []
    for one in changes:
        touched = sum(one.scope in mark.groups and mark.time_ns >= one.from_ns for mark in marks)
        if marks and touched >= _COVERS * len(marks) and min(mark.time_ns for mark in marks) <= one.until_ns:
            found.append(one)
    return found
