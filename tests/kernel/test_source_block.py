"""Failed block requests with their sectors, from the trace and from the kernel log."""

import asyncio
import os
from contextlib import suppress

import pytest
from kernel.loopfs import MIB
from kernel.watching import mounted_table, watching

from fsmend_agent.sources.kmsg import KmsgSource
from fsmend_agent.sources.trace import TraceSource
from fsmend_proto.v1 import event_pb2 as pb

pytestmark = pytest.mark.kernel


def read_direct(device, offset, size):
    fd = os.open(device, os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        with suppress(OSError):
            os.pread(fd, size, offset)
    finally:
        os.close(fd)


async def test_a_truncated_image_gives_block_errors_at_the_right_sectors(ext4_fs):
    ext4_fs.mount()
    loop, end = ext4_fs.loop, 48 * MIB
    async with watching(TraceSource, KmsgSource) as seen:
        await mounted_table(seen, ext4_fs)
        os.truncate(loop.path, end)
        await asyncio.to_thread(read_direct, loop.device, end + 4096, 4096)
        await seen.until(lambda: seen.of("trace"))
        await asyncio.sleep(0.2)
        os.truncate(loop.path, 64 * MIB)
        trace = seen.of("trace", kind=pb.EVENT_KIND_DEVICE_IO_ERROR)
        kmsg = seen.of("kmsg", kind=pb.EVENT_KIND_DEVICE_IO_ERROR)
    wanted = (end + 4096) // 512
    hit = [event for event in trace if event.sectors.start <= wanted < event.sectors.start + event.sectors.count]
    assert hit, [(event.sectors.start, event.sectors.count) for event in trace]
    event = hit[0]
    assert (event.errno, event.device.name, event.filesystem.uuid) == (5, loop.name, seen.uuid)
    assert event.block_request.operation.startswith("R")
    assert all(event.sectors.start >= end // 512 for event in trace)
    logged = [event for event in kmsg if event.kernel_log.form == "block_error"]
    assert {event.sectors.start for event in logged} <= {event.sectors.start for event in trace}
    # The kernel rate-limits these lines for all devices together: there may be none.
    assert {line.device.id for line in logged} <= {event.device.id}


async def test_writes_past_the_end_of_the_image_are_data_lost_by_the_filesystem(ext4_fs):
    mount_point = ext4_fs.mount()
    loop = ext4_fs.loop
    async with watching(TraceSource, KmsgSource) as seen:
        await mounted_table(seen, ext4_fs)
        (mount_point / "file").write_bytes(b"x" * 8 * MIB)
        os.sync()
        os.truncate(loop.path, 2 * MIB)
        await asyncio.to_thread(read_direct, loop.device, 40 * MIB, 4096)
        await seen.until(lambda: seen.of("trace"))
        os.truncate(loop.path, 64 * MIB)
    assert {event.filesystem.uuid for event in seen.of("trace")} == {seen.uuid}
