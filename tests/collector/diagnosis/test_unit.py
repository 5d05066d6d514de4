"""Evidence of several interfaces about one unit becomes one incident."""

import pytest
from collector.diagnosis.findings import START, UUID, btrfs, engine, ext4, feed, finding, only, state_name

from fsmend_proto.v1 import event_pb2, inventory_pb2


def directory_corruption():
    """Return what three interfaces say of one corrupt ext4 directory."""
    return [
        ext4("FS_METADATA_CORRUPTION", 0.0, source="fanotify", ino=12, generation=7, path=b"/dir", errno=74),
        ext4("FS_METADATA_CORRUPTION", 0.001, source="trace", function="__ext4_find_entry", line=1624),
        ext4(
            "FS_METADATA_CORRUPTION", 0.002, source="kmsg", form="ext4_error", ino=12,
            function="__ext4_find_entry", line=1624,
        ),
        ext4("FS_METADATA_CORRUPTION", 5, source="ext4_stats", count=1, reading=1, ino=12),
    ]  # fmt: skip


def test_one_corrupt_directory_is_one_incident_with_everything_named():
    diagnosis = engine()
    changes = feed(diagnosis, directory_corruption())
    assert changes[0].what == "opened"
    incident = only(diagnosis)
    assert (incident.code, state_name(incident)) == ("FS_CORRUPTION", "open")
    assert incident.unit.filesystem_uuid == UUID
    assert (incident.unit.device_id, incident.unit.device_name) == ("loop:0", "loop0")
    assert incident.unit.mount_point == b"/srv/data"
    (place,) = incident.places
    assert (place.ino, place.generation, place.path) == (12, 7, b"/dir")
    assert (place.function, place.line) == ("__ext4_find_entry", 1624)
    assert list(incident.errnos) == [74]
    assert incident.occurrences == 1
    assert incident.locations == 1
    assert incident.evidence_count == 4
    assert list(incident.sources) == ["ext4_stats", "fanotify", "kmsg", "trace"]
    assert incident.onset_ns == START


def test_first_error_opens_at_once():
    diagnosis = engine()
    (change,) = diagnosis.observe(directory_corruption()[1], START)
    assert change.what == "opened"
    assert change.incident.opened_ns == START


def test_code_location_belongs_to_the_inode_reported_at_the_same_time_without_the_kernel_log():
    diagnosis = engine()
    feed(diagnosis, directory_corruption()[:2])
    (place,) = only(diagnosis).places
    assert (place.ino, place.function, place.line) == (12, "__ext4_find_entry", 1624)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_an_inode_that_some_lines_name_without_its_subvolume_is_one_place(order):
    lines = [
        btrfs("FS_DATA_CORRUPTION", 1, ino=257, subvolume=5, path=b"archive", source="kmsg"),
        btrfs("FS_DATA_CORRUPTION", 2, ino=257, source="kmsg"),
    ]
    diagnosis = engine()
    feed(diagnosis, [lines[at] for at in order])
    (place,) = only(diagnosis).places
    assert (place.ino, place.path) == (257, b"archive")
    assert only(diagnosis).locations == 1


def test_inodes_of_one_number_in_two_subvolumes_are_two_places():
    diagnosis = engine()
    for subvolume in (5, 256, 0):
        feed(diagnosis, [btrfs("FS_DATA_CORRUPTION", 1, ino=257, subvolume=subvolume, source="kmsg")])
    assert [place.ino for place in only(diagnosis).places] == [257, 257]


def test_code_location_far_in_time_is_a_place_of_its_own():
    diagnosis = engine()
    feed(diagnosis, [directory_corruption()[0], ext4("FS_METADATA_CORRUPTION", 60, function="ext4_lookup", line=1787)])
    first, second = only(diagnosis).places
    assert (first.ino, first.function) == (12, "")
    assert (second.ino, second.function) == (0, "ext4_lookup")


def test_two_filesystems_are_two_incidents():
    diagnosis = engine()
    feed(diagnosis, [ext4("FS_METADATA_CORRUPTION"), ext4("FS_METADATA_CORRUPTION", filesystem_uuid="other")])
    assert len(diagnosis.incidents()) == 2


def test_two_agents_that_claim_the_same_device_stay_apart():
    diagnosis = engine()
    feed(diagnosis, [finding("DEVICE_GONE", device_id="wwid:1", agent_id=agent) for agent in ("a1", "a2")])
    assert len(diagnosis.incidents()) == 2


def test_device_errors_take_the_filesystems_errors_as_consequence():
    diagnosis = engine()
    feed(diagnosis, [ext4("FS_IO_ERROR", second, sector=second) for second in range(3)])
    before = only(diagnosis)
    assert before.code == "FS_IO_ERRORS"
    feed(diagnosis, [finding("DEVICE_MEDIUM_ERROR", 4, device_id="loop:0", device_name="loop0", sector=9)])
    after = only(diagnosis)
    assert (after.id, after.code) == (before.id, "DEVICE_MEDIUM_ERRORS")
    assert [unit.filesystem_uuid for unit in after.members if unit.filesystem_uuid] == [UUID]


def test_shutdown_above_a_gone_device_is_its_consequence_and_no_incident_of_its_own():
    diagnosis = engine()
    shutdown = ext4("FS_SHUTDOWN", 1, severity="CRITICAL")
    feed(diagnosis, [ext4("DEVICE_GONE", 0)])
    assert {change.incident.code for change in feed(diagnosis, [shutdown])} <= {"DEVICE_GONE"}
    incident = only(diagnosis)
    assert incident.code == "DEVICE_GONE"
    assert UUID in {unit.filesystem_uuid for unit in incident.members}


def test_shutdown_that_was_told_first_is_merged_into_the_gone_device():
    diagnosis = engine()
    feed(diagnosis, [ext4("FS_SHUTDOWN", 0, severity="CRITICAL")])
    changes = feed(diagnosis, [ext4("DEVICE_GONE", 1)])
    assert [change.what for change in changes] == ["opened", "merged"]
    assert changes[1].incident.merged_into == changes[0].incident.id == only(diagnosis).id


def test_corruption_with_failing_device_stays_an_incident_and_names_the_device_as_cause():
    diagnosis = engine()
    feed(diagnosis, [ext4("DEVICE_MEDIUM_ERROR", 0, sector=1), ext4("FS_METADATA_CORRUPTION", 1)])
    causes = {incident.code: incident.cause.dimension for incident in diagnosis.incidents()}
    assert causes == {"FS_CORRUPTION": "device", "DEVICE_MEDIUM_ERRORS": "device"}


def test_corruption_without_device_error_is_silent():
    diagnosis = engine()
    feed(diagnosis, directory_corruption())
    assert "no error of the device below" in only(diagnosis).summary
    assert only(diagnosis).cause.dimension == "filesystem"


def test_read_only_turn_joins_the_corruption_that_caused_it():
    diagnosis = engine()
    feed(diagnosis, [*directory_corruption(), ext4("FS_READ_ONLY", 1, severity="CRITICAL")])
    incident = only(diagnosis)
    assert incident.code == "FS_CORRUPTION"
    assert incident.severity == event_pb2.SEVERITY_CRITICAL
    assert "read-only" in incident.summary


def test_btrfs_checksum_errors_name_the_faulty_device():
    diagnosis = engine()
    kernel_log = btrfs("FS_DATA_CORRUPTION", 0, device_id="", device_name="", devid=0, source="kmsg", ino=257)
    feed(diagnosis, [kernel_log, btrfs("FS_DATA_CORRUPTION", 1, count=12, reading=12)])
    incident = only(diagnosis)
    assert incident.code == "FS_DATA_CORRUPTION"
    assert incident.occurrences == 12
    assert incident.unit.device_name == "loop1"
    assert [cause.value for cause in incident.suspects] == ["2"]


def test_finding_without_uuid_joins_by_device_name():
    diagnosis = engine()
    nameless = ext4("FS_METADATA_CORRUPTION", 1, filesystem_uuid="", device_id="")
    feed(diagnosis, [ext4("FS_METADATA_CORRUPTION", 0), nameless])
    assert only(diagnosis).evidence_count == 2


def test_finding_without_uuid_is_merged_when_the_inventory_names_it():
    diagnosis = engine()
    (opened,) = feed(diagnosis, [finding("FS_METADATA_CORRUPTION", filesystem_device="loop0")])
    inventory = inventory_pb2.Inventory()
    filesystem = inventory.filesystems.add()
    filesystem.ref.uuid, filesystem.ref.device_name = UUID, "loop0"
    told, merged = diagnosis.observe_inventory("a1", inventory, START)
    assert (told.what, merged.what) == ("opened", "merged")
    assert merged.incident.id == opened.incident.id
    assert merged.incident.merged_into == told.incident.id == only(diagnosis).id


def test_errors_of_a_partition_are_errors_of_its_disk():
    diagnosis = engine()
    inventory = inventory_pb2.Inventory()
    partition = inventory.devices.add(kind="partition", below=["wwid:disk"])
    partition.ref.id, partition.ref.name = "wwid:disk-part1", "sda1"
    error = finding("FS_IO_ERROR", filesystem_uuid=UUID, device_id="wwid:disk-part1", sector=1, severity="CRITICAL")
    assert diagnosis.wants_inventory(error)
    diagnosis.observe_inventory("a1", inventory, START, wanted=True)
    assert not diagnosis.wants_inventory(error)
    feed(diagnosis, [error, finding("DEVICE_MEDIUM_ERROR", device_id="wwid:disk", sector=2)])
    assert only(diagnosis).code == "DEVICE_MEDIUM_ERRORS"


def test_old_errors_in_the_superblock_are_a_warning_that_says_since_when():
    diagnosis = engine()
    old = ext4(
        "FS_METADATA_CORRUPTION", 0, source="ext4_stats", count=5, reading=5, before_agent=True,
        since_ns=1_600_000_000 * 10**9,
    )  # fmt: skip
    feed(diagnosis, [old])
    incident = only(diagnosis)
    assert incident.severity == event_pb2.SEVERITY_WARNING
    assert incident.onset_ns == 1_600_000_000 * 10**9
    assert "2020-09-13" in incident.summary
    assert incident.occurrences == 5


def test_agent_that_starts_twice_counts_old_errors_once():
    diagnosis = engine()
    for total, before in ((5, True), (8, False), (8, True)):
        count = total if before else 3
        feed(diagnosis, [ext4("FS_ERROR", total, source="ext4_stats", count=count, reading=total, before_agent=before)])
    assert only(diagnosis).occurrences == 8


def test_mere_information_is_no_fault():
    diagnosis = engine()
    assert feed(diagnosis, [ext4("FS_ERROR", severity="INFO"), ext4("FS_MOUNTED", severity="INFO")]) == []
    assert diagnosis.incidents() == []
