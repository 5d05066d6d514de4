"""An incident closes with proof and never by silence; it reopens, mutes, and survives a restart."""

import pytest
from collector.diagnosis.findings import (
    DAY,
    SECOND,
    START,
    UUID,
    btrfs,
    content,
    engine,
    ext4,
    feed,
    finding,
    only,
    run,
    state_name,
    update,
)

from fsmend_proto.v1 import inventory_pb2, record_pb2


def corrupt_btrfs():
    diagnosis = engine()
    feed(diagnosis, [btrfs("FS_DATA_CORRUPTION", 0, count=12, reading=12)])
    return diagnosis


def test_error_after_the_proof_reopens_the_same_incident():
    diagnosis = corrupt_btrfs()
    before = only(diagnosis).id
    run(diagnosis, update("SUCCEEDED", "HEALED"), 20)
    (change,) = feed(diagnosis, [btrfs("FS_DATA_CORRUPTION", 1_000)])
    assert (change.what, change.incident.id) == ("reopened", before)
    assert change.incident.resolved_ns == 0


def test_proof_must_be_newer_than_the_last_of_folded_errors():
    diagnosis = engine()
    feed(diagnosis, [btrfs("FS_DATA_CORRUPTION", 0, count=9, last_ns=START + 30 * SECOND)])
    run(diagnosis, update("SUCCEEDED", "HEALED"), 20)
    assert state_name(only(diagnosis)) == "open"


def test_missing_device_without_identity_is_proven_back_by_its_number():
    diagnosis = engine()
    nameless = {"device_id": "", "device_name": "", "filesystem_device": ""}
    feed(diagnosis, [btrfs("DEVICE_GONE", 0, severity="CRITICAL", **nameless)])
    feed(diagnosis, [btrfs("DEVICE_ADDED", 5, severity="NOTICE", devid=3)])
    assert state_name(only(diagnosis)) == "open"
    feed(diagnosis, [btrfs("DEVICE_ADDED", 6, severity="NOTICE")])
    assert state_name(only(diagnosis)) == "resolved"


def test_late_error_from_before_the_proof_does_not_reopen():
    diagnosis = corrupt_btrfs()
    run(diagnosis, update("SUCCEEDED", "HEALED"), 20)
    feed(diagnosis, [btrfs("FS_DATA_CORRUPTION", 5, count=1)], now_ns=START + 500 * SECOND)
    assert state_name(only(diagnosis)) == "resolved"
    assert only(diagnosis).occurrences == 13


def test_proof_that_arrives_before_the_error_still_proves():
    diagnosis = engine()
    run(diagnosis, update("SUCCEEDED", "CLEAN"), 20)
    feed(diagnosis, [btrfs("FS_DATA_CORRUPTION", 5)])
    assert state_name(only(diagnosis)) == "resolved"


def test_silence_never_closes_corruption():
    diagnosis = corrupt_btrfs()
    for day in range(1, 400, 20):
        diagnosis.tick(START + day * DAY)
    assert state_name(only(diagnosis)) == "open"


def test_counters_that_stand_still_under_watch_close_io_errors():
    diagnosis = engine(standstill_seconds=3_600)
    feed(diagnosis, [ext4("FS_IO_ERROR", n, sector=n) for n in range(3)])
    diagnosis.tick(START + 3_500 * SECOND)
    assert state_name(only(diagnosis)) == "open"
    (change,) = diagnosis.tick(START + 3_700 * SECOND)
    assert change.what == "resolved"
    assert "lost nothing" in change.incident.resolution


@pytest.mark.parametrize("blind", ["away", "gap", "source"])
def test_counters_that_nobody_watched_prove_nothing(blind):
    diagnosis = engine(standstill_seconds=3_600)
    feed(diagnosis, [ext4("FS_IO_ERROR", n, sector=n) for n in range(3)])
    late = START + 3_000 * SECOND
    if blind == "away":
        diagnosis.observe_presence("a1", "h1", connected=False, since_ns=late, now_ns=late)
    elif blind == "gap":
        diagnosis.observe_gap(record_pb2.Gap(reason=record_pb2.GAP_REASON_LOG_LOST), "a1", late)
    else:
        feed(diagnosis, [finding("SOURCE_STATE", 3_000, sick=True, subject="kmsg")])
    diagnosis.tick(START + 3_700 * SECOND)
    (incident,) = [one for one in diagnosis.incidents() if one.code == "FS_IO_ERRORS"]
    assert state_name(incident) == "open"


def test_an_agent_that_fails_again_after_it_was_revoked_is_watched_anew():
    diagnosis = engine(standstill_seconds=3_600)
    feed(diagnosis, [ext4("FS_IO_ERROR", n, sector=n) for n in range(3)])
    diagnosis.observe_presence("a1", "h1", connected=False, since_ns=START + 10 * SECOND, now_ns=START + 10 * SECOND)
    (change,) = diagnosis.retire_agent("a1", START + 20 * SECOND)
    assert change.what == "resolved"
    feed(diagnosis, [ext4("FS_IO_ERROR", 100, sector=9)])
    assert state_name(only(diagnosis)) == "open"
    diagnosis.tick(START + 3_800 * SECOND)
    assert state_name(only(diagnosis)) == "resolved"


def test_xfs_is_healthy_only_when_every_sick_part_is():
    diagnosis = engine()
    for number in (0, 1):
        feed(diagnosis, [ext4("FS_METADATA_CORRUPTION", number, sick=True, scope=f"ag {number}")])
    feed(diagnosis, [ext4("FS_HEALTHY", 10, severity="NOTICE", sick=False, scope="ag 0")])
    assert state_name(only(diagnosis)) == "open"
    feed(diagnosis, [ext4("FS_HEALTHY", 11, severity="NOTICE", sick=False, scope="ag 1")])
    assert state_name(only(diagnosis)) == "resolved"
    feed(diagnosis, [ext4("FS_METADATA_CORRUPTION", 12, sick=True, scope="ag 1")])
    assert state_name(only(diagnosis)) == "open"


def test_counters_cleared_by_e2fsck_close_ext4_corruption():
    diagnosis = engine()
    feed(diagnosis, [ext4("FS_METADATA_CORRUPTION", 0)])
    feed(diagnosis, [ext4("FS_MOUNTED", 50, severity="INFO")])
    assert state_name(only(diagnosis)) == "open"
    feed(diagnosis, [ext4("FS_ERROR", 60, severity="INFO", reading=0, source="ext4_stats")])
    assert state_name(only(diagnosis)) == "resolved"


def test_mount_after_a_shutdown_closes_it():
    diagnosis = engine()
    feed(diagnosis, [ext4("FS_SHUTDOWN", 0, severity="CRITICAL"), ext4("FS_MOUNTED", 50, severity="INFO")])
    assert state_name(only(diagnosis)) == "resolved"


def test_device_replaced_in_the_inventory_closes_medium_errors():
    diagnosis = engine()
    feed(diagnosis, [btrfs("DEVICE_MEDIUM_ERROR", 0, sector=1)])
    inventory = inventory_pb2.Inventory()
    for name in ("loop0", "loop1"):
        inventory.devices.add().ref.id = f"loop:{name[-1]}"
    filesystem = inventory.filesystems.add()
    filesystem.ref.uuid = UUID
    for device in inventory.devices:
        filesystem.devices.add().CopyFrom(device.ref)
    assert diagnosis.observe_inventory("a1", inventory, START + DAY) == []
    inventory.devices[1].ref.id = filesystem.devices[1].id = "loop:9"
    (change,) = diagnosis.observe_inventory("a1", inventory, START + DAY)
    assert change.what == "resolved"


def test_mute_falls_when_it_gets_worse_and_at_its_end():
    diagnosis = corrupt_btrfs()
    identity = only(diagnosis).id
    (change,) = diagnosis.mute(identity, START + DAY, START, "operator eve")
    assert (change.what, change.incident.muted_until_ns) == ("muted", START + DAY)
    feed(diagnosis, [btrfs("FS_DATA_CORRUPTION", 5, count=12, reading=24)])
    assert only(diagnosis).muted_until_ns
    changes = feed(diagnosis, [btrfs("FS_DATA_CORRUPTION", 6, count=1, reading=25)])
    assert changes[-1].what == "unmuted"
    assert not only(diagnosis).muted_until_ns
    diagnosis.mute(identity, START + DAY, START, "operator eve")
    assert [change.what for change in diagnosis.tick(START + DAY)] == ["unmuted"]


def test_mute_of_an_unknown_incident_is_refused():
    with pytest.raises(KeyError):
        engine().mute("inc-none", START + DAY, START, "operator eve")


def test_resolved_and_quiet_units_leave_memory_and_the_next_fault_gets_a_new_id():
    diagnosis = corrupt_btrfs()
    before = only(diagnosis).id
    run(diagnosis, update("SUCCEEDED", "HEALED"), 20)
    diagnosis.tick(START + 6 * DAY)
    assert only(diagnosis).id == before
    diagnosis.tick(START + 9 * DAY)
    assert diagnosis.incidents() == []
    feed(diagnosis, [btrfs("FS_DATA_CORRUPTION", 10 * 86_400)])
    assert only(diagnosis).id != before


def test_restart_in_the_middle_goes_on_with_the_same_incident():
    diagnosis = corrupt_btrfs()
    feed(diagnosis, [btrfs("FS_DATA_CORRUPTION", 1, source="kmsg", ino=257, path=b"/f", event_id="known")])
    run(diagnosis, update("RUNNING"), 10)
    stored = diagnosis.incidents()
    restarted = engine()
    restarted.restore(stored, START + 11 * SECOND)
    assert [content(one) for one in restarted.incidents()] == [content(one) for one in stored]
    assert feed(restarted, [btrfs("FS_DATA_CORRUPTION", 1, event_id="known")]) == []
    (change,) = run(restarted, update("SUCCEEDED", "HEALED"), 20)
    assert (change.what, change.incident.id) == ("resolved", stored[0].id)
    assert change.incident.occurrences == 12


def test_restart_does_not_give_the_id_of_a_resolved_incident_away():
    diagnosis = corrupt_btrfs()
    run(diagnosis, update("SUCCEEDED", "HEALED"), 20)
    stored = diagnosis.incidents()
    restarted = engine()
    restarted.restore(stored, START + 100 * DAY)
    assert restarted.incidents() == []
    feed(restarted, [btrfs("FS_DATA_CORRUPTION", 101 * 86_400)])
    assert only(restarted).id != stored[0].id


def test_restore_keeps_a_resolved_incident_resolved():
    diagnosis = corrupt_btrfs()
    run(diagnosis, update("SUCCEEDED", "HEALED"), 20)
    restarted = engine()
    restarted.restore(diagnosis.incidents(), START + DAY)
    assert state_name(only(restarted)) == "resolved"
    assert restarted.tick(START + DAY) == []


def test_a_consequence_stays_one_after_a_restart_and_outlives_its_cause():
    diagnosis, stored = engine(), {}
    for change in feed(diagnosis, [ext4("FS_SHUTDOWN", 0, severity="CRITICAL"), ext4("DEVICE_GONE", 1)]):
        stored[change.incident.id] = change.incident
    restarted = engine()
    restarted.restore(stored.values(), START + 2 * SECOND)
    assert restarted.tick(START + 60 * SECOND) == []
    assert only(restarted).code == "DEVICE_GONE"
    changes = feed(restarted, [ext4("DEVICE_ADDED", 70, severity="INFO")])
    assert [(one.incident.code, one.what) for one in changes] == [
        ("DEVICE_GONE", "resolved"),
        ("FS_SHUTDOWN", "reopened"),
    ]
    assert [entry.what for entry in changes[1].incident.timeline].count("merged") == 1
    assert {one.incident.id for one in changes} == stored.keys()


@pytest.mark.parametrize("late_hours", [0, 14])
def test_whether_an_error_is_of_the_incident_before_goes_by_when_it_happened(late_hours):
    ids = []
    for days in (6.9, 7.1):
        diagnosis = engine()
        feed(diagnosis, [ext4("FS_SHUTDOWN", 0), ext4("FS_MOUNTED", 60, severity="INFO")])
        first = only(diagnosis).id
        heard_ns = START + int((days * 24 + late_hours) * 3_600) * SECOND
        diagnosis.tick(heard_ns)
        changes = feed(diagnosis, [ext4("FS_SHUTDOWN", days * 86_400)], now_ns=heard_ns)
        ids.append([change.incident.id == first for change in changes])
    assert ids == [[True], [False]]
