"""The grounds of one unit's incident: what its evidence comes to, held against the rates."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from fsmend_collector.ask.grounds import fullest, grounds_of
from fsmend_collector.diagnosis import DiagnosisConfig, Evidence
from fsmend_proto.v1 import event_pb2

SECOND = 10**9


def error(at_seconds, sector=None, count=1, source="trace", **fields):
    base = {
        "event_id": f"{at_seconds} {sector} {source}",
        "agent_id": "a",
        "host_name": "h",
        "kind": event_pb2.EVENT_KIND_DEVICE_IO_ERROR,
        "severity": event_pb2.SEVERITY_ERROR,
        "source": source,
        "time_ns": at_seconds * SECOND,
        "received_ns": at_seconds * SECOND,
        "count": count,
        "sector": sector,
    }
    return Evidence(**(base | fields))


def only(rows):
    (found,) = grounds_of(rows, DiagnosisConfig()).classes
    return found


def test_two_sources_of_the_same_errors_are_not_added_up():
    rows = [error(at, at) for at in range(1, 4)] + [error(at, at, source="kmsg") for at in range(1, 4)]
    found = grounds_of(rows, DiagnosisConfig())
    assert (found.classes[0].errors, found.classes[0].places) == (3, 3)
    assert [(one.source, one.events, one.errors) for one in found.sources] == [("kmsg", 3, 3), ("trace", 3, 3)]


def test_one_place_that_fails_over_and_over_is_one_place():
    found = only([error(at, 8, count=50) for at in range(1, 5)])
    assert (found.errors, found.places, found.most_in_window, found.most_at_one_place) == (200, 1, 1, 200)
    assert found.rule.repeats == 200


def test_a_class_without_a_rate_opens_at_once_and_a_critical_error_too():
    gone = only([error(1, kind=event_pb2.EVENT_KIND_DEVICE_GONE)])
    assert not gone.HasField("rule")
    assert only([error(1, 8, severity=event_pb2.SEVERITY_CRITICAL)]).critical


def test_a_slow_drip_fills_the_long_window_only():
    found = only([error(at * 3_600, at) for at in range(1, 22)])
    assert (found.most_in_window, found.most_in_long) == (1, 21)


def test_what_is_no_error_is_counted_nowhere_but_among_the_sources():
    found = grounds_of([error(1, kind=event_pb2.EVENT_KIND_FS_MOUNTED)], DiagnosisConfig())
    assert not found.classes
    assert found.evidence_read == 1


_ENTRIES = st.lists(st.tuples(st.integers(0, 50), st.sampled_from(["", "a", "b", "c"]), st.integers(1, 5)), min_size=1)


@given(_ENTRIES, st.integers(1, 20))
def test_the_fullest_window_is_that_of_every_window(rows, seconds):
    entries = sorted((at * SECOND, place, count) for at, place, count in rows)

    def held(end_ns):
        near = [one for one in entries if end_ns - seconds * SECOND <= one[0] <= end_ns]
        unplaced = sum(count for _, place, count in near if not place)
        return len(Counter(place for _, place, _ in near if place)) + unplaced

    assert fullest(entries, seconds) == max(held(end) for end, _, _ in entries)
