"""Duplicates, reordering and lateness give the identical incident set."""

from collector.diagnosis.findings import START, UUID, btrfs, content, engine, ext4, feed, finding, state_name
from hypothesis import given, settings
from hypothesis import strategies as st
from soak import examples

KINDS = [
    "FS_ERROR", "FS_METADATA_CORRUPTION", "FS_DATA_CORRUPTION", "FS_IO_ERROR", "FS_SHUTDOWN", "FS_READ_ONLY",
    "FS_CORRECTED", "FS_HEALTHY", "DEVICE_IO_ERROR", "DEVICE_MEDIUM_ERROR", "DEVICE_LINK_ERROR", "DEVICE_GONE",
]  # fmt: skip
NOW = START + 3_600 * 10**9


@st.composite
def findings(draw):
    """Draw one finding about one of a few units; a name means one unit, but not every finding has the identity."""
    make = draw(st.sampled_from([ext4, btrfs]))
    kind = draw(st.sampled_from(KINDS))
    number = draw(st.sampled_from([0, 2]))
    device = number + (make is btrfs and draw(st.integers(0, 1)))
    fields = {
        "event_id": draw(st.uuids()).hex,
        "filesystem_uuid": f"{make.__name__} {number} {UUID}",
        "filesystem_device": f"{make.__name__}{number}",
        "device_id": draw(st.sampled_from(["", f"loop:{make.__name__}{device}"])),
        "device_name": f"{make.__name__}{device}",
        "source": draw(st.sampled_from(["kmsg", "trace", "fanotify", "ext4_stats"])),
        "count": draw(st.integers(1, 5)),
        "errno": draw(st.sampled_from([0, 5, 117])),
        "agent_id": draw(st.sampled_from(["a1", "a2"])),
        "severity": draw(st.sampled_from(["WARNING", "ERROR", "CRITICAL"])),
        "before_agent": draw(st.booleans()),
    }
    place = draw(st.sampled_from(["none", "inode", "code", "both", "sector"]))
    if place in {"inode", "both"}:
        fields |= {"ino": draw(st.integers(1, 4)), "generation": draw(st.integers(0, 2))}
        fields["path"] = draw(st.sampled_from([b"", b"/a", b"/b"]))
    if place in {"code", "both"}:
        fields |= {"function": draw(st.sampled_from(["ext4_lookup", "ext4_find"])), "line": draw(st.integers(1, 2))}
    if place == "sector":
        fields |= {"sector": draw(st.integers(0, 20)), "sector_count": draw(st.integers(1, 8))}
    return make(kind, draw(st.integers(0, 3_000)), **fields)


def incident_set(stream):
    """Return the incidents that a stream leads to, without when they were told."""
    diagnosis = engine()
    feed(diagnosis, stream, now_ns=NOW)
    return [content(incident) for incident in diagnosis.incidents()]


@settings(deadline=None, max_examples=examples(150))
@given(st.data())
def test_any_order_and_any_repetition_gives_the_identical_incident_set(data):
    stream = data.draw(st.lists(findings(), min_size=1, max_size=14))
    repeats = data.draw(st.lists(st.sampled_from(stream), max_size=8))
    shuffled = data.draw(st.permutations(stream + repeats))
    assert incident_set(shuffled) == incident_set(stream)


def rich():
    """Return findings about one filesystem that compete in every field of its incident."""
    return [
        ext4("FS_METADATA_CORRUPTION", 1, ino=3, path=b"/a", generation=1, source="fanotify", errno=117),
        ext4("FS_METADATA_CORRUPTION", 2, ino=3, path=b"/b", generation=2, source="fanotify", errno=74, host_name="h2"),
        ext4("FS_METADATA_CORRUPTION", 3, ino=3, function="f", line=1, mount_point=b"/first"),
        ext4("FS_METADATA_CORRUPTION", 4, ino=3, function="g", line=2, mount_point=b"/second", last_ns=NOW),
        ext4("FS_ERROR", 1, function="h", line=3, source="trace", filesystem_device="dm-0"),
        ext4("FS_ERROR", 9, function="h", line=3, source="trace", device_id="", device_name="sda"),
        ext4("FS_READ_ONLY", 6, severity="CRITICAL", filesystem_type="", device_name="", filesystem_device=""),
        ext4("FS_ERROR", 7, source="ext4_stats", reading=9, before_agent=True, since_ns=START // 2),
        ext4("FS_ERROR", 8, source="ext4_stats", reading=11, count=2),
        ext4("FS_HEALTHY", 5, severity="NOTICE", sick=False, scope="ag 1"),
        ext4("FS_METADATA_CORRUPTION", 5, sick=True, scope="ag 1", sector=8, sector_count=8),
    ]


@settings(deadline=None, max_examples=examples(200))
@given(st.data())
def test_competing_values_are_settled_alike_in_any_order(data):
    stream = rich()
    (expected,) = incident_set(stream)
    assert (expected.occurrences, expected.evidence_count) == (11, 10)
    assert incident_set(data.draw(st.permutations(stream))) == [expected]


@settings(deadline=None, max_examples=examples(60))
@given(st.data())
def test_parts_that_fell_sick_and_healed_end_alike_in_any_order(data):
    stream = []
    for second, (number, sick) in enumerate([(0, True), (1, True), (0, False), (0, True), (1, False), (0, False)]):
        kind = "FS_METADATA_CORRUPTION" if sick else "FS_HEALTHY"
        stream.append(ext4(kind, second, sick=sick, scope=f"ag {number}", severity="ERROR" if sick else "NOTICE"))
    for shown, state in ((stream, "resolved"), (stream[:-1], "open")):
        (incident,) = incident_set(data.draw(st.permutations(shown)))
        assert state_name(incident) == state


@settings(deadline=None, max_examples=examples(60))
@given(st.data())
def test_findings_of_a_filesystem_on_two_devices_are_keyed_alike_in_any_order(data):
    nameless = {"device_id": "", "device_name": "", "filesystem_device": "", "severity": "CRITICAL"}
    stream = [
        btrfs("FS_IO_ERROR", 1, **nameless),
        btrfs("FS_IO_ERROR", 2, severity="CRITICAL"),
        btrfs("FS_IO_ERROR", 3, severity="CRITICAL", device_id="loop:0", device_name="loop0"),
        btrfs("FS_IO_ERROR", 4, **nameless),
    ]
    assert incident_set(data.draw(st.permutations(stream))) == incident_set(stream)


@settings(deadline=None, max_examples=examples(40))
@given(st.data())
def test_a_rate_is_crossed_in_any_order(data):
    errors = [finding("DEVICE_IO_ERROR", 60 * n, device_id="wwid:1", sector=n) for n in range(12)]
    shuffled = data.draw(st.permutations(errors))
    (incident,) = incident_set(shuffled)
    assert (incident.code, incident.occurrences, incident.locations) == ("DEVICE_IO_ERRORS", 12, 12)
    assert incident.onset_ns == START


@settings(deadline=None, max_examples=examples(40))
@given(st.data())
def test_a_rate_that_is_not_crossed_is_not_crossed_in_any_order(data):
    errors = [finding("DEVICE_IO_ERROR", 200 * n, device_id="wwid:1", sector=n) for n in range(8)]
    assert incident_set(data.draw(st.permutations(errors))) == []


@settings(deadline=None, max_examples=examples(60))
@given(st.data())
def test_names_learnt_late_give_the_identical_incident_set(data):
    stream = [
        ext4("FS_METADATA_CORRUPTION", 1, filesystem_uuid="", device_id="", ino=3),
        ext4("FS_METADATA_CORRUPTION", 2, ino=4),
        ext4("FS_IO_ERROR", 3, device_id="", device_name="", severity="CRITICAL"),
        ext4("FS_IO_ERROR", 4, device_id="", severity="CRITICAL"),
        ext4("FS_IO_ERROR", 5, severity="CRITICAL"),
    ]
    incidents = incident_set(data.draw(st.permutations(stream)))
    assert incidents == incident_set(stream)
    assert [incident.code for incident in incidents if incident.occurrences == 3] == ["FS_IO_ERRORS"]
    assert len(incidents) == 2


def test_a_day_late_is_still_in_time():
    errors = [finding("DEVICE_IO_ERROR", 10 * n, device_id="wwid:1", sector=n) for n in range(5)]
    later = [finding("DEVICE_IO_ERROR", 80_000 + 700 * n, device_id="wwid:1", sector=100 + n) for n in range(4)]
    assert incident_set(errors[:4] + later + errors[4:]) == incident_set(errors + later) != []
