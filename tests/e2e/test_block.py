"""Sectors that really cannot be read: block errors at the right sectors, and one incident of the device."""

import mmap
import os
from contextlib import suppress

import pytest
from e2e.asking import events_of, incidents_of, standing, until

from stage.loops import MIB, loop, mounted, run

pytestmark = pytest.mark.kernel
SIZE_BYTES, END_BYTES = 256 * MIB, 160 * MIB  # the second block group begins at 128 MiB
SECTOR_BYTES = 512


def read_direct(device, offset):
    """Read one page past the page cache, so that exactly these sectors are asked for."""
    fd = os.open(device, os.O_RDONLY | os.O_DIRECT)
    try:
        with suppress(OSError), mmap.mmap(-1, 4096) as page:  # a mapping is aligned, as O_DIRECT wants it
            os.preadv(fd, [page], offset)
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
        # Without flex_bg every group has its own inode table: that of the second group lies past the cut.
        run("mkfs.ext4", "-q", "-b", "4096", "-O", "^flex_bg,^resize_inode", device.device)
        uuid = run("blkid", "-o", "value", "-s", "UUID", "-p", device.device).strip()
        with mounted(device.device, mount_point):
            for number in range(64):  # the allocator spreads directories at the top over the groups
                (mount_point / f"d{number}").mkdir()
        with mounted(device.device, mount_point, "errors=continue"):
            until(lambda: running.fsmend("get", "filesystems"))
            os.truncate(device.image, 128 * MIB)
            try:
                for number in range(64):
                    with suppress(OSError):
                        (mount_point / f"d{number}").stat()
                for number in range(8):
                    read_direct(device.device, (192 + number) * MIB)
                counted = until(lambda: events_of(running, uuid, "ext4_stats"))
            finally:
                os.truncate(device.image, SIZE_BYTES)

            def alone():
                found = standing(incidents_of(running, uuid, device.name))
                return len(found) == 1 and found[0]["code"].startswith("DEVICE_") and found[0]

            incident = until(alone)
            others = [one for one in incidents_of(running, uuid, device.name) if one["id"] != incident["id"]]
    assert {one["event"]["kind"] for one in counted} == {"fs_io_error"}
    assert uuid in {member["filesystem_uuid"] for member in incident["members"]}
    assert {one["merged_into"] for one in others} <= {incident["id"]}
