"""The grounds of one unit's incident: which classes of error it has, and how they stand against their rates. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from fsmend_collector.diagnosis.classing import class_of
from fsmend_collector.diagnosis.config import SECONDS_NS, DiagnosisConfig
from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_proto.v1 import event_pb2, why_pb2

_Entry = tuple[int, str, int]
"""Time, place, count."""


def grounds_of(evidence: Iterable[Evidence], config: DiagnosisConfig) -> why_pb2.UnitGrounds:
    """Return what the evidence of one incident comes to."""
    rows = list(evidence)
    by_class: defaultdict[str, list[Evidence]] = defaultdict(list)
    for one in rows:
        if name := class_of(one):
            by_class[name].append(one)
    found = why_pb2.UnitGrounds(evidence_read=len(rows))
    found.classes.extend(_class(name, by_class[name], config) for name in sorted(by_class))
    events, errors = Counter(one.source for one in rows), Counter[str]()
    for one in rows:
        errors[one.source] += one.count
    found.sources.extend(
        why_pb2.SourceCount(source=name, events=events[name], errors=errors[name]) for name in sorted(events)
    )
    return found


def _class(name: str, rows: list[Evidence], config: DiagnosisConfig) -> why_pb2.ErrorClassGrounds:
    rule = config.rules.get(name)
    by_source = Counter[str]()
    for one in rows:
        by_source[one.source] += one.count
    entries = sorted((one.time_ns, one.location, one.count) for one in rows)
    at_place = Counter[str]()
    for _, place, count in entries:
        at_place[place] += count if place else 0
    found = why_pb2.ErrorClassGrounds(
        name=name,
        errors=max(by_source.values()),
        places=len({place for _, place, _ in entries if place}),
        most_at_one_place=max(at_place.values()),
        critical=any(one.severity == event_pb2.SEVERITY_CRITICAL for one in rows),
        first_ns=entries[0][0],
        latest_ns=max(one.latest_ns for one in rows),
    )
    if rule is not None:
        found.rule.count, found.rule.seconds = rule.count, rule.seconds
        found.rule.long_count, found.rule.long_seconds = rule.long_count, rule.long_seconds
        found.rule.repeats = rule.repeats
        found.most_in_window = fullest(entries, rule.seconds)
        found.most_in_long = fullest(entries, rule.long_seconds)
    return found


def fullest(entries: list[_Entry], seconds: int) -> int:
    """Return how many errors the fullest window of a length holds: distinct places, and each error without a place.

    Args:
        entries: by time.
        seconds: length of the window.
    """
    seen: Counter[str] = Counter()
    unplaced = most = start = 0
    for time_ns, place, count in entries:
        while entries[start][0] < time_ns - seconds * SECONDS_NS:
            _, old, old_count = entries[start]
            start += 1
            if old:
                seen[old] -= 1
                if not seen[old]:
                    del seen[old]
            else:
                unplaced -= old_count
        if place:
            seen[place] += 1
        else:
            unplaced += count
        most = max(most, len(seen) + unplaced)
    return most
