"""A collector that restarts knows what of each incident was proven, and waits for what was not."""

import pytest
from collector.diagnosis.findings import START, UUID, engine, ext4, feed, finding, only, run, state_name, update
from hypothesis import given, settings
from hypothesis import strategies as st
from soak import examples

from fsmend_proto.v1 import command_pb2

DISK = {"device_id": "wwid:1", "device_name": "sda"}
SECOND = 10**9
HOUR = 3_600 * SECOND


class Stored:
    """What a store keeps of the incidents of one diagnosis."""

    def __init__(self):
        self.diagnosis, self.incidents = engine(), {}

    def take(self, changes):
        self.incidents |= {change.incident.id: change.incident for change in changes}
        return self

    def feed(self, *found):
        return self.take(feed(self.diagnosis, found))

    def check(self, seconds):
        return self.take(
            run(self.diagnosis, update("SUCCEEDED", "CLEAN"), seconds, kind="ext4", command_id=f"c{seconds}")
        )

    def restart(self):
        self.take(self.diagnosis.tick(START + HOUR))  # what grew is told once a second
        self.diagnosis = engine()
        self.diagnosis.restore(self.incidents.values(), START + HOUR)
        return self

    @property
    def is_resolved(self):
        return any(state_name(one) == "resolved" for one in self.diagnosis.incidents())

    @property
    def open_classes(self):
        return [one.name for one in only(self.diagnosis).classes if one.open]


def test_a_disk_that_returns_still_has_the_medium_errors_from_before_the_restart():
    stored = Stored().feed(finding("DEVICE_MEDIUM_ERROR", 1, **DISK), finding("DEVICE_GONE", 2, **DISK)).restart()
    stored.feed(finding("DEVICE_ADDED", 3, severity="INFO", **DISK))
    assert (state_name(only(stored.diagnosis)), stored.open_classes) == ("open", ["device_medium"])


def test_a_filesystem_that_a_check_found_clean_must_still_be_mounted_again_after_a_restart():
    stored = Stored().feed(ext4("FS_METADATA_CORRUPTION", 1), ext4("FS_SHUTDOWN", 2)).restart().check(3)
    assert (state_name(only(stored.diagnosis)), stored.open_classes) == ("open", ["fs_shutdown"])
    stored.feed(ext4("FS_MOUNTED", 4, severity="INFO"))
    assert state_name(only(stored.diagnosis)) == "resolved"


def test_a_proof_that_came_before_the_restart_is_not_asked_for_again():
    stored = Stored().feed(
        ext4("FS_METADATA_CORRUPTION", 1), ext4("FS_SHUTDOWN", 2), ext4("FS_MOUNTED", 3, severity="INFO")
    )
    assert [(one.name, one.wall_ns) for one in only(stored.diagnosis).proofs] == [("mounted", START + 3 * 10**9)]
    assert stored.restart().open_classes == ["fs_metadata"]
    assert state_name(only(stored.check(4).diagnosis)) == "resolved"


def test_the_proof_of_an_incident_that_is_over_does_not_cover_a_class_that_it_does_not_close():
    stored = Stored().feed(finding("DEVICE_MEDIUM_ERROR", 1, **DISK))
    checked_ns = START + 5 * 10**9
    report, disk = update("SUCCEEDED", "CLEAN"), command_pb2.Target(device_id="wwid:1")
    stored.take(stored.diagnosis.observe_update("a1", "c1", disk, report, checked_ns, checked_ns))
    assert state_name(only(stored.diagnosis)) == "resolved"
    stored.restart().feed(finding("DEVICE_LINK_ERROR", 2, severity="CRITICAL", **DISK))
    assert (state_name(only(stored.diagnosis)), stored.open_classes) == ("open", ["device_link"])


def test_since_when_a_unit_fails_again_is_known_after_a_restart():
    mounted = ext4("FS_MOUNTED", 2, severity="INFO")
    stored = Stored().feed(ext4("FS_SHUTDOWN", 1), mounted, ext4("FS_SHUTDOWN", 3), ext4("FS_SHUTDOWN", 4))
    assert only(stored.restart().diagnosis).since_ns == START + 3 * 10**9


def test_an_incident_that_an_older_collector_stored_without_classes_and_proofs_goes_on():
    mounted = ext4("FS_MOUNTED", 2, severity="INFO")
    stored = Stored().feed(ext4("FS_SHUTDOWN", 1, filesystem_uuid="u1"), ext4("FS_SHUTDOWN", 1), mounted)
    for one in stored.incidents.values():
        for name in ("classes", "proofs", "since_ns"):
            one.ClearField(name)
    shown = [(state_name(one), [row.name for row in one.classes]) for one in stored.restart().diagnosis.incidents()]
    assert sorted(shown) == [("open", ["fs_shutdown"]), ("resolved", ["fs_shutdown"])]


def test_an_operators_word_covers_what_it_covered_also_after_a_newer_error_and_a_restart():
    stored = Stored().feed(ext4("FS_SHUTDOWN", 1))
    stored.take(stored.diagnosis.resolve(only(stored.diagnosis).id, "remounted", START + 10 * SECOND, "operator:ada"))
    stored.feed(ext4("FS_METADATA_CORRUPTION", 20)).restart()
    assert stored.open_classes == ["fs_metadata"]
    assert state_name(only(stored.check(30).diagnosis)) == "resolved"
    stored.restart().feed(ext4("FS_SHUTDOWN", 15))
    assert stored.open_classes == ["fs_shutdown"]


def test_what_flaps_beside_an_open_incident_neither_fills_its_story_nor_hides_a_running_repair():
    stored = Stored().feed(ext4("FS_METADATA_CORRUPTION", 1))
    stored.take(run(stored.diagnosis, update("RUNNING"), 2, kind="ext4"))
    for at in range(300):
        stored.feed(ext4("FS_SHUTDOWN", 3 + at), ext4("FS_MOUNTED", 3.5 + at, severity="INFO"))
    assert len(only(stored.diagnosis).timeline) < 10
    assert state_name(only(stored.restart().diagnosis)) == "repairing"


def test_an_endless_text_of_a_host_does_not_grow_an_incident():
    story = {"severity": "INFO", "message": "x" * 2_000_000}
    stored = Stored().feed(
        ext4("FS_METADATA_CORRUPTION", 1),
        ext4("FS_MOUNTED", 2, **story),
        ext4("FS_HEALTHY", 3, **story),
        ext4("FS_METADATA_CORRUPTION", 4),
    )
    assert only(stored.diagnosis).ByteSize() < 5_000


def test_a_proof_that_is_no_news_is_not_told():
    again = ext4("FS_MOUNTED", 3, severity="INFO")
    stored = Stored().feed(ext4("FS_METADATA_CORRUPTION", 1), ext4("FS_SHUTDOWN", 2), again)
    stored.take(stored.diagnosis.tick(START + 10 * SECOND))
    told = []
    for at in range(20, 40):
        told += stored.diagnosis.observe(again, START + at * SECOND)
        told += stored.diagnosis.tick(START + at * SECOND)
    assert told == []


def part(number, seconds, *, sick):
    kind, severity = ("FS_METADATA_CORRUPTION", "ERROR") if sick else ("FS_HEALTHY", "INFO")
    names = {"scope": f"ag {number}", "xfs_scope": 2, "xfs_number": number, "xfs_sick": int(sick)}
    return ext4(kind, seconds, severity=severity, sick=sick, filesystem_type="xfs", **names)


@pytest.mark.parametrize(
    ("before", "after", "state"),
    [
        ([part(1, 1, sick=True), part(1, 5, sick=False)], [part(2, 4, sick=True)], "open"),
        ([part(1, 1, sick=True), part(2, 2, sick=True), part(1, 5, sick=False)], [part(2, 6, sick=False)], "resolved"),
        ([part(1, 1, sick=True), part(2, 2, sick=True), part(1, 5, sick=False)], [part(1, 4, sick=True)], "open"),
    ],
)
def test_which_parts_are_sick_and_since_when_is_known_after_a_restart(before, after, state):
    straight = Stored().feed(*before, *after)
    restarted = Stored().feed(*before).restart().feed(*after)
    assert [state_name(only(one.diagnosis)) for one in (straight, restarted)] == [state, state]


def test_of_very_many_sick_parts_none_is_forgotten_by_a_restart():
    sick = [part(number, number, sick=True) for number in range(1, 1_101)]
    well = [part(number, 2_000 + number, sick=False) for number in range(1, 1_101)]
    few_left = Stored().feed(*sick[:20]).restart().feed(*well[:19])
    many_left = Stored().feed(*sick).restart().feed(*well[:64], *well[76:])
    assert [state_name(only(one.diagnosis)) for one in (few_left, many_left)] == ["open", "open"]
    assert len(only(many_left.diagnosis).parts) < 1_030
    assert state_name(only(many_left.check(4_000).diagnosis)) == "resolved"


def test_an_incident_that_is_over_keeps_the_time_of_its_end_whatever_proves_it_again():
    stored = Stored().feed(ext4("FS_SHUTDOWN", 1), ext4("FS_MOUNTED", 2, severity="INFO"))
    told = []
    for hour in range(1, 100):
        told += feed(stored.diagnosis, [ext4("FS_MOUNTED", hour * 3_600, severity="INFO")])
        told += stored.diagnosis.tick(START + hour * HOUR)
    assert told == []


ERRORS = st.sampled_from([
    ("FS_METADATA_CORRUPTION", "CRITICAL"), ("FS_DATA_CORRUPTION", "ERROR"), ("FS_SHUTDOWN", "CRITICAL"),
    ("FS_READ_ONLY", "ERROR"), ("FS_ERROR", "CRITICAL"),
])  # fmt: skip
PROOFS = st.sampled_from([("FS_MOUNTED", "INFO"), ("FS_HEALTHY", "INFO"), ("", "")])


@settings(deadline=None, max_examples=examples(150))
@given(ERRORS, st.lists(ERRORS | PROOFS, min_size=1, max_size=10), st.data())
def test_wherever_a_collector_stops_the_incident_waits_for_the_same_proofs(first, later, data):
    """An empty kind is a check of ours that found nothing."""
    kinds = [first, *later]
    stop = data.draw(st.integers(1, len(kinds) - 1))
    seconds = data.draw(st.permutations(range(1, len(kinds) + 1)))  # some come late
    straight, stopped = Stored(), Stored()
    for at, (kind, severity) in enumerate(kinds):
        if at == stop:
            stopped.restart()
        if at < stop and severity in {"INFO", ""} and straight.is_resolved:
            continue  # what proves once more that all is well is not kept for a restart
        for one in (straight, stopped):
            if kind:
                one.feed(ext4(kind, seconds[at], severity=severity, event_id=f"e{at}"))
            else:
                one.check(seconds[at])
    assert _faces(stopped) == _faces(straight)


def _faces(stored):
    return [
        (
            one.id,
            one.code,
            state_name(one),
            one.onset_ns,
            one.resolved_ns,
            [(row.name, row.first_ns, row.latest_ns, row.open) for row in one.classes],
        )
        for one in stored.diagnosis.incidents()
    ]


def test_a_proof_does_not_tell_an_incident_that_another_one_explained_before_it_was_told():
    below = {"device_id": "wwid:1", "device_name": "sda"}
    stored = Stored().feed(finding("DEVICE_MEDIUM_ERROR", 1, filesystem_uuid=UUID, **below))
    stored.feed(ext4("FS_READ_ONLY", 2, **below), ext4("FS_HEALTHY", 1.5, severity="INFO", **below))
    assert [one.code for one in stored.incidents.values()] == ["DEVICE_MEDIUM_ERRORS"]
