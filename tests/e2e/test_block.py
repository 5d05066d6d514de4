"""Sectors that really cannot be read: block errors at the right sectors, and one incident of the device."""

import os
from contextlib import suppress

import pytest
from e2e.asking import events_of, incidents_of, standing, until
from stage.loops import MIB, loop, mounted, run

pytestmark = pytest.mark.kernel
SIZE_BYTES, END_BYTES = 256 * MIB, 160 * MIB  # the second block group begins at 128 MiB
SECTOR_BYTES = 512


def read_direct(device, offset):
    """Read one page past the page cache; the device is unmounted or the page is nobody's."""
    fd = os.open(device, os.O_RDONLY | os.O_DIRECT)
    try:
        with suppress(OSError), os.fdopen(os.dup(fd), "rb", buffering=0) as file:
            import mmap

            buffer = mmap.mmap(-1, 4096)
            file.seek(offset)
            file.readinto(buffer)
    finally:
        os.close(fd)


def test_sectors_past_a_truncated_image_are_one_incident_of_the_device(running, tmp_path, mount_point):
    with loop(tmp_path / "disk.img", SIZE_BYTES) as device:
        run("mkfs.ext4", "-q", "-b", "4096", device.device)
        uuid = run("blkid", "-o", "value", "-s", "UUID", "-p", device.device).strip()
        with mounted(device.device, mount_point):
            until(lambda: running.fsmend("get", "filesystems"))
            offsets = [END_BYTES + number * MIB for number in range(8)]
            os.truncate(device.image, END_BYTES)
            try:
                for offset in offsets:
                    read_direct(device.device, offset)
            finally:
                os.truncate(device.image, SIZE_BYTES)

            def opened():
                return [one for one in incidents_of(running, uuid, device.name) if one["code"].startswith("DEVICE_")]

            until(opened)
            (incident,) = standing(incidents_of(running, uuid, device.name))
            traced = [one["event"] for one in events_of(running, uuid, "trace")]
    assert (incident["code"], incident["unit"]["device_name"]) == ("DEVICE_IO_ERRORS", device.name)
    assert uuid in {member["filesystem_uuid"] for member in incident["members"]}
    assert incident["errnos"] == [5]
    assert {event["kind"] for event in traced} == {"device_io_error"}
    sectors = {event["sectors"]["start"] for event in traced}
    assert sectors == {offset // SECTOR_BYTES for offset in offsets}
    assert {event["device"]["id"] for event in traced} == {incident["unit"]["device_id"]}


def test_the_errors_of_the_filesystem_above_are_a_consequence_of_the_device(running, tmp_path, mount_point):
    with loop(tmp_path / "disk.img", SIZE_BYTES) as device:
        run("mkfs.ext4", "-q", "-b", "4096", "-O", "^flex_bg,metadata_csum", device.device)
        uuid = run("blkid", "-o", "value", "-s", "UUID", "-p", device.device).strip()
        with mounted(device.device, mount_point, "errors=continue"):
            until(lambda: running.fsmend("get", "filesystems"))
            # Without flex_bg every group has its own inode table: those of the second group lie past the cut.
            os.truncate(device.image, 128 * MIB)
            try:
                for number in range(200):  # the allocator spreads directories over the groups
                    with suppress(OSError):
                        (mount_point / f"d{number}").mkdir()
                for number in range(8):
                    read_direct(device.device, 192 * MIB + number * MIB)
            finally:
                os.truncate(device.image, SIZE_BYTES)

            def explained():
                (one, *others) = standing(incidents_of(running, uuid, device.name)) or [None]
                return one and not others and one["code"].startswith("DEVICE_") and one

            until(lambda: events_of(running, uuid, "ext4_stats"))
            incident = until(explained)
            merged = [one for one in incidents_of(running, uuid, device.name) if one["id"] != incident["id"]]
    assert uuid in {member["filesystem_uuid"] for member in incident["members"]}
    assert all(one["merged_into"] == incident["id"] for one in merged)
