"""Rates, storms and drips: exact counts, early opening, few changes, bounded memory."""

import pytest
from collector.diagnosis.findings import DAY, SECOND, START, engine, ext4, feed, finding, only, state_name

from fsmend_collector.diagnosis.config import SerdRule
from fsmend_collector.diagnosis.serd import SerdWindow
from fsmend_collector.diagnosis.tally import EVIDENCE_LISTED
from fsmend_proto.v1 import record_pb2

RULE = SerdRule(count=3, seconds=10, long_count=5, long_seconds=1_000, repeats=20)


def crossings(rule, entries):
    window = SerdWindow(rule, lateness_seconds=100)
    return [window.add(int(seconds * SECOND), location, count) for seconds, location, count in entries]


def test_rate_is_crossed_at_the_nth_error_and_not_after_it():
    assert crossings(RULE, [(0, "a", 1), (1, "b", 1), (2, "c", 1)]) == [False, False, True]


def test_window_includes_its_last_second_and_no_more():
    assert crossings(RULE, [(0, "a", 1), (5, "b", 1), (10, "c", 1)])[-1]
    assert not crossings(RULE, [(0, "a", 1), (5, "b", 1), (10.1, "c", 1)])[-1]


def test_the_same_sector_read_ten_times_is_one_error():
    assert not any(crossings(RULE, [(0.1 * n, "sector 1", 1) for n in range(10)]))
    diagnosis = engine()
    feed(diagnosis, [finding("DEVICE_IO_ERROR", n, device_id="wwid:1", sector=7) for n in range(10)])
    assert diagnosis.incidents() == []


def test_one_location_that_fails_over_and_over_opens_in_the_end():
    assert crossings(RULE, [(11 * n, "sector 1", 1) for n in range(20)]) == [False] * 19 + [True]


def test_errors_without_a_place_count_one_by_one():
    assert crossings(RULE, [(0, "", 3)]) == [True]
    assert crossings(RULE, [(0, "", 2)]) == [False]


def test_long_window_catches_what_the_short_one_lets_through():
    assert crossings(RULE, [(200 * n, f"sector {n}", 1) for n in range(5)]) == [False] * 4 + [True]


def test_window_keeps_no_more_than_its_rule_can_need():
    window = SerdWindow(RULE, lateness_seconds=100)
    for n in range(5_000):
        window.add(60 * n * SECOND, "sector 1", 1)
    assert len(window) <= (1_000 + 100) // 60 + 1


@pytest.mark.parametrize(("place", "number"), [({"sector": 1}, 2_000), ({}, 38_000)], ids=["one sector", "no place"])
def test_slow_drip_of_38000_errors_opens(place, number):
    """The complaint that 38,000 errors 5 s apart never crossed "10 in 10 minutes"."""
    diagnosis = engine()
    opened = []
    for n in range(number):
        changes = diagnosis.observe(
            finding("DEVICE_IO_ERROR", 5 * n, device_id="wwid:1", **place), START + 5 * n * SECOND
        )
        opened += [n for change in changes if change.what == "opened"]
    assert len(opened) == 1
    assert opened[0] < 1_000
    assert only(diagnosis).occurrences == number


def test_drip_slower_than_every_short_window_opens():
    diagnosis = engine()
    feed(diagnosis, [finding("DEVICE_IO_ERROR", 7_200 * n, device_id="wwid:1", sector=n) for n in range(20)])
    assert only(diagnosis).code == "DEVICE_IO_ERRORS"


def test_storm_of_ten_thousand_is_counted_exactly_and_told_in_few_changes():
    diagnosis = engine()
    storm = [
        ext4("FS_METADATA_CORRUPTION", n / 10_000, source=source, ino=1 + n % 50, event_id=f"{source} {n}")
        for n in range(10_000)
        for source in ("trace", "kmsg")
    ]
    changes = feed(diagnosis, storm)
    changes += diagnosis.tick(START + 2 * SECOND)
    incident = only(diagnosis)
    assert incident.occurrences == 10_000
    assert incident.evidence_count == 20_000
    assert incident.locations == 50
    assert len(incident.evidence) == EVIDENCE_LISTED
    assert changes[-1].incident.occurrences == 10_000
    assert len(changes) < 40
    assert sum(len(change.evidence_ids) for change in changes) == 20_000


def test_storm_that_the_agent_folded_is_counted_exactly():
    diagnosis = engine()
    feed(diagnosis, [ext4("FS_METADATA_CORRUPTION", n / 100, ino=n + 1, form="ext4_error") for n in range(64)])
    feed(diagnosis, [ext4("FS_METADATA_CORRUPTION", n / 100, form="journal") for n in range(30)])
    feed(diagnosis, [ext4("FS_METADATA_CORRUPTION", 1, count=9_936)])
    assert only(diagnosis).occurrences == 10_000


def test_storm_of_a_nameless_filesystem_keeps_its_count_when_the_name_is_learnt():
    diagnosis = engine()
    storm = [
        finding("FS_METADATA_CORRUPTION", n / 1_000, filesystem_device="loop0", event_id=f"n{n}") for n in range(3_000)
    ]
    feed(diagnosis, storm)
    feed(diagnosis, [ext4("FS_METADATA_CORRUPTION", 4, source="trace")])
    assert only(diagnosis).occurrences == 3_000


def test_errors_that_never_crossed_their_rate_are_forgotten():
    diagnosis = engine()
    feed(diagnosis, [finding("DEVICE_LINK_ERROR", n, device_id=f"wwid:{n}") for n in range(100)])
    assert len(diagnosis._ledger.agents) == 1
    diagnosis.tick(START + 9 * DAY)
    assert len(diagnosis._ledger.agents) == 0


def test_lines_that_the_kernels_own_rate_limit_left_out_are_no_loss_and_blind_nobody():
    diagnosis = engine(standstill_seconds=60)
    feed(diagnosis, [ext4("FS_ERROR")])
    gap = record_pb2.Gap(reason=record_pb2.GAP_REASON_LOG_SUPPRESSED, lost=40_000, source="kmsg")
    assert diagnosis.observe_gap(gap, "a1", START + 70 * SECOND, "h1") == []
    diagnosis.tick(START + 80 * SECOND)
    assert state_name(only(diagnosis)) == "resolved"


def test_gap_is_an_incident_and_the_same_gap_twice_is_one_loss():
    diagnosis = engine()
    gap = record_pb2.Gap(reason=record_pb2.GAP_REASON_SPOOL_FULL, from_sequence=10, to_sequence=19, lost=10)
    (change,) = diagnosis.observe_gap(gap, "a1", START, "h1")
    assert diagnosis.observe_gap(gap, "a1", START + SECOND, "h1") == []
    assert change.incident.code == "TELEMETRY_LOSS"
    assert change.incident.occurrences == 10
    assert "10 records" in change.incident.summary


def test_agent_that_starts_is_no_incident_for_what_it_did_not_watch_before():
    gap = record_pb2.Gap(reason=record_pb2.GAP_REASON_NOT_WATCHED)
    assert engine().observe_gap(gap, "a1", START, "h1") == []


def test_agent_that_stays_away_is_an_incident_until_it_is_back():
    diagnosis = engine(agent_silent_seconds=300)
    assert diagnosis.observe_presence("a1", "h1", connected=False, since_ns=START, now_ns=START) == []
    assert diagnosis.tick(START + 299 * SECOND) == []
    (change,) = diagnosis.tick(START + 300 * SECOND)
    assert (change.what, change.incident.code, change.incident.onset_ns) == ("opened", "AGENT_SILENT", START)
    assert diagnosis.tick(START + 400 * SECOND) == []
    back = START + 500 * SECOND
    (change,) = diagnosis.observe_presence("a1", "h1", connected=True, since_ns=back, now_ns=back)
    assert change.what == "resolved"


def test_broken_source_is_an_incident_until_it_starts_again():
    diagnosis = engine()
    (change,) = feed(diagnosis, [finding("SOURCE_STATE", 0, sick=True, subject="trace")])
    assert (change.incident.code, change.incident.cause.value) == ("SOURCE_BROKEN", "trace")
    assert feed(diagnosis, [finding("SOURCE_STATE", 1, sick=False, subject="kmsg", severity="INFO")]) == []
    (change,) = feed(diagnosis, [finding("SOURCE_STATE", 2, sick=False, subject="trace", severity="INFO")])
    assert change.what == "resolved"


def test_mere_growth_is_told_of_a_hundred_incidents_a_tick_and_of_each_in_its_turn():
    diagnosis = engine()
    feed(diagnosis, [finding("DEVICE_GONE", 0, device_id=f"wwid:{n}") for n in range(250)])
    assert feed(diagnosis, [finding("DEVICE_GONE", 0.5, device_id=f"wwid:{n}") for n in range(250)]) == []
    told = [[change.incident.unit.device_id for change in diagnosis.tick(START + n * SECOND)] for n in (1, 2, 3, 4)]
    assert [len(rows) for rows in told] == [100, 100, 50, 0]
    assert len({one for rows in told for one in rows}) == 250


def test_what_changes_an_incident_is_told_at_once_in_mid_storm():
    diagnosis = engine()
    feed(diagnosis, [finding("DEVICE_GONE", 0, device_id="wwid:1") for _ in range(3)])
    (change,) = feed(diagnosis, [finding("DEVICE_ADDED", 1, device_id="wwid:1", severity="INFO")])
    assert change.what == "resolved"
    (change,) = feed(diagnosis, [finding("DEVICE_GONE", 2, device_id="wwid:1")])
    assert change.what == "reopened"
