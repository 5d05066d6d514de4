"""A collector that restarts knows what of each incident was proven, and waits for what was not."""

from collector.diagnosis.findings import START, engine, ext4, feed, finding, only, run, state_name, update
from hypothesis import given, settings
from hypothesis import strategies as st
from soak import examples

from fsmend_proto.v1 import command_pb2

DISK = {"device_id": "wwid:1", "device_name": "sda"}
HOUR = 3_600 * 10**9


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
